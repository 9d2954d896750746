"""Audio as people have it -> one channel at the model's sampling rate, in pieces of bounded length."""

import logging
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from espnet_blrmoe.recordings import recording
from espnet_blrmoe.recordings.channels import channels_to_average, said_of_channels

LOG = logging.getLogger(__name__)
# Of speech, in stretches of this length: how far below the loudest ones it may be; a share, perhaps a click, is louder.
LOUD_DB, LOUDEST_SHARE, LOUD_SECONDS = -32.0, 0.05, 0.01
LARGEST_SAMPLE = 2.0**31  # of 32 bits that nobody has scaled; models square samples and add them up
QUIET_SECONDS = 0.1  # a cut is made in the middle of the quietest stretch of this length


def load(audio: str | Path | np.ndarray | torch.Tensor, fs: int, rate: int | None = None) -> torch.Tensor:
    """Audio in any form -> one channel at `fs`.

    Args:
        audio: a file (docs/audio.md has the formats), a stretch of one ("rec.flac[16000:47999]"), "-" for standard
            input, or an array, (samples,) or (samples, channels), floating point in [-1, 1]. Channels are averaged;
            those that are dead are left out, and of those that cancel each other the loudest is taken, with a warning
            in the log.
        fs: wanted sampling rate in Hz.
        rate: the array's sampling rate in Hz; None: `fs`. A file states its own.

    Returns:
        (samples,) floating point, at least one sample, all finite.

    Raises:
        ValueError: audio that is missing, unreadable, damaged, cut off, empty or of another shape or type, that holds
            NaN or samples over LARGEST_SAMPLE, or whose sampling rate cannot be one; names the file.
    """
    if isinstance(audio, (str, os.PathLike)):
        name = str(audio)
        array, rate = recording.read(audio)
        samples = torch.from_numpy(array)
    else:
        name = "speech"
        samples = torch.as_tensor(audio)
        if not samples.is_floating_point():
            raise ValueError(f"speech must be floating point in [-1, 1], got {samples.dtype}; divide int16 by 32768")
    if samples.numel() == 0:
        raise ValueError(f"{name} is empty; it must have at least one sample")
    if not samples.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite samples")
    if (largest := float(samples.abs().max())) > LARGEST_SAMPLE:
        raise ValueError(f"{name} holds samples as large as {largest:.0e}; scale them to [-1, 1]")
    wave = mix_down(samples.to(torch.promote_types(samples.dtype, torch.float32)))
    return resample(wave, fs if rate is None else rate, fs, name)


def mix_down(samples: torch.Tensor) -> torch.Tensor:
    """(samples,) or (samples, channels) -> (samples,), as `load` says.

    Raises:
        ValueError: another shape, or more channels than samples: (channels, samples), as torchaudio has it.
    """
    if samples.dim() not in (1, 2):
        raise ValueError(f"speech must be (samples,) or (samples, channels), got shape {tuple(samples.shape)}")
    if samples.dim() == 1:
        return samples
    if samples.size(1) > samples.size(0):
        raise ValueError(f"speech has shape {tuple(samples.shape)}, more channels than samples; transpose it")
    mean = samples.mean(dim=1)
    powers = samples.square().sum(dim=0).numpy(force=True)
    chosen = channels_to_average(powers, float(mean.square().sum()))
    if len(chosen) == samples.size(1):
        return mean
    LOG.warning(said_of_channels("speech", chosen, samples.size(1)))
    return samples[:, chosen].mean(dim=1)


def resample(wave: torch.Tensor, rate: int, new_rate: int, name: str = "speech") -> torch.Tensor:
    """(samples,) at `rate` Hz -> (samples,) at `new_rate` Hz.

    Raises:
        ValueError: the rate is not a sampling rate of audio; calls the audio `name`.
    """
    recording.check_rate(rate, name)
    if rate == new_rate:
        return wave
    return torch.from_numpy(recording.resample(wave.cpu().numpy(), rate, new_rate)).to(wave.device)


def extent(wave: torch.Tensor, fs: int) -> tuple[float, float]:
    """The seconds at which speech begins and ends in the (samples,) of an utterance, by its loudness."""
    loud, window = _loud(wave, fs)
    places = loud.nonzero()
    return float(places[0] * window / fs), float((places[-1] + 1) * window / fs)


def quiet_gaps(wave: torch.Tensor, fs: int, shortest: float) -> list[tuple[int, int]]:
    """Where the (samples,) of an utterance are quieter than its speech for `shortest` seconds or longer: first sample
    and the one after the last, of each such gap between what is loud."""
    loud, window = _loud(wave, fs)
    places = (loud.nonzero().squeeze(1) * window).tolist()
    return [(a + window, b) for a, b in pairwise(places) if b - a - window >= shortest * fs]


def _loud(wave: torch.Tensor, fs: int) -> tuple[torch.Tensor, int]:
    """(T,) bool: which stretches of LOUD_SECONDS are as loud as speech; and how many samples they have."""
    window = min(round(LOUD_SECONDS * fs), len(wave))
    loudness = wave.unfold(0, window, window).square().mean(dim=1)
    return loudness >= loudness.quantile(1 - LOUDEST_SHARE) * 10 ** (LOUD_DB / 10), window


def cut(wave: torch.Tensor, fs: int, longest: float) -> list[tuple[int, int]]:
    """Cut long audio at the quietest place in the last third of every piece.

    Args:
        wave: (samples,).
        fs: its sampling rate in Hz.
        longest: seconds that a piece may have, at least 1.

    Returns:
        (start, end) in samples of every piece, without gaps; none is shorter than a sixth of the longest, unless the
        audio is.
    """
    longest *= fs
    cuts = [0]
    while len(wave) - cuts[-1] > longest:
        first = cuts[-1] + int(2 / 3 * longest)
        last = min(cuts[-1] + int(longest), len(wave) - int(longest / 6))
        cuts.append(first + _quietest_place(wave[first:last], int(QUIET_SECONDS * fs)))
    return list(pairwise([*cuts, len(wave)]))


def _quietest_place(wave: torch.Tensor, window: int) -> int:
    """The middle of the `window` samples with the least energy, to a tenth of the window."""
    step = max(1, window // 10)
    energy = torch.nn.functional.avg_pool1d(wave.square().unsqueeze(0), window, step)
    return int(energy.argmin()) * step + window // 2


def in_batches(waves: Iterable[torch.Tensor], most: float) -> Iterator[list[int]]:
    """Positions of consecutive waves (samples,) that together have at most `most` samples with their padding; at least
    one a batch."""
    batch: list[int] = []
    longest = 0
    for position, wave in enumerate(waves):
        longest = max(longest, len(wave))
        if batch and (len(batch) + 1) * longest > most:
            yield batch
            batch, longest = [], len(wave)
        batch.append(position)
    if batch:
        yield batch
