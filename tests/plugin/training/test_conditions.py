"""Audio conditions: what they must keep, and what each must do to the sound."""

import numpy as np
import pytest

from espnet_blrmoe.training.conditions import CONDITIONS, SILENCE_SECONDS, SNR_DB, Augmentation, add_silence, degrade
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

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
    with pytest.raises(ValueError, match="'echo'; known: clean noise reverberation telephone codec"):
        under("echo", speech_like())


def test_augmentation_is_another_recording_every_time_and_the_generators_choice():
    augment = Augmentation(RATE, speed=(0.8, 1.25), conditions=dict.fromkeys(CONDITIONS, 1))
    audio = speech_like()
    lengths = [len(augment(audio, np.random.default_rng(seed))) for seed in range(20)]
    assert RATE / 1.26 < min(lengths) < 0.9 * RATE and 1.1 * RATE < max(lengths) < RATE / 0.79
    np.testing.assert_array_equal(*(augment(audio, np.random.default_rng(3)) for _ in range(2)))


def test_conditions_come_as_often_as_their_weights_say():
    augment = Augmentation(RATE, conditions={"clean": 3, "telephone": 1, "noise": 0})
    audio = speech_like()[: RATE // 10]
    clean = sum(augment(audio, np.random.default_rng(seed)).tolist() == audio.tolist() for seed in range(200))
    assert 130 <= clean <= 170


def test_faster_speech_is_higher():
    tone = np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE).astype(np.float32)
    faster = Augmentation(RATE, speed=(1.25, 1.25))(tone, np.random.default_rng(0))
    assert abs(len(faster) - RATE / 1.25) <= 1
    peak = np.argmax(np.abs(np.fft.rfft(faster))) * RATE / len(faster)
    assert abs(peak - 500) < 2


def test_long_audio_is_cut_to_a_stretch_at_random():
    audio = np.arange(1, 3 * RATE + 1, dtype=np.float32) / (3 * RATE)  # so that each sample says where it was
    starts = set()
    for seed in range(20):
        stretch = Augmentation(RATE, seconds=1.0)(audio, np.random.default_rng(seed))
        assert len(stretch) == RATE
        starts.add(round(float(stretch[0]) * 3 * RATE))
    assert len(starts) > 15 and min(starts) < RATE / 2 and max(starts) > 1.5 * RATE
    assert len(Augmentation(RATE, seconds=5.0)(audio, np.random.default_rng(0))) == len(audio)


def test_the_length_of_a_stretch_is_drawn_between_two():
    audio = np.ones(3 * RATE, dtype=np.float32)
    lengths = [len(Augmentation(RATE, seconds=[0.5, 4.0])(audio, np.random.default_rng(n))) / RATE for n in range(50)]
    assert 0.5 <= min(lengths) < 1.0 and sum(length == 3.0 for length in lengths) in range(5, 25)
    assert len({*lengths}) > 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": (1.2, 0.8)}, "speed must be two factors, the smaller first"),
        ({"speed": (0.0, 1.0)}, "speed must be two factors"),
        ({"conditions": {"echo": 1}}, "unknown condition 'echo'; known: clean, noise"),
        ({"conditions": ["clean"]}, "conditions must be names with weights"),
        ({"conditions": {}}, "conditions must be names with weights"),
        ({"conditions": {"clean": 0}}, "conditions must be names with weights"),
        ({"conditions": {"clean": 1, "noise": -1}}, "the weight of noise must be a number, 0 or more, not -1"),
        ({"conditions": {"clean": "often"}}, "the weight of clean must be a number, 0 or more, not 'often'"),
        ({"seconds": 0}, "seconds must be positive"),
        ({"seconds": [3.0, 0.5]}, r"seconds must be positive, or two, the smaller first, not \[3.0, 0.5\]"),
        ({"seconds": [3.0, np.inf]}, r"seconds must be positive, or two, the smaller first, not \[3.0, inf\]"),
        ({"seconds": [3.0]}, r"seconds must be positive, or two, the smaller first, not \[3.0\]"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(RATE, **options)


def test_training_hears_other_audio_every_time_and_validation_the_same():
    audio = speech_like()
    options = {"speed": [0.8, 1.25], "conditions": {"noise": 1}}

    def heard(**settings) -> list[np.ndarray]:
        preprocess = BLRMoEPreprocessor(fs=RATE, augmentation=options, **settings)
        return [preprocess("utt1", {"speech": audio.copy()})["speech"] for _ in range(2)]

    first, second = heard(train=True)
    assert first.shape != second.shape or not np.array_equal(first, second)
    np.testing.assert_array_equal(*heard(train=True, repeatable=True))
    for recording in heard(train=False):  # as at inference
        np.testing.assert_array_equal(recording, audio)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"augmentation": {"speed": [0.9, 1.1]}}, "needs fs"), ({"fs": RATE, "augmentation": {"pitch": 2}}, "pitch")],
)
def test_a_preprocessor_says_what_its_augmentation_lacks(settings, message):
    with pytest.raises(ValueError, match=f"^preprocessor_conf: .*{message}"):
        BLRMoEPreprocessor(train=True, **settings)


def test_silence_comes_before_within_and_behind_the_speech():
    audio = speech_like()
    places = {"before": 0, "behind": 0, "digital": 0}
    for seed in range(60):
        longer = add_silence(audio, RATE, np.random.default_rng(seed))
        assert longer.dtype == np.float32 and 0 <= len(longer) - len(audio) <= 3 * SILENCE_SECONDS * RATE
        head, tail = audio[: RATE // 10], audio[-RATE // 4 :]
        places["before"] += not np.array_equal(longer[: len(head)], head)
        places["behind"] += not np.array_equal(longer[-len(tail) :], tail)
        places["digital"] += len(longer) > len(audio) and not np.setdiff1d(longer, audio).any()
    assert all(20 <= count for count in places.values()), places


def test_the_speech_is_kept_whole_around_silence():
    audio = speech_like()
    longer = add_silence(audio, RATE, np.random.default_rng(1))
    kept = longer[np.isin(longer, audio[audio != 0])]
    np.testing.assert_array_equal(kept, audio[audio != 0])


def test_a_share_of_the_utterances_gets_silence():
    augment = Augmentation(RATE, silence=0.25)
    longer = [len(augment(speech_like(), np.random.default_rng(seed))) > RATE for seed in range(200)]
    assert 0.15 < np.mean(longer) < 0.33
    with pytest.raises(ValueError, match="silence must be a share from 0 to 1, not 3"):
        Augmentation(RATE, silence=3)
