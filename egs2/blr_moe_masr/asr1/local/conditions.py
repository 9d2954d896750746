"""Audio conditions that take clean speech out of its domain: noise, reverberation, telephone band, codecs.

    degraded = degrade(audio, rate, "telephone", np.random.default_rng(0))

Each condition is a function (audio, rate, rng) -> audio of the same length and rate, aligned within 2 ms. It draws
its parameters (signal-to-noise ratio, reverberation time, codec, ...) from the generator. Audio is float32 (samples,)
in [-1, 1].
"""

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr
from data_dir import UserError
from scipy.signal import butter, fftconvolve, sosfilt

SNR_DB = (5.0, 20.0)
BABBLE_VOICES = 6
REVERBERATION_SECONDS = (0.3, 0.9)  # until the sound has decayed by 60 dB
DIRECT_TO_REVERBERANT_DB = (-3.0, 6.0)
TELEPHONE_RATE, TELEPHONE_BAND = 8000, (300, 3400)  # Hz
# Format and subtype of soundfile, sampling rate in Hz (None: the audio's own), compression levels (1: smallest)
CODECS = (
    ("WAV", "GSM610", 8000, None),
    ("OGG", "OPUS", 16000, (0.85, 0.97)),
    ("OGG", "VORBIS", None, (0.85, 1.0)),
    ("MP3", "MPEG_LAYER_III", 16000, (0.7, 0.95)),
)


def clean(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """The audio as it is."""
    return audio


def noise(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add white, pink or babble noise at SNR_DB."""
    kind = rng.choice(["white", "pink", "babble"])
    if kind == "babble":  # the utterance's own speech, backwards: nothing else is at hand
        disturbance = sum(np.roll(audio[::-1], rng.integers(len(audio))) for _ in range(BABBLE_VOICES))
    else:
        disturbance = rng.standard_normal(len(audio))
    if kind == "pink":
        spectrum = np.fft.rfft(disturbance)
        disturbance = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(audio))
    return audio + _scaled_to(disturbance, _power(audio), -rng.uniform(*SNR_DB))


def reverberation(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Convolve with the direct sound followed by exponentially decaying noise."""
    seconds = rng.uniform(*REVERBERATION_SECONDS)
    time = np.arange(int(seconds * rate)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: int(0.005 * rate)] = 0  # the first reflection comes some metres after the direct sound
    response = _scaled_to(tail, 1 / len(tail), -rng.uniform(*DIRECT_TO_REVERBERANT_DB))
    response[0] = 1
    return fftconvolve(audio, response)[: len(audio)]


def telephone(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pass the telephone band at 8 kHz, coded by mu-law or A-law."""
    narrow = soxr.resample(audio, rate, TELEPHONE_RATE)
    narrow = sosfilt(butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos"), narrow)
    coded = _round_trip(narrow, TELEPHONE_RATE, "WAV", str(rng.choice(["ULAW", "ALAW"])))
    return _fit(soxr.resample(coded, TELEPHONE_RATE, rate), len(audio))


def codec(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Code and decode with one of CODECS at a low bit rate."""
    container, coding, codec_rate, levels = CODECS[rng.integers(len(CODECS))]
    codec_rate = codec_rate or rate
    options = {"compression_level": rng.uniform(*levels)} if levels else {}
    coded = _round_trip(soxr.resample(audio, rate, codec_rate), codec_rate, container, coding, **options)
    return _fit(soxr.resample(coded, codec_rate, rate), len(audio))


Condition = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
CONDITIONS: dict[str, Condition] = {
    "clean": clean,
    "noise": noise,
    "reverberation": reverberation,
    "telephone": telephone,
    "codec": codec,
}


def degrade(audio: np.ndarray, rate: int, condition: str, rng: np.random.Generator) -> np.ndarray:
    """Put speech under a condition.

    Args:
        audio: float32 (samples,), at least one sample.
        rate: samples a second.
        condition: a name of CONDITIONS.
        rng: draws the condition's parameters.

    Returns:
        float32 (samples,), scaled down where its peak would exceed 1.

    Raises:
        UserError: there is no such condition (names the known ones).
    """
    if condition not in CONDITIONS:
        raise UserError(f"there is no audio condition '{condition}'; known: {' '.join(CONDITIONS)}")
    degraded = CONDITIONS[condition](audio, rate, rng)
    return (degraded / max(1.0, np.abs(degraded).max())).astype(np.float32)


def _power(audio: np.ndarray) -> float:
    return float(np.mean(np.square(audio, dtype=np.float64)))


def _scaled_to(audio: np.ndarray, power: float, decibels: float) -> np.ndarray:
    """Scale to so many decibels above a mean power; silence stays silence."""
    return audio * np.sqrt(power * 10 ** (decibels / 10) / max(_power(audio), 1e-20))


def _round_trip(audio: np.ndarray, rate: int, container: str, coding: str, **options: float) -> np.ndarray:
    """Encode and decode in memory."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=container, subtype=coding, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _fit(audio: np.ndarray, length: int) -> np.ndarray:
    """Cut or pad with zeros at the end: block codecs round the length up."""
    return np.pad(audio[:length], (0, max(0, length - len(audio))))
