"""Stage 4: remove utterances that are too short or too long to learn from, and empty transcripts.

    python local/filter_by_length.py --min_wav_duration 0.1 --max_wav_duration 20 dump/raw/org/train dump/raw/train

The new data directory refers to the audio of the old one; its table `skipped` lists what was removed, and why.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from shared.data_dir import Skipped, Summary, Utterance, stream_data_dir
from shared.stretches import located
from shared.write_data_dir import write_data_dir

from espnet_blrmoe.program import start
from espnet_blrmoe.recordings.unusable import UnusableAudio
from espnet_blrmoe.tables import text_table


def problem(utterance: Utterance, fs: int, shortest: float, longest: float) -> str | None:
    """Why an utterance is removed; None for one that stays."""
    seconds = utterance.samples / fs
    if seconds < shortest:
        return f"shorter than {shortest} s"
    if seconds > longest:
        return f"longer than {longest} s"
    if utterance.text == "":
        return "empty transcript"
    return None


def hours_by_language(summary: Summary, fs: int) -> str:
    """A table: language, utterances, hours; the last row is the sum."""
    rows = [(language, summary.utterances[language], summary.samples[language])
            for language in sorted(summary.utterances)]
    rows.append(("all", summary.utterances.total(), summary.samples.total()))
    return text_table(("language", "utterances", "hours"), [
        (language, f"{number:,}", f"{samples / fs / 3600:.2f}") for language, number, samples in rows
    ])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate of stage 3 in Hz (default 16000)")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds (default 0.1)")
    parser.add_argument("--max_wav_duration", type=float, default=20, help="seconds (default 20)")
    parser.add_argument("source", type=Path, help="data directory of stage 3, e.g. dump/raw/org/train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. dump/raw/train")
    args = parser.parse_args(argv)

    def filtered() -> Iterator[Utterance | Skipped]:
        for u in stream_data_dir(args.source, "utt2num_samples"):
            reason = problem(u, args.fs, args.min_wav_duration, args.max_wav_duration)
            try:
                yield Skipped(u.id, reason) if reason else located(u)
            except UnusableAudio as error:
                yield Skipped(u.id, f"{error.reason}: {error}")

    summary = write_data_dir(args.target, filtered())
    counts = ", ".join(f"{count} {reason}" for reason, count in summary.skipped.items())
    print(f"{args.target}: {summary.utterances.total()} utterances, {summary.skipped.total()} removed"
          + f" ({counts})" * bool(counts))
    print(hours_by_language(summary, args.fs))


if __name__ == "__main__":
    start(main)
