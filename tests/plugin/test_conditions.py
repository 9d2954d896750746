"""Audio conditions: what they must keep, and what each must do to the sound."""

import numpy as np
import pytest
from conditions import CONDITIONS, SNR_DB, degrade
from data_dir import UserError

RATE = 16000


def speech_like(rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """Noise bursts of a syllable's length at 0.1 standard deviation, the last fifth silent."""
    time = np.arange(int(seconds * rate)) / rate
    bursts = np.maximum(0, np.sin(2 * np.pi * 4 * time)) * (time < 0.8 * seconds)
    return (0.1 * bursts * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


def under(condition: str, audio: np.ndarray, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return degrade(audio, rate, condition, np.random.default_rng(seed))


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_every_condition_keeps_length_and_range(condition, rate):
    audio = speech_like(rate)
    for seed in range(4):
        degraded = under(condition, audio, rate, seed)
        assert degraded.shape == audio.shape and degraded.dtype == np.float32
        assert np.isfinite(degraded).all() and np.abs(degraded).max() <= 1
        assert degraded.std() > 0.2 * audio.std()


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("audio", [np.zeros(RATE, np.float32), speech_like(seconds=0.01), np.full(1, 0.5, np.float32)])
def test_silence_and_very_short_audio_are_possible(condition, audio):
    for seed in range(8):
        degraded = under(condition, audio, seed=seed)
        assert degraded.shape == audio.shape and np.isfinite(degraded).all()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_generator_decides(condition):
    audio = speech_like()
    versions = [under(condition, audio, seed=seed) for seed in range(8)]
    np.testing.assert_array_equal(under(condition, audio, seed=3), versions[3])
    assert all(np.array_equal(v, versions[0]) for v in versions) == (condition == "clean")


def test_the_input_stays_as_it_is():
    audio = speech_like()
    for condition in CONDITIONS:
        under(condition, audio)
    np.testing.assert_array_equal(audio, speech_like())


def test_noise_has_the_stated_signal_to_noise_ratio():
    audio = speech_like()
    ratios = [20 * np.log10(audio.std() / (under("noise", audio, seed=seed) - audio).std()) for seed in range(20)]
    assert SNR_DB[0] - 0.1 < min(ratios) < max(ratios) < SNR_DB[1] + 0.1
    assert max(ratios) - min(ratios) > 5


def test_reverberation_fills_the_silence_after_speech_and_decays():
    audio = speech_like(seconds=2)
    quarters = np.split(under("reverberation", audio)[int(1.6 * RATE):], 4)  # nothing but the tail
    energies = [np.square(quarter).sum() for quarter in quarters]
    assert energies[0] > 1e-4 * np.square(audio).sum()
    assert energies == sorted(energies, reverse=True)


def test_telephone_leaves_only_its_band():
    audio = speech_like()
    frequencies = np.fft.rfftfreq(len(audio), 1 / RATE)
    gain = np.abs(np.fft.rfft(under("telephone", audio))) / np.abs(np.fft.rfft(audio))
    in_band = np.median(gain[(frequencies > 500) & (frequencies < 3000)])
    assert in_band > 0.5
    assert np.median(gain[frequencies < 100]) < 0.1 * in_band
    assert np.median(gain[frequencies > 4200]) < 0.1 * in_band


def test_codecs_keep_the_alignment():
    time = np.arange(RATE) / RATE
    chirp = (0.5 * np.sin(2 * np.pi * (200 + 300 * time) * time)).astype(np.float32)
    for seed in range(8):
        assert np.corrcoef(chirp, under("codec", chirp, seed=seed))[0, 1] > 0.9


def test_an_unknown_condition_lists_the_known_ones():
    with pytest.raises(UserError, match="'echo'; known: clean noise reverberation telephone codec"):
        under("echo", speech_like())
