"""Files with something wrong anywhere: read whole, or refused with a sentence; nothing is lost silently."""

import time
import tracemalloc
from functools import cache

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sound_files import FORMATS, encoded, noise

from espnet_blrmoe.recordings.recording import Recording
from espnet_blrmoe.recordings.unusable import UnusableAudio

SECONDS = 2.0  # that a file may take
ROOM = 2**20  # bytes besides the samples
NAMES = list(FORMATS)


@cache
def valid(name: str) -> bytes:
    return encoded(name, noise(1.3))


def outcome(folder, content: bytes) -> np.ndarray | None:
    """What is read of a file, in time and in little memory; None if it is refused, by its name."""
    path = folder / "file"
    path.write_bytes(content)
    tracemalloc.start()
    started = time.process_time()
    try:
        with Recording(path) as recording:
            samples = recording.read()
        assert tracemalloc.get_traced_memory()[1] <= 1.5 * samples.nbytes + ROOM
    except UnusableAudio as error:
        assert str(error).startswith(str(path))
        assert tracemalloc.get_traced_memory()[1] <= 1.5 * 4 * len(content) * 16 + ROOM
        return None
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < SECONDS
    return samples


def whole(folder, name: str) -> np.ndarray:
    samples = outcome(folder, valid(name))
    assert samples is not None
    return samples


def coding(folder) -> tuple | None:
    """What soundfile takes the file for."""
    try:
        info = soundfile.info(folder / "file")
    except soundfile.LibsndfileError:
        return None
    return info.format, info.subtype, info.channels


FUZZ = settings(
    deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1))
def test_a_cut(tmp_path, name, share):
    expected = whole(tmp_path, name)
    samples = outcome(tmp_path, valid(name)[: int(share * len(valid(name)))])
    assert samples is None or np.array_equal(samples, expected)


@FUZZ
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1), size=st.integers(1, 3000))
def test_bytes_that_are_missing(tmp_path, name, share, size):
    expected = whole(tmp_path, name)
    at = int(share * len(valid(name)))
    samples = outcome(tmp_path, valid(name)[:at] + valid(name)[at + size :])
    nobody_can_know = name == "mp3" and at < 100  # whole frames, and what said how many there are
    assert samples is None or nobody_can_know or len(samples) >= len(expected)


@FUZZ
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1), junk=st.binary(min_size=1, max_size=3000))
def test_bytes_that_do_not_belong_there(tmp_path, name, share, junk):
    expected = whole(tmp_path, name)
    at = int(share * len(valid(name)))
    samples = outcome(tmp_path, valid(name)[:at] + junk + valid(name)[at:])
    assert samples is None or len(samples) >= len(expected)


@FUZZ
@given(name=st.sampled_from(NAMES), tail=st.floats(0, 1), start=st.floats(0, 1))
def test_two_files_in_one(tmp_path, name, tail, start):
    expected = whole(tmp_path, name)
    content = valid(name)
    joint = content[: int(tail * len(content))] + content[int(start * len(content)) :]
    samples = outcome(tmp_path, joint)
    assert samples is None or len(samples) >= len(expected)


@pytest.mark.parametrize("name", NAMES)
def test_one_file_behind_another(tmp_path, name):
    expected = whole(tmp_path, name)
    samples = outcome(tmp_path, 2 * valid(name))
    assert samples is None or np.array_equal(samples, np.concatenate([expected, expected]))


@FUZZ
@given(name=st.sampled_from(NAMES), place=st.integers(0, 200), new=st.binary(min_size=1, max_size=8))
def test_headers_that_lie(tmp_path, name, place, new):
    expected = whole(tmp_path, name)
    true = coding(tmp_path)
    samples = outcome(tmp_path, valid(name)[:place] + new + valid(name)[place + len(new) :])
    edges = 4 * 576 if name == "mp3" else 0  # its header says how much silence the coder put before and behind
    assert samples is None or coding(tmp_path) != true or len(samples) >= len(expected) - edges
