"""The table of the finished systems: error rates by domain, what each step changed, and how sure that is.

    python benchmarks/paper_table/table.py --work /data/paper_table --output docs/results.md

Intervals are 95 % percentile intervals of a bootstrap that draws utterances and seeds, the same ones for every system:
differences are paired. A figure is the mean over seeds.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from score import align, count, error_rate, interval, read_decoding  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402

RESAMPLES = 2000
MEASURES = ("Word error rate, %", "Character error rate, %", "Utterances in a wrong language, %")  # as score.align
DOMAINS = ("voices", "engine", "telephone", "noise", "tempo", "accent")


@dataclass(frozen=True)
class Row:
    """A system and one way to decode it."""

    title: str
    system: str
    decoding: str
    base: str = ""  # title of the row that it is compared with


ROWS = (
    Row("dense", "dense", "decode_asr", "LR-MoE"),
    Row("LR-MoE", "lr_moe", "decode_asr"),
    Row("LR-MoE, V experts", "lr_moe_v", "decode_asr", "LR-MoE"),
    Row("LR-MoE, V and O experts", "lr_moe_vo", "decode_asr", "LR-MoE"),
    Row("LR-MoE, K and Q experts", "lr_moe_kq", "decode_asr", "LR-MoE"),
    Row("LR-MoE, K, Q, V and O experts", "lr_moe_kqvo", "decode_asr", "LR-MoE"),
    Row("V and O experts, TDNN router", "blr_moe", "decode_asr", "LR-MoE"),
    Row("BLR-MoE: its router augmented", "blr_moe", "decode_asr_router", "LR-MoE"),
    Row("BLR-MoE, pruned to a pair", "blr_moe", "decode_pairs_router_pruned", "BLR-MoE: its router augmented"),
    Row("BLR-MoE, pruned to one", "blr_moe", "decode_asr_router_pruned", "BLR-MoE: its router augmented"),
    Row("LR-MoE, its router augmented", "lr_moe", "decode_asr_router", "LR-MoE"),
    Row("LR-MoE, pruned to one", "lr_moe", "decode_asr_router_pruned", "LR-MoE, its router augmented"),
)


@dataclass(frozen=True)
class Counts:
    """What a row's decodings of one test set got right and wrong.

    Attributes:
        domains: of the utterances.
        counts: (seeds, utterances, measures, 4), as score.count gives them.
    """

    domains: np.ndarray
    counts: np.ndarray


def read_row(row: Row, test_set: str, work: Path) -> Counts | None:
    """The row's decodings of a test set by all seeds that are finished; None if there are none."""
    found = []
    for folder in sorted(work.glob(f"exp/asr_{row.system}_seed*/{row.decoding}/{test_set}")):
        if not (work / "done" / done_file(row, folder)).exists():
            continue
        cache = folder / "counts.npz"
        if not cache.exists() or cache.stat().st_mtime < (folder / "text").stat().st_mtime:
            decoding = read_decoding(folder, work / "dump/raw" / test_set, "kept")
            np.savez(cache, counts=count(align(decoding)), domains=[u.domain for u in decoding.references])
        found.append(np.load(cache))
    return Counts(found[0]["domains"], np.stack([f["counts"] for f in found])) if found else None


def done_file(row: Row, folder: Path) -> str:
    """That of the step which made a decoding."""
    tag = folder.parents[1].name.removeprefix("asr_")
    if row.decoding == "decode_asr":
        return tag
    return f"{tag}_pairs" if "pairs" in row.decoding else f"{tag}_router"


def rates(found: Counts, domain: str | None) -> np.ndarray:
    """Error rates of a domain, of all for None: (1 + RESAMPLES, measures); the first is that of all utterances."""
    counts = found.counts if domain is None else found.counts[:, found.domains == domain]
    seeds, utterances = counts.shape[:2]
    rng = np.random.default_rng(0)
    flat = counts.reshape(seeds, utterances, -1).astype(float)
    rows = [error_rate(counts.sum(axis=1)).mean(axis=0)]
    for _ in range(RESAMPLES):
        weights = np.bincount(rng.integers(utterances, size=utterances), minlength=utterances)
        drawn = (weights @ flat).reshape(seeds, *counts.shape[2:])[rng.integers(seeds, size=seeds)]
        rows.append(error_rate(drawn).mean(axis=0))
    return np.array(rows)


def reductions(before: np.ndarray, after: np.ndarray) -> str:
    """Relative reduction of the WER in %, with its interval."""
    relative = 100 * (before[:, 0] - after[:, 0]) / before[:, 0]
    low, high = interval(relative[1:])
    return f"{relative[0]:+.1f} ({low:+.1f} to {high:+.1f})"


def tables(work: Path) -> str:
    """All of it in Markdown."""
    sets = {"in": ("test_in", None), "out": ("test_out", None), **{d: ("test_out", d) for d in DOMAINS}}
    figures: dict[tuple[str, str], np.ndarray] = {}
    seeds = {}
    for row in ROWS:
        counts = {test_set: read_row(row, test_set, work) for test_set in ("test_in", "test_out")}
        if None in counts.values():
            continue
        seeds[row.title] = len(counts["test_in"].counts)
        for name, (test_set, domain) in sets.items():
            figures[row.title, name] = rates(counts[test_set], domain)
    shown = [row for row in ROWS if row.title in seeds]

    def cell(row: Row, name: str, measure: int) -> str:
        rate = figures[row.title, name][0]
        return f"{rate[measure]:.1f}" if measure < len(rate) else ""

    text = []
    for measure, title in enumerate(MEASURES):
        some = [row for row in shown if any(cell(row, name, measure) for name in sets)]
        text += [f"### {title}", markdown_table(("system", "seeds", *sets), [
            [row.title, str(seeds[row.title]), *(cell(row, name, measure) for name in sets)] for row in some])]
    compared = [row for row in shown if row.base in seeds and seeds[row.base] == seeds[row.title]]
    text += ["### Relative reduction of the word error rate, % (95 % interval)", markdown_table(
        ("system", "compared with", *sets),
        [[row.title, row.base, *(reductions(figures[row.base, name], figures[row.title, name]) for name in sets)]
         for row in compared])]
    return "\n\n".join(text) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="that of run.py")
    args = parser.parse_args(argv)
    print(tables(args.work))


if __name__ == "__main__":
    main()
