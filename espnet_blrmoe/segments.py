"""Kaldi's table `segments`: utterances that are stretches of the recordings in the wav.scp beside it."""

from collections.abc import Mapping
from pathlib import Path

from espnet_blrmoe.recordings.names import is_command_or_archive
from espnet_blrmoe.recordings.recording import Recording
from espnet_blrmoe.recordings.unusable import UnusableAudio
from espnet_blrmoe.tables import read_table

OVERSHOOT = 0.5  # seconds that a stretch may end after its recording, as in Kaldi's extract-segments
TO_THE_END = -1.0  # what Kaldi writes for the end of the recording


def read_audio_table(wav_scp: str | Path) -> dict[str, str]:
    """The audio of every utterance: what the table says of it or, with `segments` beside the table, its stretch.

    Returns:
        utterance -> file, or file with its first and last sample: "rec.flac[16000:47999]".

    Raises:
        ValueError: a table is missing or broken, or names a command or an archive, or a recording is missing,
            unreadable or too short; names the table.
    """
    files, segments = read_table(wav_scp), Path(wav_scp).with_name("segments")
    for key, file in files.items():
        if is_command_or_archive(file):
            raise ValueError(f"{wav_scp}: {key} is {file!r}, and only audio files are read, not what commands print or "
                             "archives hold; write it to a file")
    if not segments.is_file():
        return files
    by_recording: dict[str, dict[str, tuple[float, float]]] = {}
    utterances = read_table(segments)
    for utterance, line in utterances.items():
        try:
            recording, start, end = line.split()
            by_recording.setdefault(recording, {})[utterance] = float(start), float(end)
        except ValueError as error:
            expected = "expected 'utterance recording start end', in seconds"
            raise ValueError(f"{segments}: utterance {utterance}: {expected}, found {line!r}") from error
    stretches: dict[str, str] = {}
    for recording, times in by_recording.items():
        if recording not in files:
            raise ValueError(f"{wav_scp} has no line for recording {recording} of {segments}; add it")
        try:
            stretches |= stretches_of(files[recording], times)
        except UnusableAudio as error:
            raise ValueError(f"{segments}: recording {recording}: {error}") from error
    return {utterance: stretches[utterance] for utterance in utterances}


def stretches_of(file: str, times: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """The stretches of a recording, from start to end in seconds by utterance, as "file[first sample:last sample]".

    Raises:
        UnusableAudio: the recording cannot be read, or has no such stretch.
    """
    with Recording(file) as recording:
        spans = {utterance: find_stretch(recording, *span) for utterance, span in times.items()}
    return {utterance: f"{file}[{first}:{end - 1}]" for utterance, (first, end) in spans.items()}


def find_stretch(recording: Recording, start: float, end: float) -> tuple[int, int]:
    """First sample of a stretch from `start` to `end` in seconds (-1: all that follows), and the sample after its last.

    Raises:
        UnusableAudio: it is not in the recording.
    """
    rate, seconds = recording.rate, recording.length / recording.rate
    if end == TO_THE_END:
        end = seconds
    fits = 0 <= start < min(end, seconds) and end <= seconds + OVERSHOOT
    first, after = (round(start * rate), min(round(end * rate), recording.length)) if fits else (0, 0)
    if first == after:  # there is nothing in it
        sentence = f"{recording.path} has no stretch from {start} to {end} s: it has {seconds:.2f} s"
        raise UnusableAudio(sentence, "no such stretch")
    return first, after
