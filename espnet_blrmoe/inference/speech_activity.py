"""Where somebody speaks, heard by the small network that comes inside the package silero-vad."""

from functools import cache
from typing import Any

import torch
from scipy.ndimage import uniform_filter1d

from espnet_blrmoe import audio

RATE = 16_000  # Hz, at which the network listens
SILENT = 10 ** (-70 / 20)  # half the distance between lowest and highest sample, below which nothing can be heard
TOO_SHORT = 0.5  # seconds in which the network cannot tell a word from a noise
FIRST = 1.0  # seconds in which most recordings have speech, so that the rest need not be heard
LOUDNESS = 0.1  # root mean square that the network gets, however loud the recording is
# From this probability of speech on, averaged over 8 frames of 32 ms. It is low: words that are lost are worse than
# noise that is recognised (docs/long_audio.md has both rates).
FRAMES, THRESHOLD = 8, 0.08


def has_speech(wave: torch.Tensor, fs: int) -> bool:
    """Whether somebody speaks in (samples,) at `fs` Hz. Sounds of less than half a second count as speech."""
    lowest, highest = wave.aminmax()
    if highest - lowest < 2 * SILENT:
        return False
    if len(wave) < TOO_SHORT * fs:
        return True
    return any(speech_stretches(part, fs) for part in (wave[: int(FIRST * fs)], wave))


def speech_stretches(wave: torch.Tensor, fs: int) -> list[tuple[float, float]]:
    """Where somebody speaks: start and end in seconds, in time order; none in noise, music or silence.

    Args:
        wave: (samples,), floating point.
        fs: its sampling rate in Hz.
    """
    from silero_vad import get_speech_timestamps_from_probs

    wave = wave.float().cpu()
    wave = wave - wave.mean()
    loudness = wave.square().mean().sqrt().clamp(min=1e-8)
    heard = audio.resample((wave * (LOUDNESS / loudness)).clamp(-1, 1), fs, RATE).numpy()
    probabilities = uniform_filter1d(network().audio_forward(heard), FRAMES, mode="constant")
    stretches = get_speech_timestamps_from_probs(
        probabilities,
        sampling_rate=RATE,
        threshold=THRESHOLD,
        neg_threshold=THRESHOLD / 2,
        min_speech_duration_ms=0,
        audio_length_samples=len(heard),
    )
    return [(stretch["start"] / RATE, stretch["end"] / RATE) for stretch in stretches]


@cache
def network() -> Any:
    """silero-vad's, in the form that keeps no state and that several threads may share."""
    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # silero-vad has set it to one
    return load_silero_vad(sequence=True)
