"""Utterances of `segments` as stretches of recordings in `wav.scp`, "rec.wav[16000:47999]"."""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.recordings.recording import Recording, length
from espnet_blrmoe.segments import find_stretch
from shared.data_dir import Utterance, with_times


class Measured(NamedTuple):
    """What `find_stretch` has to know of a recording."""

    path: str
    rate: int
    length: int


def located(u: Utterance) -> Utterance:
    """The utterance with its samples, and with its place in a recording, if it has one, as part of `audio`.

    Raises:
        UnusableAudio: the recording cannot be read, or has no such stretch.
        UserError: as `with_times`.
    """
    if u.start is not None:
        first, end = find_stretch(_measure(u.audio), u.start, u.end)
        u = replace(u, audio=f"{u.audio}[{first}:{end - 1}]", samples=u.samples or end - first, start=None, end=None)
    elif u.samples is None:
        u = replace(u, samples=length(u.audio))
    return u if u.stretches is None else with_times(u, length(u.audio) / _measure(split_range(u.audio)[0]).rate)


@lru_cache(maxsize=10_000)  # the utterances of a recording need not be neighbours
def _measure(file: str) -> Measured:
    with Recording(file) as recording:
        return Measured(file, recording.rate, recording.length)
