"""Audio as people have it -> one channel at the model's sampling rate, in pieces of bounded length."""

import math
import os
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # Hz
BLOCK = 2**20  # frames of a file that are read at once
RANGE = re.compile(r"(.+)\[(\d+):(\d+)\]")
QUIET_SECONDS = 0.1  # a cut is made in the middle of the quietest stretch of this length


def load(audio: str | Path | np.ndarray | torch.Tensor, fs: int, rate: int | None = None) -> torch.Tensor:
    """Audio in any form -> one channel at `fs`.

    Args:
        audio: a file that soundfile reads (wav, flac, ogg, mp3, ...), a stretch of one ("rec.flac[16000:47999]"), or an
            array, (samples,) or (samples, channels), floating point in [-1, 1]. Channels are averaged.
        fs: wanted sampling rate in Hz.
        rate: the array's sampling rate in Hz; None: `fs`. A file says its own.

    Returns:
        (samples,) floating point, at least one sample, all finite.

    Raises:
        ValueError: audio that is missing, unreadable, cut off, empty or of another shape or type, that holds NaN, or
            whose sampling rate is no sampling rate; names the file.
    """
    if isinstance(audio, (str, os.PathLike)):
        name = str(audio)
        samples, rate = read(Path(audio))
    else:
        name = "speech"
        samples = torch.as_tensor(audio)
        if not samples.is_floating_point():
            raise ValueError(f"speech must be floating point in [-1, 1], got {samples.dtype}; divide int16 by 32768")
    if samples.numel() == 0:
        raise ValueError(f"{name} is empty; it must have at least one sample")
    if not samples.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite samples")
    wave = mix_down(samples.to(torch.promote_types(samples.dtype, torch.float32)))
    return resample(wave, fs if rate is None else rate, fs, name)


def split_range(path: str) -> tuple[str, int, int | None]:
    """Split "rec.flac[16000:47999]", Kaldi's way to write a stretch of a recording by its first and last sample.

    Returns:
        file, first sample, and the sample after the last; without a range, 0 and None.

    Raises:
        ValueError: the last sample comes before the first.
    """
    found = RANGE.fullmatch(path)
    if not found:
        return path, 0, None
    first, last = int(found[2]), int(found[3])
    if last < first:
        raise ValueError(f"{path} is a stretch that ends before it begins; write it as [first sample:last sample]")
    return found[1], first, last + 1


def read(path: Path) -> tuple[torch.Tensor, int]:
    """Read a file or a stretch of one: (samples,) float32, its channels averaged, and its sampling rate in Hz.

    Raises:
        ValueError: it is missing, a folder, no audio that soundfile reads, or cut off, or lacks the stretch.
    """
    file_name, first, end = split_range(str(path))
    path = Path(file_name)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the audio files in it")
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    try:
        with soundfile.SoundFile(path) as file:
            announced, rate = (end or file.frames) - first, file.samplerate
            if end and first >= file.frames:
                raise ValueError(f"{path} has no sample {first}: it has {file.frames}, counted from 0")
            if first:
                file.seek(first)
            # Block by block: neither all channels nor what a damaged header announces have to fit into memory. Not
            # soundfile's own `blocks`, which repeats the last block where a file ends too early.
            blocks, left = [], announced if end else math.inf
            while len(block := file.read(min(BLOCK, left), dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1))
                left -= len(block)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: files without a header, such as .raw
        raise ValueError(
            f"{path} cannot be read as audio: it is damaged or in a format other than wav, flac, ogg, mp3 and the like"
        ) from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if len(samples) < 0.9 * announced:  # headers of mp3 are off by some frames; those of wav and ogg do not tell
        raise ValueError(f"{path} is cut off: it has {len(samples)} of the {announced} samples that it announces")
    return torch.from_numpy(samples), rate


def mix_down(samples: torch.Tensor) -> torch.Tensor:
    """(samples,) or (samples, channels) -> (samples,).

    Raises:
        ValueError: another shape, or more channels than samples: (channels, samples), as torchaudio has it.
    """
    if samples.dim() not in (1, 2):
        raise ValueError(f"speech must be (samples,) or (samples, channels), got shape {tuple(samples.shape)}")
    if samples.dim() == 1:
        return samples
    if samples.size(1) > samples.size(0):
        raise ValueError(f"speech has shape {tuple(samples.shape)}, more channels than samples; transpose it")
    return samples.mean(dim=1)


def resample(wave: torch.Tensor, rate: int, new_rate: int, name: str = "speech") -> torch.Tensor:
    """(samples,) at `rate` Hz -> (samples,) at `new_rate` Hz.

    Raises:
        ValueError: no sampling rate of audio; calls the audio `name`.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"{name} has a sampling rate of {rate} Hz; it must be from {LOWEST_RATE} to {HIGHEST_RATE}")
    # Exact for the rates of real devices; for 16,001 Hz and the like, whose filter bank would take gigabytes, off by
    # less than 0.05 %.
    ratio = Fraction(new_rate, int(rate)).limit_denominator(2_000)
    return torchaudio.functional.resample(wave, ratio.denominator, ratio.numerator)


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
    batch, longest = [], 0
    for position, wave in enumerate(waves):
        longest = max(longest, len(wave))
        if batch and (len(batch) + 1) * longest > most:
            yield batch
            batch, longest = [], len(wave)
        batch.append(position)
    if batch:
        yield batch
