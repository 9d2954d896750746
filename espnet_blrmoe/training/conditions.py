"""Audio conditions that take clean speech out of its domain: noise, reverberation, telephone band, codecs, speed.

    degraded = degrade(audio, rate, "telephone", np.random.default_rng(0))

Each condition is a function (audio, rate, rng) -> audio of the same length and rate, aligned within 2 ms. It draws
its parameters (signal-to-noise ratio, reverberation time, codec, ...) from the generator. Audio is float32 (samples,)
in [-1, 1].
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile
import soxr
import torch
import torchaudio.functional
from scipy.signal import butter, fftconvolve, sosfilt

SNR_DB = (5.0, 20.0)
BABBLE_VOICES = 6
REVERBERATION_SECONDS = (0.3, 0.9)  # until the sound has decayed by 60 dB
DIRECT_TO_REVERBERANT_DB = (-3.0, 6.0)
SILENCE_SECONDS = 2.0  # of one stretch, at most
ROOM_TONE_DB = (-60.0, -25.0)  # next to the speech
TELEPHONE_RATE, TELEPHONE_BAND = 8000, (300, 3400)  # Hz
# Format and subtype of soundfile, sampling rate in Hz (None: the audio's own), compression levels (1: smallest).
# torchaudio has no codecs since its release 2.9.
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
    if kind == "babble":  # the utterance's own speech, backwards: there is nothing else to take
        disturbance = sum(np.roll(audio[::-1], rng.integers(len(audio))) for _ in range(BABBLE_VOICES))
    else:
        disturbance = rng.standard_normal(len(audio))
    if kind == "pink":
        spectrum = np.fft.rfft(disturbance)
        disturbance = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(audio))
    snr = torch.tensor(rng.uniform(*SNR_DB))
    if not audio.any() or not disturbance.any():
        return audio
    return torchaudio.functional.add_noise(_tensor(audio), _tensor(disturbance), snr).numpy()


def reverberation(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Convolve with the direct sound followed by exponentially decaying noise."""
    seconds = rng.uniform(*REVERBERATION_SECONDS)
    time = np.arange(int(seconds * rate)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: int(0.005 * rate)] = 0  # the first reflection comes some metres after the direct sound
    tail_power = 10 ** (-rng.uniform(*DIRECT_TO_REVERBERANT_DB) / 10)  # the direct sound's is 1
    response = tail * np.sqrt(tail_power / np.square(tail).sum())
    response[0] = 1
    return fftconvolve(audio, response.astype(np.float32))[: len(audio)]  # torchaudio's takes several times longer


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
        rate: samples per second.
        condition: a name of CONDITIONS.
        rng: draws the condition's parameters.

    Returns:
        float32 (samples,), scaled down where its peak would exceed 1.

    Raises:
        ValueError: there is no such condition (names the known ones).
    """
    if condition not in CONDITIONS:
        raise ValueError(f"there is no audio condition '{condition}'; known: {' '.join(CONDITIONS)}")
    degraded = CONDITIONS[condition](audio, rate, rng)
    return (degraded / max(1.0, np.abs(degraded).max())).astype(np.float32)


def change_speed(audio: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play `factor` times as fast, pitch included, like `sox speed`: (samples,) -> about (samples / factor,)."""
    return soxr.resample(audio, rate * factor, rate)


def add_silence(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add digital silence or room tone before the speech, behind it and within it, each of them two times out of three.

    Returns:
        float32, up to three times SILENCE_SECONDS longer.
    """
    loudness = room_loudness(audio, rng)
    cut = quiet_place(audio, rate, rng)
    parts: list[np.ndarray] = []
    for speech in (audio[:0], audio[:cut], audio[cut:]):
        length = int(rng.uniform(0, SILENCE_SECONDS) * rate) if rng.random() < 2 / 3 else 0
        parts += [speech, (loudness * rng.standard_normal(length)).astype(np.float32)]
    return np.concatenate(parts)


def room_loudness(audio: np.ndarray, rng: np.random.Generator) -> float:
    """How loud the pauses in a recording are: that of room tone at ROOM_TONE_DB, or 0 for digital silence."""
    return np.sqrt(np.square(audio).mean()) * 10 ** (rng.uniform(*ROOM_TONE_DB) / 20) * rng.integers(2)


def quiet_place(audio: np.ndarray, rate: int, rng: np.random.Generator) -> int:
    """The middle of one of the quietest tenth of all windows of 50 ms: as a rule, between two words."""
    width = rate // 20
    windows = len(audio) // width
    if windows < 2:
        return len(audio) // 2
    power = np.square(audio[: windows * width]).reshape(windows, width).sum(axis=1)
    quietest = np.argsort(power)[: max(1, windows // 10)]
    return int(rng.choice(quietest)) * width + width // 2


@dataclass(frozen=True)
class Augmentation:
    """Makes another recording of the same speech every time: another speed, other pauses, another condition.

    Attributes:
        rate: of the audio, samples per second.
        speed: factors between which the speed is drawn.
        conditions: names of CONDITIONS, each with its weight: one of weight 2 is drawn twice as often as one of 1,
            one of 0 never.
        silence: share of the utterances that get silence, up to SILENCE_SECONDS each before, behind and within them.
        seconds: of longer audio a random stretch of this length is taken, or of one that is drawn between two.
    """

    rate: int
    speed: tuple[float, float] = (1.0, 1.0)
    conditions: Mapping[str, float] = field(default_factory=lambda: {"clean": 1.0})
    silence: float = 0.0
    seconds: float | Sequence[float] = math.inf

    def __post_init__(self):
        slowest, fastest = self.speed
        if not 0 < slowest <= fastest:
            raise ValueError(f"augmentation: speed must be two factors, the smaller first, not {list(self.speed)}")
        if not isinstance(self.conditions, Mapping) or not any(self.conditions.values()):
            raise ValueError(f"augmentation: conditions must be names with weights, not {self.conditions!r}")
        for condition, weight in self.conditions.items():
            if condition not in CONDITIONS:
                raise ValueError(f"augmentation: unknown condition {condition!r}; known: {', '.join(CONDITIONS)}")
            if not (isinstance(weight, int | float) and 0 <= weight < math.inf):
                raise ValueError(f"augmentation: the weight of {condition} must be a number, 0 or more, not {weight!r}")
        if not 0 <= self.silence <= 1:
            raise ValueError(f"augmentation: silence must be a share from 0 to 1, not {self.silence}")
        stretch = self._stretch()
        if len(stretch) != 2 or not 0 < stretch[0] <= stretch[1] or stretch[0] < stretch[1] == math.inf:
            raise ValueError(f"augmentation: seconds must be positive, or two, the smaller first, not {self.seconds}")

    def _stretch(self) -> tuple[float, ...]:
        """The shortest and the longest stretch that is taken, in seconds."""
        return tuple(self.seconds) if isinstance(self.seconds, list | tuple) else (self.seconds, self.seconds)

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float32 (samples,) -> float32 (samples / speed,), less with `seconds`, more with silence."""
        factor = rng.uniform(*self.speed)
        shortest, longest = self._stretch()
        seconds = shortest if shortest == longest else rng.uniform(shortest, longest)
        wanted = seconds * self.rate * factor
        if len(audio) > wanted:
            start = rng.integers(len(audio) - int(wanted) + 1)
            audio = audio[start : start + int(wanted)]
        if factor != 1.0:
            audio = change_speed(audio, self.rate, factor)
        if self.silence and rng.random() < self.silence:
            audio = add_silence(audio, self.rate, rng)
        weights = np.array(list(self.conditions.values()))
        condition = rng.choice(list(self.conditions), p=weights / weights.sum())
        return degrade(audio, self.rate, str(condition), rng)


def _tensor(audio: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))


def _round_trip(audio: np.ndarray, rate: int, container: str, coding: str, **options: float) -> np.ndarray:
    """Encode and decode in memory."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=container, subtype=coding, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _fit(audio: np.ndarray, length: int) -> np.ndarray:
    """Cut or pad with zeros at the end: block codecs round the length up."""
    return np.pad(audio[:length], (0, max(0, length - len(audio))))
