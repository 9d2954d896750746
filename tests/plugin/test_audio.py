"""Audio in any form: files, channels, sampling rates, cutting, what cannot be used."""

import itertools
import math

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe.audio import cut, extent, in_batches, load, resample

RATE = 16000


def tone(frequency: float, rate: int, seconds: float = 0.25) -> np.ndarray:
    """(samples,) float32."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


# --------------------------------------------------------------------------------------------------- files and arrays


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "FLOAT", 0.0),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "ULAW", 2e-2),
        ("a.flac", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.1),
        ("a.mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_files_of_any_format(tmp_path, name, subtype, tolerance):
    expected = tone(440, RATE, 1.0)
    soundfile.write(tmp_path / name, expected, RATE, subtype=subtype)
    for path in (tmp_path / name, str(tmp_path / name)):
        wave = load(path, RATE)
        assert wave.dtype == torch.float32
        middle = slice(2000, -2000)  # mp3 blurs the ends
        assert np.abs(wave.numpy()[: len(expected)] - expected)[middle].max() <= tolerance


def test_a_file_brings_its_own_sampling_rate(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000, subtype="FLOAT")
    expected = load(tone(440, 8000), RATE, rate=8000)
    assert load(tmp_path / "a.wav", RATE).equal(expected)
    assert load(tmp_path / "a.wav", RATE, rate=44100).equal(expected)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([tone(440, RATE), tone(700, RATE)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    for audio in (stereo, torch.from_numpy(stereo), tmp_path / "a.wav"):
        assert load(audio, RATE).numpy() == pytest.approx(stereo.mean(axis=1), abs=1e-7)


def test_one_channel_at_the_models_rate_is_left_as_it_is():
    wave = tone(440, RATE)
    assert np.array_equal(load(wave, RATE).numpy(), wave)
    assert load(wave[:, None], RATE).equal(load(wave, RATE))
    assert load(wave.astype(np.float64), RATE).dtype == torch.float64
    assert load(torch.from_numpy(wave).half(), RATE).dtype == torch.float32


def test_a_long_file_is_read_whole(tmp_path):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 2**20 + 17).astype(np.float32)  # more than one block
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert np.array_equal(load(tmp_path / "a.wav", RATE).numpy(), wave)


# ------------------------------------------------------------------------------------------------------ sampling rates


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 16001, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("fs", [8000, 16000])
def test_a_tone_stays_the_same_tone_at_any_sampling_rate(rate, fs):
    wave = load(tone(440, rate), fs, rate=rate)
    assert len(wave) == pytest.approx(0.25 * fs, abs=2)
    middle = slice(100, -100)  # a filter sees nothing beyond the ends
    assert wave.numpy()[: round(0.25 * fs)][middle] == pytest.approx(tone(440, fs)[: len(wave)][middle], abs=0.03)


def test_what_the_lower_rate_cannot_carry_is_filtered_out():
    assert load(tone(20_000, 96_000), 8000, rate=96_000)[100:-100].abs().max() < 1e-3


@pytest.mark.parametrize("rate", [0, -8000, 10, 2_000_000_011, math.nan, "16000"])
def test_no_sampling_rate_of_audio(rate):
    with pytest.raises(ValueError, match=f"sampling rate of {rate!r} Hz; it must be a number from 1000 to 1000000"):
        resample(torch.zeros(100), rate, RATE)


# -------------------------------------------------------------------------------------------------------------- cutting


@given(seconds=st.floats(0.01, 40), longest=st.floats(1, 10), seed=st.integers(0, 9))
def test_pieces_cover_the_audio_and_are_neither_too_long_nor_too_short(seconds, longest, seed):
    fs = 1000
    wave = torch.randn(max(1, int(seconds * fs)), generator=torch.Generator().manual_seed(seed))
    pieces = cut(wave, fs, longest)
    assert pieces[0][0] == 0 and pieces[-1][1] == len(wave)
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(pieces))
    assert all(end - start <= longest * fs for start, end in pieces)
    assert len(pieces) == 1 or all(end - start >= int(longest * fs / 6) for start, end in pieces)
    assert len(pieces) == 1 or len(wave) > longest * fs


def test_cuts_are_made_in_pauses():
    fs = 8000
    wave = torch.randn(60 * fs, generator=torch.Generator().manual_seed(0))
    pauses = (8.2, 16.7, 24.0, 26.0, 33.1, 41.0, 50.0)  # one or two in the last third of each piece
    for pause in pauses:
        wave[int(pause * fs) : int((pause + 0.2) * fs)] *= 0.01
    cuts = [start / fs for start, _ in cut(wave, fs, 10)][1:]
    assert len(cuts) == 6
    assert all(any(pause < place < pause + 0.2 for pause in pauses) for place in cuts)


def test_infinity_never_cuts():
    assert cut(torch.zeros(100_000), 1000, math.inf) == [(0, 100_000)]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 200))
def test_batches_are_consecutive_and_bounded(lengths, most):
    batches = list(in_batches([torch.zeros(length) for length in lengths], most))
    assert [position for batch in batches for position in batch] == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= most
    for batch, following in itertools.pairwise(batches):  # no batch is smaller than need be
        with_next = [*batch, following[0]]
        assert len(with_next) * max(lengths[position] for position in with_next) > most


# ------------------------------------------------------------------------------------------------------------- mistakes


def test_files_that_cannot_be_used(tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.1, size=50_000).astype(np.float32)
    for name in ("cut.flac", "cut.mp3", "cut.ogg", "cut.wav"):
        soundfile.write(tmp_path / name, noise, RATE)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "rate.wav", noise, 10)
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "headless.raw").write_bytes(b"1234")
    messages = {
        "missing.wav": "does not exist",
        ".": "is a folder; name the audio files in it",
        "zero.wav": "is empty",
        "text.wav": "cannot be read as audio",
        "headless.raw": "cannot be read as audio",
        "cut.flac": "is damaged: some of its samples cannot be decoded, or its end is missing",
        "cut.mp3": r"is cut off: it has \d+ of the \d+ frames",
        "cut.ogg": "is cut off: its last page is not whole",
        "cut.wav": r"is cut off: it has 49,978 of the 100,000 bytes",
        "empty.wav": "is empty",
        "nan.wav": "holds NaN or infinite samples",
        "rate.wav": "has a sampling rate of 10 Hz",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError, match=f"^{tmp_path / name} {message}"):
            load(tmp_path / name, RATE)


def test_speech_begins_and_ends_where_it_is_loud():
    silence = 1e-4 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    wave = torch.cat([silence, torch.from_numpy(tone(440, RATE, 2.0)), silence[: RATE // 2]])
    assert extent(wave, RATE) == pytest.approx((1.0, 3.0), abs=0.011)


def test_a_click_is_not_what_speech_is_measured_by():
    speech = 0.01 * tone(440, RATE, 2.0)
    speech[RATE : RATE + 80] = 1.0
    wave = torch.cat([torch.zeros(RATE), torch.from_numpy(speech), torch.zeros(RATE)])
    assert extent(wave, RATE) == pytest.approx((1.0, 3.0), abs=0.011)


@pytest.mark.parametrize("wave", [torch.zeros(100), torch.ones(3), torch.zeros(1000)])
def test_sound_of_any_length_has_an_extent(wave):
    assert extent(wave, RATE)[0] == 0
