"""Utterances of `segments` as stretches of recordings in `wav.scp`, "rec.wav[16000:47999]"."""

from dataclasses import replace
from functools import lru_cache

import soundfile

from espnet_blrmoe.recordings import open_audio, split_range
from espnet_blrmoe.segments import find_stretch
from shared.data_dir import Utterance


def located(u: Utterance) -> Utterance:
    """The utterance with its samples, and with its place in a recording, if it has one, as part of `audio`.

    Raises:
        UnusableAudio: the recording cannot be read, or has no such stretch.
    """
    if u.start is not None:
        first, end = find_stretch(_recording(u.audio), u.start, u.end)
        return replace(u, audio=f"{u.audio}[{first}:{end - 1}]", samples=u.samples or end - first, start=None, end=None)
    if u.samples is None:
        file, first, end = split_range(u.audio)
        if end is None:
            with open_audio(file) as recording:
                end = recording.frames
        return replace(u, samples=end - first)
    return u


@lru_cache(maxsize=10_000)  # the utterances of a recording need not be neighbours
def _recording(file: str) -> soundfile.SoundFile:
    """What is known of a recording that was open once."""
    with open_audio(file) as recording:
        return recording
