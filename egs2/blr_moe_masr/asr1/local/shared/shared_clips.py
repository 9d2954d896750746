"""Clips that are in a data set to train with and in one to test with: scores on those say nothing of new speech."""

import os
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from shared.data_dir import Utterance, stream_data_dir


class Place(NamedTuple):
    """Where an utterance is in its audio file, in seconds; a whole file ends nowhere."""

    start: float
    end: float
    id: str
    folder: Path


def shared_clips(trained: Iterable[Path], tested: Iterable[Path]) -> dict[Path, list[tuple[str, str]]]:
    """Utterances of data directories to test with that are, at least in part, in those to train with.

    Memory grows with the tested ones only.

    Returns:
        A tested folder -> ids of such utterances, each with that of an utterance to train with.
    """
    places: dict[str, list[Place]] = defaultdict(list)
    for folder in tested:
        for u in stream_data_dir(folder):
            places[audio_of(u)].append(place_of(u, folder))
    shared: dict[Path, list[tuple[str, str]]] = defaultdict(list)
    for folder in trained:
        for u in stream_data_dir(folder):
            own = place_of(u, folder)
            others = places.get(audio_of(u), [])
            for other in [other for other in others if own.start < other.end and other.start < own.end]:
                others.remove(other)
                shared[other.folder].append((other.id, u.id))
    return shared


def audio_of(utterance: Utterance) -> str:
    """The path of its audio file, always the same for the same file."""
    if os.path.islink(utterance.audio):
        return os.path.realpath(utterance.audio)
    folder, name = os.path.split(utterance.audio)
    return os.path.join(real_path(folder), name)


real_path = lru_cache(maxsize=1000)(os.path.realpath)


def place_of(utterance: Utterance, folder: Path) -> Place:
    whole = utterance.start is None
    return Place(*((0, float("inf")) if whole else (utterance.start, utterance.end)), utterance.id, folder)
