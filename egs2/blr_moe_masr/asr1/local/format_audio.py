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
from audio import UnusableAudio, convert, find_stretch, is_ready, open_audio, read_stretch
from data_dir import Skipped, UserError, Utterance

CLIPS_PER_FOLDER = 1000
REPORT_EVERY = 10  # seconds


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
        """Write float32 (samples,) with 16 bits a sample; returns the path of the finished directory.

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
    for path, group in groupby(utterances, key=lambda u: u.audio):
        try:
            with open_audio(path) as recording:
                for u in group:
                    yield format_clip(u, recording, writer)
        except UnusableAudio as reason:
            yield from (Skipped(u.id, f"{reason}: {path}") for u in group)


def format_clip(u: Utterance, recording: soundfile.SoundFile, writer: ClipWriter) -> Utterance | Skipped:
    """Read one utterance of an open recording; write it if ESPnet cannot read it where it is."""
    try:
        first, end = find_stretch(recording, u.start, u.end)
        samples = read_stretch(recording, first, end)
    except UnusableAudio as reason:
        return Skipped(u.id, f"{reason}: {u.audio}")
    if is_ready(recording, writer.rate) and u.speed in (None, 1):
        stretch = "" if u.start is None else f"[{first}:{end - 1}]"
        return replace(u, audio=u.audio + stretch, samples=len(samples), start=None, end=None, speed=None)
    samples = convert(samples, recording.samplerate, writer.rate, u.speed or 1)
    audio = writer.write(u.id, samples)
    return replace(u, audio=audio, samples=len(samples), start=None, end=None, speed=None)


def reported(entries: Iterable[Utterance | Skipped], fs: int) -> Iterator[Utterance | Skipped]:
    """The entries, with a line now and then on how far and how fast it goes."""
    number = samples = 0
    started = last = time.monotonic()
    for number, entry in enumerate(entries, start=1):
        yield entry
        samples += entry.samples if isinstance(entry, Utterance) else 0
        if (now := time.monotonic()) > last + REPORT_EVERY:
            print(f"{number} clips, {samples / fs / 3600:.2f} hours, {number / (now - started):.0f} clips a second")
            last = now
    print(f"{number} clips, {samples / fs / 3600:.2f} hours, done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
