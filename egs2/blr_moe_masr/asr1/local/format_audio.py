"""One job of stage 3: reads, checks and, where needed, converts the audio of some utterances.

    python local/format_audio.py --fs 16000 --known_as dump/raw/train 1.jsonl dump/raw/train.unfinished/data/format.1

reads utterances, a line of JSON each, and writes 1.done: a line for each one, with the audio that it has now, or the
reason why it is unusable. local/format_wav_scp.py starts the jobs and gathers what they wrote.
"""

import argparse
import io
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from shared.data_dir import Skipped, Utterance
from shared.kaldi_tables import UserError

from espnet_blrmoe.program import start
from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.recordings.recording import Recording, resample
from espnet_blrmoe.recordings.unusable import UnusableAudio
from espnet_blrmoe.segments import find_stretch

CLIPS_PER_FOLDER = 1000
REPORT_EVERY = 10  # seconds
SILENCE = -70  # dB below full scale; the step of 16-bit audio is at -90
READY_FORMATS = ("WAV", "WAVEX", "FLAC")  # exact lengths, and quick to read in every epoch


@dataclass
class ClipWriter:
    """Writes clips, 1,000 to a folder.

    Attributes:
        folder: where to, <data directory>.unfinished/data/format.N.
        known_as: the folder's path when the data directory is finished.
        audio_format: "wav" or "flac".
        rate: in Hz.
        clips: how many there are so far.
    """

    folder: Path
    known_as: Path
    audio_format: str
    rate: int
    clips: int = 0

    def write(self, name: str, samples: np.ndarray) -> str:
        """Write float32 (samples,) with 16 bits per sample; returns the path of the finished directory.

        Raises:
            OSError: there is no room.
        """
        clip = Path(str(self.clips // CLIPS_PER_FOLDER), f"{name}.{self.audio_format}")
        (self.folder / clip).parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()  # libsndfile's own files do not say that the disk is full
        soundfile.write(file, samples, self.rate, subtype="PCM_16", format=self.audio_format)
        (self.folder / clip).write_bytes(file.getbuffer())
        self.clips += 1
        return str(self.known_as / clip)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fs", type=int, required=True, help="sampling rate in Hz")
    parser.add_argument("--audio_format", choices=("wav", "flac"), default="wav", help="of what is written")
    parser.add_argument("--known_as", type=Path, required=True, help="data directory that the clips will be in")
    parser.add_argument("job", type=Path, help="utterances; those of one recording are neighbours")
    parser.add_argument("folder", type=Path, help="<data directory>.unfinished/data/format.N, for the clips")
    args = parser.parse_args(argv)

    known_as = args.known_as / "data" / args.folder.name
    writer = ClipWriter(args.folder, known_as, args.audio_format, args.fs)
    try:
        with args.job.open() as lines, args.job.with_suffix(".done").open("w") as done:
            utterances = (Utterance(**json.loads(line)) for line in lines)
            for entry in reported(format_audio(utterances, writer), args.fs):
                done.write(json.dumps(vars(entry)) + "\n")
    except OSError as error:
        raise UserError(f"{args.folder} cannot be written: {error.strerror}") from error


def format_audio(utterances: Iterable[Utterance], writer: ClipWriter) -> Iterator[Utterance | Skipped]:
    """Open every recording once; give each utterance with its audio as it is in the new data directory, or skip it."""
    for path, group in groupby(utterances, key=lambda u: split_range(u.audio)[0]):
        try:
            with Recording(path) as recording:
                for u in group:
                    yield format_clip(u, recording, writer)
        except UnusableAudio as error:
            yield from (Skipped(u.id, f"{error.reason}: {error}") for u in group)


def format_clip(u: Utterance, recording: Recording, writer: ClipWriter) -> Utterance | Skipped:
    """Read one utterance of an open recording; write it if ESPnet cannot read it where it is."""
    _, first, end = split_range(u.audio)
    try:
        if u.start is not None and u.end is not None:
            first, end = find_stretch(recording, u.start, u.end)
        samples = recording.read(first, end)
        check(samples, recording.path)
    except UnusableAudio as error:
        return Skipped(u.id, f"{error.reason}: {error}")
    if is_ready(recording, writer.rate) and u.speed in (None, 1):
        stretch = "" if end is None else f"[{first}:{end - 1}]"
        return replace(u, audio=recording.path + stretch, samples=len(samples), start=None, end=None, speed=None)
    speed = u.speed or 1
    samples = resample(samples, recording.rate * speed, writer.rate)  # played faster, with the pitch
    audio = writer.write(u.id, samples)
    stretches = u.stretches and [(start / speed, end / speed, code) for start, end, code in u.stretches]
    return replace(u, audio=audio, samples=len(samples), start=None, end=None, speed=None, stretches=stretches)


def check(samples: np.ndarray, name: str) -> None:
    """Raise UnusableAudio if there are no samples, only silence, or NaN."""
    if not len(samples):
        raise UnusableAudio(f"{name} is empty; it must have at least one sample", "empty")
    power = samples @ samples / len(samples)
    if not np.isfinite(power):
        raise UnusableAudio(f"{name} holds NaN or infinite samples", "not numbers")
    if power < 10 ** (SILENCE / 10):
        raise UnusableAudio(f"{name} is silent: below {SILENCE} dB of full scale", "silent")


def is_ready(recording: Recording, rate: int) -> bool:
    """Whether any program can read the recording as it is: true wav or flac with one channel, at `rate` Hz."""
    return (recording.is_plain and recording.format in READY_FORMATS
            and recording.channels == 1 and recording.rate == rate)


def reported(entries: Iterable[Utterance | Skipped], fs: int) -> Iterator[Utterance | Skipped]:
    """The entries, with a line now and then on how far and how fast it goes."""
    number = samples = 0
    started = last = time.monotonic()
    for number, entry in enumerate(entries, start=1):
        yield entry
        samples += entry.samples if isinstance(entry, Utterance) else 0
        if (now := time.monotonic()) > last + REPORT_EVERY:
            print(f"{number} clips, {samples / fs / 3600:.2f} hours, {number / (now - started):.0f} clips per second")
            last = now
    print(f"{number} clips, {samples / fs / 3600:.2f} hours, done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    start(main)
