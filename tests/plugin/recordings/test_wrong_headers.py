"""Recordings whose headers are wrong or silent about their length are read as far as there is audio."""

import numpy as np
import pytest
from sound_files import (
    NOISE,
    RATE,
    encoded,
    id3,
    noise,
    put,
    refusal,
    with_flac_length,
    with_wav_length,
    without_contents,
)

from espnet_blrmoe.recordings.recording import Recording, length, read

LIMITS = (2**31 - 1, 2**32 - 1, 2**32 - 37, 0x7FFFF000, 2**31, 2**30)


@pytest.mark.parametrize("announced", [0, 1, 2, 1000, 41_500, 41_601, 1_000_000_000, 2_000_000_000, *LIMITS])
def test_a_wav_file_whose_length_nobody_knew(write, announced):
    samples, _ = read(write(with_wav_length(encoded("wav", NOISE), announced)))
    assert np.abs(samples - NOISE).max() < 1e-4


def test_a_wav_file_that_announces_a_little_more_is_cut_off(write):
    refused = refusal(write(with_wav_length(encoded("wav", NOISE), 50_000)))
    assert "is cut off: it has 41,600 of the 50,000 bytes of audio that it announces; get it again" in str(refused)


@pytest.mark.parametrize("tail", [b"LIST\4\0\0\0INFO", b"LIST\xff\0\0\0INFO", b"TAG" + bytes(125), id3()])
def test_what_comes_behind_a_wav_files_audio(write, tail):
    content = encoded("wav", NOISE)
    samples, _ = read(write(content + tail))
    assert len(samples) == len(NOISE) or tail.startswith(b"LIST\xff")


def test_an_empty_wav_file_with_a_chunk_behind(write):
    with Recording(write(encoded("wav", NOISE[:0]) + b"LIST\4\0\0\0INFO")) as recording:
        assert len(recording.read()) == recording.length == 0


@pytest.mark.parametrize("name, place, size", [("rf64", 28, 8), ("w64", 96, 8), ("aiff", 42, 4), ("au", 8, 4)])
@pytest.mark.parametrize("announced", [0, 1000, None])
def test_other_headers_that_do_not_know_the_length(write, name, place, size, announced):
    content = encoded(name, NOISE)
    order = "big" if name in ("aiff", "au") else "little"
    number = 2 ** (8 * size) - 1 if announced is None else announced
    samples, _ = read(write(put(content, place, number.to_bytes(size, order))))
    assert len(samples) in range(len(NOISE), len(NOISE) + 2)
    assert np.abs(samples[: len(NOISE)] - NOISE).max() < 1e-4


def test_rf64_by_its_new_name(write):
    assert np.abs(read(write(put(encoded("rf64", NOISE), 0, b"BW64")))[0] - NOISE).max() < 1e-4


@pytest.mark.parametrize("announced", [0, 10_000])
def test_a_flac_file_that_does_not_know_its_length(write, announced):
    content = encoded("flac", NOISE)
    path = write(with_flac_length(content, announced))
    with Recording(path) as recording:
        for first in (2000, 15_000):
            assert np.abs(recording.read(first, first + 1000) - NOISE[first : first + 1000]).max() < 1e-4
        assert np.abs(recording.read() - NOISE).max() < 1e-4
        assert not recording.is_plain
    assert length(path) == len(NOISE)
    chained = path.read_bytes() + content
    assert np.abs(read(write(chained))[0] - np.tile(NOISE, 2)).max() < 1e-4


def test_a_flac_file_with_a_damaged_byte(write):
    content = encoded("flac", NOISE)
    refused = refusal(write(put(content, len(content) // 2, b"\0\1\2\3")))
    assert "is damaged: some of its samples cannot be decoded, or its end is missing" in str(refused)


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_an_ogg_file_with_a_damaged_or_a_missing_page(write, name):
    content = encoded(name, noise(15.0))
    assert "is damaged: the page at byte " in str(refusal(write(put(content, len(content) // 2, b"\0\1\2\3"))))
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    assert "is damaged: a page is missing" in str(refusal(write(b"".join(pages[:4] + pages[5:]))))
    assert "is cut off: its last page does not end it" in str(refusal(write(b"".join(pages[:-1]))))
    assert "before the one before it has ended" in str(refusal(write(b"".join(pages[:-1] + pages))))


@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_file_of_varying_bit_rate_that_says_nothing_of_its_length(write, quiet_first):
    """libmpg123 guesses from the first frames."""
    parts = [1e-3 * noise(6.0), noise(6.0)]
    mp3 = encoded("mp3", np.concatenate(parts if quiet_first else parts[::-1]))
    samples, _ = read(write(without_contents(mp3)))
    assert len(samples) == pytest.approx(12 * RATE, abs=2000)
    assert len(read(write(id3() + without_contents(mp3) + b"TAG" + bytes(125)))[0]) == len(samples)
    assert "is cut off: its last frame is not whole" in str(refusal(write(without_contents(mp3)[:-10])))


def test_an_mp3_file_that_announces_another_number_of_frames(write):
    mp3 = encoded("mp3", NOISE)
    place = mp3.index(b"Xing") + 8
    few = read(write(put(mp3, place, (10).to_bytes(4, "big"))))[0]
    assert len(few) == pytest.approx(len(NOISE), abs=2000)
    many = refusal(write(put(mp3, place, (1000).to_bytes(4, "big"))))
    assert "of the 1000 frames that it announces" in str(many)


def test_an_mp3_file_with_tags_or_damage_within(write):
    mp3 = encoded("mp3", NOISE)
    whole = read(write(mp3))[0]
    assert np.array_equal(read(write(id3() + mp3 + id3() + mp3))[0], np.tile(whole, 2))
    assert np.array_equal(read(write(mp3 + b"ID3"))[0], whole)
    middle = mp3.index(b"\xff\xf3", len(mp3) // 2)
    assert "is damaged: no frame begins at byte" in str(refusal(write(mp3[:middle] + b"junk" + mp3[middle:])))
    assert "frames are missing before byte" in str(refusal(write(mp3[:middle] + mp3)))
