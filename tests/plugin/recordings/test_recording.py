"""Recordings in any format: whole, in stretches, from pipes, several in one file, and what is refused."""

import io
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import (
    FORMATS,
    NOISE,
    RATE,
    encoded,
    id3,
    noise,
    ogg_page,
    put,
    refusal,
)

from espnet_blrmoe.recordings import open_file
from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.recordings.recording import Recording, length, read, resample
from espnet_blrmoe.recordings.unusable import UnusableAudio

soundfile.write(ALAC := io.BytesIO(), NOISE, RATE, format="CAF", subtype="ALAC_16")
# What each coding makes of it: samples that it adds at the end to fill a block, and how far off it may be.
PADDED = {"IMA ADPCM wav": 1017, "MS ADPCM wav": 1012, "GSM wav": 320}
LOSSY = {"mu-law wav": 0.02, "A-law wav": 0.02, "IMA ADPCM wav": 0.4, "MS ADPCM wav": 0.4, "GSM wav": 0.6, "ogg": 0.3,
         "opus": 0.6, "mp3": 0.6}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_whole(write, name):
    path = write(encoded(name, NOISE))
    samples, rate = read(path)
    assert samples.dtype == np.float32 and samples.ndim == 1 and rate == RATE
    assert len(NOISE) <= len(samples) == length(path) < len(NOISE) + PADDED.get(name, 1)
    assert np.abs(samples[: len(NOISE)] - NOISE).max() < LOSSY.get(name, 1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_a_stretch_is_what_the_whole_has_there(write, name):
    path = write(encoded(name, NOISE))
    whole, _ = read(path)
    near = 0.02 if name == "mp3" else 0  # a decoder that begins in the middle has not heard what was before
    with Recording(path) as recording:
        for first, end in ((3000, 9000), (9000, 9100), (12_000, 12_100), (0, 500), (len(whole) - 10, len(whole))):
            assert np.abs(recording.read(first, end) - whole[first:end]).max() <= near
        assert np.abs(recording.read() - whole).max() <= near
        with pytest.raises(UnusableAudio, match=f"no sample {len(whole)}: it has {len(whole)}, counted from 0"):
            recording.read(len(whole), len(whole) + 10)
        with pytest.raises(UnusableAudio, match=f"cut off: it has 10 of the 20 samples from {len(whole) - 10} on"):
            recording.read(len(whole) - 10, len(whole) + 10)


@pytest.mark.parametrize("name", FORMATS)
def test_files_that_are_cut_off(write, name):
    content = encoded(name, NOISE)
    for share in (0.5, 0.9, 0.99):
        refused = refusal(write(content[: int(share * len(content))]))
        assert refused.reason == ("damaged" if name == "flac" else "cut off")
        assert str(refused).endswith("/talk new.wav")


@pytest.mark.parametrize("name", set(FORMATS) - {"sph"})
def test_a_file_that_was_written_behind_another_is_read_too(write, name):
    whole, _ = read(write(encoded(name, NOISE)))
    path = write(encoded(name, NOISE) + encoded(name, noise(0.7, seed=1)) + encoded(name, NOISE))
    samples, _ = read(path)
    assert len(samples) == length(path) and len(samples) >= 3.3 * RATE
    assert np.array_equal(samples[: len(whole)], whole) and np.array_equal(samples[-len(whole) :], whole)
    with Recording(path) as recording:
        across = recording.read(len(whole) - 100, len(whole) + 20_000)
        last = recording.read(len(samples) - 50, len(samples))
    assert np.abs(across - samples[len(whole) - 100 : len(whole) + 20_000]).max() < 0.02
    assert np.abs(last - samples[-50:]).max() < 0.02


@pytest.mark.parametrize("name", ["ogg", "opus", "flac", "mp3", "wav"])
def test_parts_of_different_sampling_rates_are_refused(write, name):
    rates = (8000, 16000)
    refused = refusal(write(b"".join(encoded(name, noise(1.0), rate) for rate in rates)))
    assert "its 2 parts have different sampling rates, 8000 and 16000 Hz; convert it: ffmpeg" in str(refused)


def test_parts_with_one_and_two_channels(write):
    samples, _ = read(write(encoded("flac", NOISE) + encoded("flac", np.stack([NOISE, NOISE], axis=1))))
    assert np.abs(samples - np.tile(NOISE, 2)).max() < 1e-4


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) >= "2.5.0", reason="NumPy counts an array that grows at its old place too"
)
@pytest.mark.parametrize("name, channels", [("float wav", 1), ("float wav", 6), ("flac", 2)])
def test_a_long_recording_fits_into_memory_once(write, name, channels):
    long = noise(80.0)  # more than one block
    path = write(encoded(name, np.stack([long] * channels, axis=1)))
    tracemalloc.start()
    samples, _ = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(samples - long).max() < 1e-4
    assert peak < 1.2 * samples.nbytes


# ---------------------------------------------------------------------------------------------- what is not read at all

REFUSED = {  # how they begin, and what is said of them; those of docs/audio.md by their names there
    "m4a": (b"\0\0\0\x20ftypM4A ", "it is an m4a or mp4 file; convert it: ffmpeg -i "),
    "mp4": (b"\0\0\0\x20ftypisom", "it is an m4a or mp4 file; convert it: ffmpeg -i "),
    "aac": (b"\xff\xf1\x50\x80", "it is an aac file; convert it: ffmpeg -i "),
    "wma": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "it is a wma file; convert it: ffmpeg -i "),
    "amr": (b"#!AMR\n", "it is an amr file; convert it: ffmpeg -i "),
    "webm": (b"\x1a\x45\xdf\xa3webm", "it is a webm or mkv file; convert it: ffmpeg -i "),
    "mkv": (b"\x1a\x45\xdf\xa3matroska", "it is a webm or mkv file; convert it: ffmpeg -i "),
    "avi": (b"RIFF\0\0\0\0AVI LIST", "it is an avi file; convert it: ffmpeg -i "),
    "flv": (b"FLV\1", "it is a flash video; convert it: ffmpeg -i "),
    "voc": (b"Creative Voice File\x1a", "it is damaged, or in a format that is not read here; convert it: ffmpeg -i "),
    "alac": (ALAC.getvalue(), "it is a caf file whose coding is not PCM; convert it: ffmpeg -i "),
    "ogg flac": (ogg_page(b"\x7fFLAC"), "it is an ogg file with something else than vorbis or opus in it; convert it"),
    "speex": (ogg_page(b"Speex   "), "it is an ogg file with something else than vorbis or opus in it; convert it"),
    "shorten": (put(encoded("sph", NOISE), 100, b"embedded-shorten"), "it is compressed by shorten; convert it"),
}
NO_AUDIO = {
    b"version https://git-lfs.github.com/spec/v1": "it is not the audio but its address, which git lfs pull follows",
    b"<!DOCTYPE html>": "it is a web page or another text",
    b"no audio": "it is damaged, or in a format that is not read here",
    b"1234": "it is damaged, or in a format that is not read here",
    encoded("wav", NOISE)[:36]: "no audio comes behind its header",
    encoded("au", NOISE)[:6]: "its header is not whole",
    b"fLaC": "it begins as FLAC does, but does not go on so",
}


@pytest.mark.parametrize("content, sentence", [*REFUSED.values(), *NO_AUDIO.items()])
def test_what_is_not_read_is_called_by_its_name(write, content, sentence):
    refused = refusal(write(content, "my talk.wav"))
    assert sentence in str(refused) and "my talk.wav' new.wav" in str(refused)
    assert refused.reason == "unreadable"


def test_a_file_that_is_cut_off_within_its_tag(write):
    refused = refusal(write(id3()[:500]))
    assert "is cut off: nothing comes behind its tags" in str(refused) and refused.reason == "cut off"


def test_the_page_on_audio_lists_the_formats():
    page = (Path(__file__).parents[3] / "docs/audio.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (yes|no)\b", page, re.MULTILINE)
    names = {answer: {name for names, own in rows if own == answer for name in re.findall("`(.*?)`", names)}
             for answer in ("yes", "no")}  # fmt: skip
    assert names == {"yes": set(FORMATS), "no": set(REFUSED)}


def test_files_that_are_not_there(tmp_path, write):
    for path, sentence, reason in (
        (tmp_path / "nowhere.wav", "does not exist", "missing"),
        (tmp_path, "is a folder; name the audio files in it", "folder"),
        (write(b""), "is empty; it must have at least one sample", "empty"),
        ("/dev/null", "is a terminal or another device; name a file, or a pipe", "unreadable"),
        (write(b"") / "talk.wav", "cannot be opened: Not a directory", "unreadable"),
    ):
        refused = refusal(path)
        assert (str(refused), refused.reason) == (f"{path} {sentence}", reason)


@pytest.mark.parametrize("rate", [10, 2_000_000])
def test_no_sampling_rate_of_audio(write, rate):
    assert f"has a sampling rate of {rate} Hz" in str(refusal(write(encoded("wav", NOISE, rate))))


# ------------------------------------------------------------------------------------------------------ names and pipes


def test_a_file_whose_name_looks_like_a_stretch(write):
    path = write(encoded("wav", NOISE), "talk[1:2]")
    assert split_range(str(path)) == (str(path), 0, None)
    assert len(read(path)[0]) == len(NOISE)
    assert len(read(f"{path}[10:19]")[0]) == length(f"{path}[10:19]") == 10


def test_a_file_whose_name_is_not_utf_8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    with open(path, "wb") as file:
        file.write(encoded("wav", NOISE))
    assert len(read(path)[0]) == len(NOISE)


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "ogg"])
def test_a_pipe_with_a_name(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    content = encoded(name, NOISE)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    samples, _ = read(tmp_path / "pipe")
    writer.join()
    (tmp_path / "file").write_bytes(content)
    assert np.array_equal(samples, read(tmp_path / "file")[0])


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
@pytest.mark.parametrize("is_pipe", [True, False])
def test_standard_input(write, path, is_pipe):
    program = f"from espnet_blrmoe.recordings.recording import read; print(len(read({path!r})[0]))"
    file = write(encoded("wav", NOISE))
    with file.open("rb") as opened:
        given = {"input": file.read_bytes()} if is_pipe else {"stdin": opened}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, **given)
    assert (done.returncode, done.stdout) == (0, b"%d\n" % len(NOISE)), done.stderr


def test_a_pipe_that_the_temporary_folder_cannot_hold(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"RIFF",))
    writer.start()
    monkeypatch.setattr(open_file.tempfile, "tempdir", str(tmp_path / "nowhere"))
    refused = refusal(tmp_path / "pipe")
    writer.join()
    assert "does not fit into" in str(refused) and str(refused).endswith("let TMPDIR name another folder")


# ------------------------------------------------------------------------------------------------------------- channels


def test_channels_are_averaged(write, caplog):
    left, right = NOISE, noise(1.3, seed=1)
    samples, _ = read(write(encoded("float wav", np.stack([left, right], axis=1))))
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-7)
    assert not caplog.records


@pytest.mark.parametrize("channels, used, expected", [
    ((1, -1), "1", 1), ((-0.9, 1), "2", 1), ((1, -0.95, 0), "1", 1),  # cancel each other
    ((0, 1), "2", 1), ((1, 1e-4), "1", 1), ((1, 0, 0.5), "1, 3", 0.75),  # dead
])  # fmt: skip
def test_channels_that_are_dead_or_cancel_each_other(write, caplog, channels, used, expected):
    samples, _ = read(write(encoded("float wav", NOISE[:, None] * np.float32(channels))))
    np.testing.assert_allclose(samples, expected * NOISE, atol=1e-6)
    [record] = caplog.records
    assert f"talk: of its {len(channels)} channels only {used} is used" in record.getMessage()


def test_a_quiet_speaker_with_a_channel_of_his_own_stays(write):
    quiet = 0.03 * noise(1.3, seed=1)
    samples, _ = read(write(encoded("float wav", np.stack([NOISE, quiet], axis=1))))
    np.testing.assert_allclose(samples, (NOISE + quiet) / 2, atol=1e-7)


def test_silence_in_two_channels(write, caplog):
    assert not read(write(encoded("wav", np.zeros((1000, 2)))))[0].any()
    assert not caplog.records


# ----------------------------------------------------------------------------------------------------------- resampling


def test_speed_changes_length_and_pitch():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE, dtype=np.float32) / RATE)
    samples = resample(tone, 1.25 * RATE, RATE)
    assert len(samples) == RATE / 1.25
    middle = samples[2000:-2000]
    assert np.count_nonzero(np.diff(np.signbit(middle))) / 2 * RATE / len(middle) == pytest.approx(550, abs=4)
