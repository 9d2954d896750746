"""Where somebody speaks, heard by the small network that comes inside the package silero-vad."""

from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from espnet_blrmoe import audio

RATE = 16_000  # Hz, at which the network listens
SILENT = 10 ** (-70 / 20)  # half the distance between lowest and highest sample, below which nothing can be heard
TOO_SHORT = 0.5  # seconds in which the network cannot tell a word from a noise
FIRST = 0.5, 2.0  # seconds in which most recordings have speech, so that the rest need not be heard
LOUDNESS = 0.1  # root mean square that the network gets, however loud the recording is
# Speech has this probability on average over a second, even a whispered word in a noisy one. Hum, tones and clicks may
# seem more probable for a moment, but not for long. benchmarks/speech_activity.py measures both errors.
FRAMES, THRESHOLD = 32, 0.055
FRAME = 512  # samples at RATE, of which each has a probability
SPEAKING = 0.1  # probability of a moment between the first and the last of which somebody speaks
SHORTEST_SILENCE = 0.2  # seconds that part two stretches of speech


def has_speech(wave: torch.Tensor, fs: int) -> bool:
    """Whether somebody speaks in (samples,) at `fs` Hz. Sounds of less than half a second count as speech."""
    if _is_silent(wave):
        return False
    if len(wave) < TOO_SHORT * fs:
        return True
    return _begins_with_speech(wave, fs) or _is_speech(speech_probabilities(wave, fs))


def speech_stretches(wave: torch.Tensor, fs: int) -> list[tuple[int, int]]:
    """Where somebody speaks.

    Args:
        wave: (samples,), floating point, of any loudness.
        fs: its sampling rate in Hz.

    Returns:
        start and end of each stretch in samples, in time order, to a frame of 32 ms, with at least SHORTEST_SILENCE
        between them. None where `has_speech` finds no speech; one, all of the audio, where it does but cannot say when.
    """
    if _is_silent(wave):
        return []
    everything = [(0, len(wave))]
    if len(wave) < TOO_SHORT * fs:
        return everything
    probabilities = speech_probabilities(wave, fs)
    if not (_begins_with_speech(wave, fs) or _is_speech(probabilities)):
        return []
    from silero_vad import get_speech_timestamps_from_probs  # not before `network` has imported it

    found = get_speech_timestamps_from_probs(
        probabilities,
        threshold=SPEAKING,
        neg_threshold=SPEAKING,
        min_speech_duration_ms=0,
        min_silence_duration_ms=round(1000 * SHORTEST_SILENCE),
        speech_pad_ms=0,
    )
    means = _mean_of_a_second(probabilities)
    return [
        (stretch["start"] * fs // RATE, min(stretch["end"] * fs // RATE, len(wave)))
        for stretch in found
        if means[stretch["start"] // FRAME : -(-stretch["end"] // FRAME)].max() >= THRESHOLD
    ] or everything


def _is_silent(wave: torch.Tensor) -> bool:
    lowest, highest = wave.aminmax()
    return bool(highest - lowest < 2 * SILENT)


def _begins_with_speech(wave: torch.Tensor, fs: int) -> bool:
    """Whether there is speech in what comes first, heard by itself."""
    lengths = [round(seconds * fs) for seconds in FIRST]
    return any(_is_speech(speech_probabilities(wave[:n], fs)) for n in lengths if n < len(wave))


def _is_speech(probabilities: np.ndarray) -> bool:
    return bool(_mean_of_a_second(probabilities).max() >= THRESHOLD)


def speech_probabilities(wave: torch.Tensor, fs: int) -> np.ndarray:
    """The probability that somebody speaks, of every 32 ms.

    Args:
        wave: (samples,), floating point, of any loudness.
        fs: its sampling rate in Hz.

    Returns:
        (frames,) float32.
    """
    wave = wave.detach().float().cpu()
    wave = wave - wave.mean()
    loudness = wave.square().mean().sqrt().clamp(min=1e-8)
    wave = (wave * (LOUDNESS / loudness)).clamp(-1, 1)
    return network().audio_forward(audio.resample(wave, fs, RATE).numpy())


def _mean_of_a_second(probabilities: np.ndarray) -> np.ndarray:
    """(frames,): the mean over FRAMES around each; beyond the ends nobody speaks."""
    return uniform_filter1d(probabilities, FRAMES, mode="constant")


@cache
def network() -> Any:
    """silero-vad's, in the form that keeps no state and that several threads may share."""
    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # silero-vad has set it to one
    return load_silero_vad(sequence=True)
