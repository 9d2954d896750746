"""Stage 3: audio of one sampling rate, mono, in a format that ESPnet reads.

    python local/format_wav_scp.py --nj 2 --fs 16000 --audio_format wav data/train dump/raw/org/train

Reads wav, flac, ogg, opus, mp3 and what else docs/audio.md lists. Mono wav or flac of that rate whose header tells the
truth stays where it is: `wav.scp` of the new data directory refers to it, and to a stretch of a longer recording as
"rec.wav[16000:47999]" (first and last sample, as in Kaldi's tables), which ESPnet's data type `sound` reads once the
plugin is imported. Everything else is written to the new directory, with 16 bits per sample, and faster or slower, with
the pitch, where `utt2speed` (stage 2) says so.

Every recording is opened once, read and checked; unusable clips are listed in the table `skipped`, lengths are in
`utt2num_samples`. Paths in wav.scp start at the recipe's folder, as ESPnet's do. The work is split into --nj jobs,
which --cmd runs (of cmd.sh; default local/run_jobs.sh), with their progress in <target>/../logs/.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import cycle, groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.data_dir import MAX_SKIPPED, Skipped, Utterance, stream_data_dir, with_times
from shared.kaldi_tables import UserError, sort_lines
from shared.write_data_dir import replacing, with_audio_outside, write_tables

from espnet_blrmoe.program import start

LOCAL = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nj", type=int, default=2, help="jobs (default 2)")
    parser.add_argument("--cmd", default=shlex.quote(str(LOCAL / "run_jobs.sh")),
                        help="how jobs are run: train_cmd of cmd.sh")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz (default 16000)")
    parser.add_argument("--audio_format", choices=("wav", "flac"), default="wav",
                        help="of what has to be converted: wav (default) reads faster; flac takes half the space")
    parser.add_argument("source", type=Path, help="data directory to read, e.g. data/train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. dump/raw/org/train")
    args = parser.parse_args(argv)

    started = time.monotonic()
    logs = args.target.parent / "logs" / args.target.name
    with replacing(args.target) as unfinished:
        with TemporaryDirectory(dir=unfinished, prefix="jobs.") as jobs:
            expected = write_jobs(with_audio_outside(args.target, stream_data_dir(args.source)), Path(jobs), args.nj)
            print(f"{args.target}: {args.nj} jobs running; see {logs}/format_audio.*.log", flush=True)
            command = [*shlex.split(args.cmd), f"__JOB__=1:{args.nj}", f"{logs}/format_audio.__JOB__.log",
                       sys.executable, LOCAL / "format_audio.py", "--fs", args.fs, "--audio_format", args.audio_format,
                       "--known_as", args.target, f"{jobs}/__JOB__.jsonl", unfinished / "data" / "format.__JOB__"]
            if subprocess.run([str(word) for word in command]).returncode:
                raise UserError(f"{args.target}: a job failed; the directory is left as it was")
            summary = write_tables(unfinished, read_results(Path(jobs), args.fs))
        for language, clips in expected.items():
            unusable = clips - summary.utterances[language]
            if unusable > MAX_SKIPPED * clips:
                shutil.copy(unfinished / "skipped", logs / "skipped")
                raise UserError(f"{args.target}: {unusable:,} of {clips:,} clips in '{language}' are unusable, see "
                                f"{logs / 'skipped'}: unpack the corpus again, or fix or remove what is listed there")
    clips, skipped = summary.utterances.total(), summary.skipped.total()
    hours, minutes = summary.samples.total() / args.fs / 3600, (time.monotonic() - started) / 60
    print(f"{args.target}: {clips} clips, {hours:.2f} hours, in {minutes:.1f} minutes"
          + f"; {skipped} unusable, listed in {args.target / 'skipped'}" * bool(skipped))


def write_jobs(utterances: Iterable[Utterance], folder: Path, nj: int) -> Counter[str]:
    """Share the utterances out to 1.jsonl ... NJ.jsonl: those of a recording go together, in the order of time.

    Returns:
        number of utterances by language.
    """
    languages = Counter()

    def keys_and_records() -> Iterator[str]:
        for u in utterances:
            languages[u.language] += 1
            yield f"{u.audio} {u.start or 0:012.3f}\t{json.dumps(vars(u))}"

    by_recording = sort_lines(keys_and_records())
    lines = (line.rpartition("\t")[2] for line in by_recording)
    with ExitStack() as files:
        jobs = [files.enter_context((folder / f"{job}.jsonl").open("w")) for job in range(1, nj + 1)]
        for job, (_, group) in zip(cycle(jobs), groupby(lines, key=lambda line: json.loads(line)["audio"])):
            job.writelines(line + "\n" for line in group)
    return languages


def read_results(folder: Path, fs: int) -> Iterator[Utterance | Skipped]:
    """What the jobs made of their utterances; their languages' times, if they are known, are in `utt2lang` now.

    Raises:
        UserError: as `with_times`.
    """
    for job in sorted(folder.glob("*.jsonl")):
        with job.with_suffix(".done").open() as lines:
            for line in lines:
                entry = json.loads(line)
                if "id" in entry:
                    yield with_times(Utterance(**entry), entry["samples"] / fs)
                else:
                    yield Skipped(**entry)


if __name__ == "__main__":
    start(main)
