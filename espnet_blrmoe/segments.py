"""Kaldi's table `segments`: utterances that are stretches of the recordings in the wav.scp beside it."""

import soundfile

from espnet_blrmoe.recordings import UnusableAudio

OVERSHOOT = 0.5  # seconds that a stretch may end after its recording, as in Kaldi's extract-segments
TO_THE_END = -1.0  # what Kaldi writes for the end of the recording


def find_stretch(recording: soundfile.SoundFile, start: float, end: float) -> tuple[int, int]:
    """First sample of a stretch from `start` to `end` in seconds (-1: all that follows), and the sample after its last.

    Raises:
        UnusableAudio: it is not in the recording.
    """
    rate, seconds = recording.samplerate, recording.frames / recording.samplerate
    if end == TO_THE_END:
        end = seconds
    if 0 <= start < min(end, seconds) and end <= seconds + OVERSHOOT:
        first, after = round(start * rate), min(round(end * rate), recording.frames)
        if first < after:
            return first, after
    raise UnusableAudio(
        f"{recording.name} has no stretch from {start} to {end} s: it has {seconds:.2f} s", "no such stretch"
    )
