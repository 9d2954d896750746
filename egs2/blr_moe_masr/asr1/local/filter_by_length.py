"""Stage 4: remove utterances that are too short or too long to learn from, and empty transcripts.

    python local/filter_by_length.py --min_wav_duration 0.1 --max_wav_duration 20 dump/raw/org/train dump/raw/train

The new data directory refers to the audio of the old one; its table `skipped` lists what was removed, and why.
"""

import argparse
from collections import Counter
from pathlib import Path

from data_dir import UserError, Utterance, read_data_dir, read_utterance_table, write_data_dir


def problem(utterance: Utterance, seconds: float, shortest: float, longest: float) -> str | None:
    """Why an utterance is removed; None for one that stays."""
    if seconds < shortest:
        return f"shorter than {shortest} s"
    if seconds > longest:
        return f"longer than {longest} s"
    if utterance.text == "":
        return "empty transcript"
    return None


def hours_by_language(utterances: list[Utterance], seconds: dict[str, float]) -> str:
    """An aligned table: language, utterances, hours; the last row is the sum."""
    groups: dict[str, list[float]] = {}
    for u in utterances:
        groups.setdefault(u.language, []).append(seconds[u.id])
    rows = [*sorted(groups.items()), ("all", [seconds[u.id] for u in utterances])]
    width = max(len("language"), *map(len, groups))
    lines = [f"  {name:{width}}  {len(group):10,}  {sum(group) / 3600:8.2f}" for name, group in rows]
    return "\n".join([f"  {'language':{width}}  utterances     hours", *lines])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate of stage 3 in Hz (default 16000)")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds (default 0.1)")
    parser.add_argument("--max_wav_duration", type=float, default=20, help="seconds (default 20)")
    parser.add_argument("source", type=Path, help="data directory of stage 3, e.g. dump/raw/org/train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. dump/raw/train")
    args = parser.parse_args(argv)

    utterances = read_data_dir(args.source)
    samples = read_utterance_table(args.source, "utt2num_samples")
    seconds = {key: int(value) / args.fs for key, value in samples.items()}
    limits = args.min_wav_duration, args.max_wav_duration
    problems = {u.id: problem(u, seconds[u.id], *limits) for u in utterances}
    skipped = {key: reason for key, reason in problems.items() if reason}
    kept = [u for u in utterances if u.id not in skipped]
    counts = ", ".join(f"{count} {reason}" for reason, count in Counter(skipped.values()).items())
    if not kept:
        raise UserError(f"{args.source}: no utterance is left ({counts or 'there was none'})")
    write_data_dir(args.target, kept, utt2num_samples={u.id: samples[u.id] for u in kept}, skipped=skipped)
    print(f"{args.target}: {len(kept)} utterances, {len(skipped)} removed" + f" ({counts})" * bool(counts))
    print(hours_by_language(kept, seconds))


if __name__ == "__main__":
    main()
