"""Silence and noise are told: no text and no language. Speech stays, however quiet or short."""

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from recognition import BEAM_SEARCH, BEST_PATH, assert_same
from tiny import LANGUAGES, RATE, speech_of

from espnet_blrmoe import Speech2Text, Transcript, audio
from espnet_blrmoe.inference.speech_activity import has_speech, network

TIMES = np.arange(3 * RATE) / RATE
GENERATOR = np.random.default_rng(0)


def harmonics(pitch: float) -> np.ndarray:
    return sum(np.sin(2 * np.pi * n * pitch * TIMES) / n for n in range(1, 8))


def pink_noise() -> np.ndarray:
    spectrum = np.fft.rfft(GENERATOR.standard_normal(len(TIMES)))
    return np.fft.irfft(spectrum / np.sqrt(1 + np.arange(len(spectrum))))


NOISES = {
    "white noise": GENERATOR.standard_normal(len(TIMES)),
    "pink noise": pink_noise(),
    "hum": harmonics(50),
    "chord": sum(map(harmonics, (262, 330, 392))),
    "beeps": np.sin(2 * np.pi * 1000 * TIMES) * (TIMES % 1 < 0.5),
    "clicks": (GENERATOR.random(len(TIMES)) < 1e-3) * 1.0,
    "noise that swells": GENERATOR.standard_normal(len(TIMES)) * (1 + np.sin(2 * np.pi * 4 * TIMES)),
}


def scaled(sound: np.ndarray, decibels: float) -> np.ndarray:
    """(samples,) whose largest sample is this far below full scale, as a file of 16 bits has it."""
    return np.round(sound / np.abs(sound).max() * 10 ** (decibels / 20) * 32767) / 32768


def assert_nobody_speaks(transcript: Transcript) -> None:
    assert (transcript.text, transcript.language, transcript.language_probability) == ("", None, 0.0)
    assert transcript.timeline == ()
    assert transcript.frames == dict.fromkeys(LANGUAGES, 0)
    assert [(text, tokens, ids) for text, tokens, ids, _ in transcript.hypotheses] == [("", [], [])]
    assert {(chunk.text, chunk.language) for chunk in transcript.chunks} == {("", None)}


@pytest.mark.parametrize("offset", [0.0, 0.5, -1.0])
@pytest.mark.parametrize("decibels", [None, -90, -72])
def test_digital_silence_has_no_text_and_no_language(speech2text, decibels, offset):
    wave = np.zeros(RATE) if decibels is None else scaled(NOISES["white noise"], decibels)
    assert_nobody_speaks(speech2text(wave + offset))


@pytest.mark.parametrize("decibels", [-55, -30, -1])
@pytest.mark.parametrize("noise", NOISES)
def test_noise_has_no_text_and_no_language(speech2text, noise, decibels):
    wave = scaled(NOISES[noise], decibels)
    assert_nobody_speaks(speech2text(wave))
    assert_nobody_speaks(speech2text(wave + 0.3, languages="de"))
    assert_nobody_speaks(speech2text(np.tile(wave, 4)))


@pytest.mark.parametrize("options", [BEST_PATH, {**BEAM_SEARCH, "nbest": 2}], ids=["best-path", "beam-search"])
def test_noise_leaves_the_other_utterances_of_a_batch_alone(tiny_model, options):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, **options)
    first, last = speech_of(1.3, seed=0), speech_of(0.9, seed=1)
    batch = speech2text.batch([first, scaled(NOISES["hum"], -20), last, np.zeros(10)], ["en", "de", "zh-CN", "de"])
    assert_same(batch[0], speech2text(first, "en"))
    assert_same(batch[2], speech2text(last, "zh-CN"))
    assert_nobody_speaks(batch[1])
    assert_nobody_speaks(batch[3])


def test_a_chunk_without_speech_has_no_say_in_the_language(tiny_model):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=2, **BEST_PATH)
    speech, noise = speech_of(1.8, seed=0), scaled(NOISES["white noise"], -40)
    transcript = speech2text(np.concatenate([speech, noise, noise, speech_of(1.8, seed=4)]))
    spoken = [chunk.language is not None for chunk in transcript.chunks]
    assert spoken[0] and spoken[-1] and not all(spoken)
    assert transcript.text == " ".join(chunk.text for chunk in transcript.chunks if chunk.text)
    assert transcript.language_probability >= 1 / len(LANGUAGES)
    for one, following in itertools.pairwise(transcript.chunks):
        assert one.end == following.start
    for chunk in transcript.chunks:
        overlap = [span for span in transcript.timeline if span.start < chunk.end - 0.1 and span.end > chunk.start]
        assert bool(overlap) == (chunk.language is not None)


@pytest.mark.parametrize("decibels", [0, -40, -50])
@pytest.mark.parametrize("seed", range(10))
def test_speech_is_heard_however_quiet(seed, decibels):
    for seconds in (0.5, 1.3, 4.0):
        assert has_speech(torch.from_numpy(scaled(speech_of(seconds, seed), decibels)), RATE)


@pytest.mark.parametrize("silence", [0.0, 1.0, 3.0])
def test_a_short_word_is_heard(silence):
    pause = np.zeros(round(silence * RATE))
    for seed in range(10):
        assert has_speech(torch.from_numpy(np.concatenate([pause, speech_of(0.3, seed), pause])), RATE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_audio_of_any_sampling_rate_and_precision(rate, dtype):
    speech, noise = (
        audio.resample(torch.from_numpy(wave).float(), RATE, rate).to(dtype)
        for wave in (speech_of(2.0, seed=0), scaled(NOISES["pink noise"], -20))
    )
    assert has_speech(speech, rate)
    assert not has_speech(noise, rate)


def test_threads_share_the_network():
    waves = [torch.from_numpy(wave).float() for seed in range(4) for wave in (speech_of(2.0, seed), *NOISES.values())]
    expected = [has_speech(wave, RATE) for wave in waves]
    assert 0 < sum(expected) < len(waves)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda wave: has_speech(wave, RATE), waves * 4)) == expected * 4


def test_the_network_leaves_torch_its_threads(monkeypatch):
    before = torch.get_num_threads()
    for name in [name for name in sys.modules if name.partition(".")[0] == "silero_vad"]:
        monkeypatch.delitem(sys.modules, name)
    network.cache_clear()
    torch.set_num_threads(before + 1)
    try:
        network()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_real_speech_is_heard(shared_data):
    files = sorted([*shared_data.glob("cv-mini/*/clips/*.mp3"), *shared_data.glob("artikulate-mini/*/clips/*.ogg")])
    unheard = []
    for file in files[::40]:
        wave = audio.load(file, RATE)
        if not has_speech(wave, RATE):
            unheard.append(file.name)
    assert len(files) > 2000 and unheard == []
