"""The table of the finished systems: error rates by domain, what each step changed, and how sure that is.

    python benchmarks/paper_table/table.py --size gpu --plot docs/results.svg

Intervals are 95 % percentile intervals of a bootstrap that draws utterances and seeds, the same ones for every system:
differences are paired. A figure is the mean over seeds.
"""

import argparse
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from espnet_blrmoe.program import start

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from score import align, count, error_rate, find_decodings, interval  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402

RESAMPLES = 2000
MEASURES = ("Word error rate, %", "Character error rate, %", "Utterances in a wrong language, %")  # as score.align
LANGUAGES = 2  # the place of the last one
TESTS = ("test_in", "test_out")
SINGLE_VOICED = frozenset({"studio", "captions", "phone"})  # of paper_table/real.py: there, a language is a voice
GREY, ORANGE, BLUE = "tab:gray", "tab:orange", "tab:blue"
COLOURS = {"dense": GREY, "dense_half": "lightgray", "dense_from_dense": GREY, "lr_moe": "navajowhite",
           "lr_moe_from_dense": ORANGE, "blr_moe": "lightsteelblue", "blr_moe_from_dense": BLUE}  # others: green
# Ways to decode, each with the names that its decodings have.
ALL, AUGMENTED_ROUTER, PAIRS = ("decode_asr",), ("decode_asr_router",), ("decode_asr_router_pairs",)
# Each utterance's own language only. Where the router was fine-tuned, stage 17 decodes so; the transcripts are those of
# before to the letter.
GIVEN = ("decode_asr_given", "decode_asr_router_pruned")


@dataclass(frozen=True)
class Row:
    """A system and one way to decode it."""

    title: str
    system: str
    decodings: tuple[str, ...]  # the first of these that is there
    bases: tuple[str, ...] = ()  # titles of the rows that it is compared with
    tells_languages: bool = True


LR_GIVEN, VO_GIVEN = "LR-MoE, languages given", "+ V and O experts, languages given"
LR_AUGMENTED, AUGMENTED = "LR-MoE, its router augmented", "BLR-MoE: its router augmented"
NOTHING = "LR-MoE from nothing"
NOTHING_AUGMENTED, NOTHING_ONE = "BLR-MoE from nothing, its router augmented", "BLR-MoE from nothing, pruned to one"
ROWS = (
    # From one dense model of half of the updates.
    Row("dense", "dense_from_dense", ALL, ("LR-MoE",), tells_languages=False),
    Row("LR-MoE", "lr_moe_from_dense", ALL),
    Row(LR_GIVEN, "lr_moe_from_dense", GIVEN, ("LR-MoE", "dense")),
    Row(LR_AUGMENTED, "lr_moe_from_dense", AUGMENTED_ROUTER, ("LR-MoE",)),
    Row("+ V experts", "lr_moe_v_from_dense", ALL, ("LR-MoE",)),
    Row("+ V experts, languages given", "lr_moe_v_from_dense", GIVEN, (LR_GIVEN,)),
    Row("+ V and O experts", "lr_moe_vo_from_dense", ALL, ("LR-MoE",)),
    Row(VO_GIVEN, "lr_moe_vo_from_dense", GIVEN, (LR_GIVEN,)),
    Row("+ K and Q experts", "lr_moe_kq_from_dense", ALL, ("LR-MoE", "+ V and O experts")),
    Row("+ K and Q experts, languages given", "lr_moe_kq_from_dense", GIVEN, (LR_GIVEN, VO_GIVEN)),
    Row("+ K, Q, V and O experts", "lr_moe_kqvo_from_dense", ALL, ("LR-MoE", "+ V and O experts")),
    Row("+ K, Q, V and O experts, languages given", "lr_moe_kqvo_from_dense", GIVEN, (LR_GIVEN, VO_GIVEN)),
    Row("+ V and O experts, TDNN router", "blr_moe_from_dense", ALL, ("LR-MoE", "+ V and O experts")),
    Row(AUGMENTED, "blr_moe_from_dense", AUGMENTED_ROUTER, ("LR-MoE", LR_AUGMENTED, "dense", "dense from nothing")),
    Row("BLR-MoE, pruned to a pair", "blr_moe_from_dense", PAIRS, (AUGMENTED,)),
    Row("BLR-MoE, pruned to one", "blr_moe_from_dense", GIVEN, (AUGMENTED, LR_GIVEN, "dense")),
    Row("BLR-MoE of low rank, languages given", "low_rank_from_dense", GIVEN, ("BLR-MoE, pruned to one",)),
    Row("BLR-MoE with two experts, languages given", "groups_from_dense", GIVEN, ("BLR-MoE, pruned to one",)),
    Row("what they begin with", "dense_half", ALL, tells_languages=False),
    Row("dense from nothing", "dense", ALL, ("dense",), tells_languages=False),
    Row(NOTHING, "lr_moe", ALL, ("LR-MoE",)),
    Row("LR-MoE from nothing, languages given", "lr_moe", GIVEN, (NOTHING,)),
    Row("BLR-MoE from nothing", "blr_moe", ALL, (NOTHING, "+ V and O experts, TDNN router")),
    Row(NOTHING_AUGMENTED, "blr_moe", AUGMENTED_ROUTER, (NOTHING, "dense from nothing", AUGMENTED)),
    Row("BLR-MoE from nothing, pruned to a pair", "blr_moe", PAIRS, (NOTHING_AUGMENTED,)),
    Row(NOTHING_ONE, "blr_moe", GIVEN, (NOTHING_AUGMENTED, "LR-MoE from nothing, languages given")),
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


def write_counts(exp: Path, data: Path, results: Path) -> None:
    """Keep what all decodings of an experiment got right and wrong: an array for each decoding and test set."""
    kept = {}
    for decoding in find_decodings(exp, data):
        kept[f"{decoding.tag}/{decoding.test_set}"] = count(align(decoding)).astype(np.uint16)
        kept[f"domains/{decoding.test_set}"] = np.array([u.domain for u in decoding.references])
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("wb") as file:
        np.savez_compressed(file, **kept)


def array_name(row: Row, test_set: str, arrays: Collection[str]) -> str | None:
    """Which of the arrays that `write_counts` keeps is the row's for a test set."""
    return next((name for tag in row.decodings if (name := f"{tag}/{test_set}") in arrays), None)


def finished_seeds(row: Row, results: Path) -> list[int]:
    """The seeds of which the row's decodings are there."""
    found = {int(path.stem.rpartition("_seed")[2]): np.load(path) for path in results.glob(f"{row.system}_seed*.npz")}
    return sorted(seed for seed, arrays in found.items()
                  if all(array_name(row, test_set, arrays) for test_set in TESTS))


def read_row(row: Row, test_set: str, results: Path, seeds: list[int]) -> Counts:
    """The row's decodings of a test set by these seeds."""
    found = [np.load(results / f"{row.system}_seed{seed}.npz") for seed in seeds]
    counts = np.stack([arrays[array_name(row, test_set, arrays)] for arrays in found])
    return Counts(found[0][f"domains/{test_set}"], counts.astype(int))


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


@dataclass(frozen=True)
class Measured:
    """A row's error rates.

    Attributes:
        seeds: of its trainings.
        rates: test set or domain -> (1 + RESAMPLES, measures), as `rates` gives them.
    """

    seeds: list[int]
    rates: dict[str, np.ndarray]


def measure(row: Row, results: Path, seeds: list[int]) -> Measured:
    """A row's error rates over these seeds, from a folder of what `write_counts` keeps."""
    inside, outside = (read_row(row, test_set, results, seeds) for test_set in TESTS)
    both = Counts(np.concatenate([inside.domains, outside.domains]),
                  np.concatenate([inside.counts, outside.counts], axis=1))
    sets = {"in": rates(inside, None), "out": rates(outside, None), "all": rates(both, None)}
    return Measured(seeds, sets | {domain: rates(outside, domain) for domain in sorted(set(outside.domains))})


def measure_all(results: Path) -> dict[Row, Measured]:
    """The rows whose systems are finished."""
    return {row: measure(row, results, seeds) for row in ROWS if (seeds := finished_seeds(row, results))}


def compare(measured: dict[Row, Measured], results: Path) -> list[list[str]]:
    """How much fewer word errors each row has than its bases, over the seeds that both have."""
    by_title = {row.title: row for row in measured}
    pairs = [(row, by_title[base]) for row in measured for base in row.bases if base in by_title]
    lines = []
    for row, base in pairs:
        if seeds := sorted(set(measured[row].seeds) & set(measured[base].seeds)):
            known = ((one, measured[one]) for one in (base, row))
            before, after = (
                (found if found.seeds == seeds else measure(one, results, seeds)).rates for one, found in known
            )
            changes = [reductions(before[name], after[name]) for name in after]
            lines.append([row.title, base.title, str(len(seeds)), *changes])
    return lines


def tables(measured: dict[Row, Measured], results: Path) -> str:
    """All of it in Markdown."""
    sets = list(next(iter(measured.values())).rates) if measured else []
    text = []
    for n, title in enumerate(MEASURES):
        measures = {row: found.rates["in"].shape[1] if row.tells_languages else LANGUAGES
                    for row, found in measured.items()}
        own = [name for name in sets if name == "in" or n < LANGUAGES or SINGLE_VOICED.isdisjoint(sets)]
        rows = [[row.title, str(len(found.seeds)), *(f"{found.rates[name][0][n]:.1f}" for name in own)]
                for row, found in measured.items() if n < measures[row]]
        text += [f"### {title}", markdown_table(("system", "seeds", *own), rows)]
    text += ["### Relative reduction of the word error rate, % (95 % interval)",
             markdown_table(("system", "compared with", "seeds", *sets), compare(measured, results))]
    return "\n\n".join(text) + "\n"


def draw(measured: dict[Row, Measured], path: Path) -> None:
    """WER of every row with its interval, a panel for each test set."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 0.35 * len(measured) + 1), sharey=True)
    for axes, (name, title) in zip(panels, (("in", "WER in-domain, %"), ("out", "WER out of domain, %"))):
        for place, (row, found) in enumerate(measured.items()):
            wer = found.rates[name][:, 0]
            axes.barh(place, wer[0], color=COLOURS.get(row.system, "tab:green"), alpha=0.8)
            axes.plot(interval(wer[1:]), [place, place], color="black", linewidth=1)
            axes.annotate(f"{wer[0]:.1f}", (max(interval(wer[1:])), place), (4, 0), textcoords="offset points",
                          va="center")
        axes.set_title(title)
        axes.margins(x=0.16)
    panels[0].set_yticks(range(len(measured)), [row.title for row in measured])
    panels[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(f"{path} is drawn")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="cpu", help="that of run.py (default: cpu)")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"),
                        help="that of run.py (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="draw the word error rates into this file")
    args = parser.parse_args(argv)
    results = args.results / args.size
    measured = measure_all(results)
    print(tables(measured, results))
    if args.plot:
        draw(measured, args.plot)


if __name__ == "__main__":
    start(main)
