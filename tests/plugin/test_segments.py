"""Kaldi's table of segments: utterances are stretches of the recordings of wav.scp."""

from pathlib import Path

import pytest
import soundfile
from tiny import RATE, one_sentence, speech_of

from espnet_blrmoe.segments import read_audio_table


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two recordings of three seconds, the second at twice the rate."""
    soundfile.write(tmp_path / "a.wav", speech_of(3.0, seed=0), RATE)
    soundfile.write(tmp_path / "b.flac", speech_of(6.0, seed=1), 2 * RATE)
    (tmp_path / "wav.scp").write_text(f"a {tmp_path}/a.wav\nb {tmp_path}/b.flac\n", encoding="utf-8")
    return tmp_path


def read(folder: Path, segments: str) -> dict[str, str]:
    (folder / "segments").write_text(segments, encoding="utf-8")
    table = read_audio_table(folder / "wav.scp")
    return {utterance: path.removeprefix(f"{folder}/") for utterance, path in table.items()}


def test_without_segments_the_table_is_what_it_says(folder):
    assert read_audio_table(folder / "wav.scp") == {"a": f"{folder}/a.wav", "b": f"{folder}/b.flac"}


@pytest.mark.parametrize("source", ["sox a.mp3 -t wav - |", "cat a.wav|", "raw.ark:17"])
def test_what_is_no_file_is_said_to_be_so(folder, source):
    (folder / "wav.scp").write_text(f"a {source}\n", encoding="utf-8")
    assert f"a is {source!r}, and only audio files are read" in one_sentence(read_audio_table, folder / "wav.scp")


def test_utterances_are_stretches(folder):
    found = read(folder, "u2 a 1.5 2.25\nu1 b 0 0.5\nu3 a 1 2\n")  # they overlap, and are in no order
    assert list(found) == ["u2", "u1", "u3"]
    assert found == {"u1": "b.flac[0:7999]", "u2": "a.wav[12000:17999]", "u3": "a.wav[8000:15999]"}


def test_ends_of_recordings(folder):
    found = read(folder, "u1 a 2.5 3.4\nu2 a 2.5 -1\nu3 a 0 -1\n")  # half a second too long is allowed, as in Kaldi
    assert found == {"u1": "a.wav[20000:23999]", "u2": "a.wav[20000:23999]", "u3": "a.wav[0:23999]"}


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ("u1 a 0.5\n", "utterance u1: expected 'utterance recording start end', in seconds, found 'a 0.5'"),
        ("u1 a zero one\n", "utterance u1: expected 'utterance recording start end', in seconds, found 'a zero one'"),
        ("u1 c 0 1\n", "has no line for recording c of .*segments; add it"),
        ("u1 a 2 1\n", "recording a: .*a.wav has no stretch from 2.0 to 1.0 s: it has 3.00 s"),
        ("u1 a 2 4\n", "recording a: .*a.wav has no stretch from 2.0 to 4.0 s: it has 3.00 s"),
        ("u1 a -1 1\n", "recording a: .*a.wav has no stretch from -1.0 to 1.0 s"),
        ("u1 a 1 1.00001\n", "recording a: .*a.wav has no stretch from 1.0 to 1.00001 s"),
        ("u1 a nan 1\n", "recording a: .*a.wav has no stretch from nan to 1.0 s"),
        ("u1 a 0 1\nu1 a 1 2\n", "u1 is duplicated"),
    ],
)
def test_mistakes(folder, segments, message):
    with pytest.raises(ValueError, match=message):
        read(folder, segments)


def test_a_recording_that_is_missing(folder):
    (folder / "a.wav").unlink()
    (folder / "segments").write_text("u1 a 0 1\n", encoding="utf-8")
    assert "segments: recording a: " in (message := one_sentence(read_audio_table, folder / "wav.scp"))
    assert message.endswith("a.wav does not exist")
