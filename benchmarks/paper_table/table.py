"""The table of the finished systems: error rates by domain and language, what each step changed, and how sure that is.

    python benchmarks/paper_table/table.py --size gpu --plot docs/results.svg

Intervals are 95 % percentile intervals of a bootstrap that draws utterances and seeds, the same ones for every system:
differences are paired. A figure is the mean over seeds. What a file of results does not have, because it is older, is
left out, or "-" where other rows have it.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from espnet_blrmoe.program import start

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from measuring import save_plot  # noqa: E402
from shared.kaldi_tables import UserError  # noqa: E402
from shared.resampling import interval  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402
from shared.scripts import known_scripts  # noqa: E402

from paper_table.counts import ALL, AUGMENTED_ROUTER, FIGURES, GIVEN, PAIRS, WER, Row  # noqa: E402
from paper_table.rates import (  # noqa: E402
    Allowed,
    Comparison,
    Measured,
    by_list,
    compare,
    means,
    measure_all,
    reductions,
    training_times,
    with_interval,
)
from paper_table.run import SYSTEMS  # noqa: E402

TITLES = dict(zip(FIGURES, (
    "Word error rate, %", "Character error rate, %", "Utterances in a wrong language, %",
    "Frames in a wrong language, %", "Recognised words that are of another language, %",
    "Recognised words in a foreign script, %")))
OF_LANGUAGES = ("LID", "frames")  # figures of rows that have a choice of languages
SINGLE_VOICED = frozenset({"studio", "captions", "phone"})  # of paper_table/real.py: there, a language is a voice
GREY, ORANGE, BLUE = "tab:gray", "tab:orange", "tab:blue"
COLOURS = {"dense": GREY, "dense_half": "lightgray", "dense_from_dense": GREY, "lr_moe": "navajowhite",
           "lr_moe_from_dense": ORANGE, "blr_moe": "lightsteelblue", "blr_moe_from_dense": BLUE}  # others: green

LR_GIVEN, VO_GIVEN = "LR-MoE, languages given", "+ V and O experts, languages given"
LR_AUGMENTED, AUGMENTED = "LR-MoE, its router augmented", "BLR-MoE: its router augmented"
NOTHING, DENSE_NOTHING = "LR-MoE from nothing", "dense from nothing"
TRANSFORMER = "LR-MoE Transformer from nothing"
TRANSFORMER_GIVEN = f"{TRANSFORMER}, languages given"
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
    Row(AUGMENTED, "blr_moe_from_dense", AUGMENTED_ROUTER, ("LR-MoE", LR_AUGMENTED, "dense", DENSE_NOTHING)),
    Row("BLR-MoE, pruned to a pair", "blr_moe_from_dense", PAIRS, (AUGMENTED,)),
    Row("BLR-MoE, pruned to one", "blr_moe_from_dense", GIVEN, (AUGMENTED, LR_GIVEN, "dense")),
    Row("BLR-MoE of low rank, languages given", "low_rank_from_dense", GIVEN, ("BLR-MoE, pruned to one",)),
    Row("BLR-MoE with two experts, languages given", "groups_from_dense", GIVEN, ("BLR-MoE, pruned to one",)),
    Row("what they begin with", "dense_half", ALL, tells_languages=False),
    Row(DENSE_NOTHING, "dense", ALL, ("dense",), tells_languages=False),
    Row(NOTHING, "lr_moe", ALL, ("LR-MoE", DENSE_NOTHING)),
    Row("LR-MoE from nothing, languages given", "lr_moe", GIVEN, (NOTHING, DENSE_NOTHING)),
    Row("BLR-MoE from nothing", "blr_moe", ALL, (NOTHING, DENSE_NOTHING, "+ V and O experts, TDNN router")),
    Row(NOTHING_AUGMENTED, "blr_moe", AUGMENTED_ROUTER, (NOTHING, DENSE_NOTHING, AUGMENTED)),
    Row("BLR-MoE from nothing, pruned to a pair", "blr_moe", PAIRS, (NOTHING_AUGMENTED,)),
    Row(NOTHING_ONE, "blr_moe", GIVEN, (NOTHING_AUGMENTED, "LR-MoE from nothing, languages given")),
    Row("dense Transformer from nothing", "dense_transformer", ALL, tells_languages=False),
    Row(TRANSFORMER, "lr_moe_transformer", ALL),
    Row(TRANSFORMER_GIVEN, "lr_moe_transformer", GIVEN, (TRANSFORMER,)),
    Row("BLR-MoE Transformer from nothing", "blr_moe_transformer", ALL, (TRANSFORMER,)),
    Row("BLR-MoE Transformer from nothing, its router augmented", "blr_moe_transformer", AUGMENTED_ROUTER,
        (TRANSFORMER, "dense Transformer from nothing")),
    Row("BLR-MoE Transformer from nothing, pruned to one", "blr_moe_transformer", GIVEN, (TRANSFORMER_GIVEN,)),
)


@dataclass(frozen=True)
class Claim:
    """A relative reduction of the WER that the paper reports, and the comparison that is nearest to it here."""

    title: str
    paper: str
    row: str
    base: str
    where: str


V_AND_O, PRUNED = "3.24 to 7.31", "up to 34.28"
CLAIMS = (
    Claim("BLR-MoE instead of LR-MoE", "16.09", AUGMENTED, "LR-MoE", "all"),
    Claim("BLR-MoE instead of LR-MoE", "3.98", AUGMENTED, "LR-MoE", "in"),
    Claim("BLR-MoE instead of LR-MoE", "19.09", AUGMENTED, "LR-MoE", "out"),
    Claim("experts on V and O", V_AND_O, "+ V and O experts", "LR-MoE", "all"),
    Claim("experts on V and O, languages given", V_AND_O, "BLR-MoE, pruned to one", LR_GIVEN, "all"),
    Claim("pruning to a pair", PRUNED, "BLR-MoE, pruned to a pair", AUGMENTED, "out"),
    Claim("pruning to one", PRUNED, "BLR-MoE, pruned to one", AUGMENTED, "out"),
)


def tables(measured: Mapping[Row, Measured], results: Path) -> str:
    """All of it in Markdown."""
    comparisons = list(compare(measured, results))
    lists = list(chain.from_iterable(map(by_list, comparisons)))
    text = [figure_table(figure, measured) for figure in FIGURES if figure != "script" or scripts_differ(measured)]
    text += [language_table(inside, measured) for inside in (True, False)]
    text += [reduction_table(comparisons, set_names(measured)), claim_table(comparisons, lists), list_table(lists),
             training_table(results)]
    return "\n".join(filter(None, text))


def section(title: str, head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A title and its table; "" without rows."""
    return f"### {title}\n\n{markdown_table(head, rows)}" if rows else ""


def shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"


def set_names(measured: Mapping[Row, Measured]) -> list[str]:
    """Test sets and domains."""
    return list(next(iter(measured.values())).rates) if measured else []


def known_languages(measured: Mapping[Row, Measured]) -> list[str]:
    """Those of all utterances, as far as they are kept."""
    return sorted({language for found in measured.values() if found.counts.languages is not None
                   for language in found.counts.languages.tolist()})


def scripts_differ(measured: Mapping[Row, Measured]) -> bool:
    """Whether two of the languages are never written in the same script."""
    scripts = filter(None, map(known_scripts, known_languages(measured)))
    return any(own.isdisjoint(other) for own, other in combinations(scripts, 2))


def figure_table(figure: str, measured: Mapping[Row, Measured]) -> str:
    """One of FIGURES for all test sets and domains."""
    sets = set_names(measured)
    if figure in OF_LANGUAGES and not SINGLE_VOICED.isdisjoint(sets):
        sets = ["in"]
    of_figure = {row: [found.rates[name][0][FIGURES.index(figure)] for name in sets]
                 for row, found in measured.items()
                 if figure not in OF_LANGUAGES or (row.tells_languages and row.decodings != GIVEN)}
    rows = [[row.title, str(len(measured[row].seeds)), *map(shown, values)] for row, values in of_figure.items()]
    is_kept = not np.isnan([*of_figure.values()]).all()
    return section(TITLES[figure], ("system", "seeds", *sets), rows if is_kept else [])


def language_table(inside: bool, measured: Mapping[Row, Measured]) -> str:
    """WER by language, in or out of domain."""
    languages = known_languages(measured)

    def wer(found: Measured, language: str) -> float:
        counts = found.counts
        if counts.languages is None:
            return np.nan
        tested = (counts.inside == inside) & (counts.languages == language)
        return means(counts.counts[:, tested])[WER] if tested.any() else np.nan

    rows = [[row.title, str(len(found.seeds)), *(shown(wer(found, language)) for language in languages)]
            for row, found in measured.items()]
    return section(f"Word error rate {'in-domain' if inside else 'out of domain'} by language, %",
                   ("system", "seeds", *languages), rows if languages else [])


def reduction_table(comparisons: list[Comparison], sets: list[str]) -> str:
    """How much fewer word errors each row has than its bases, over the seeds that both have."""
    rows = [[c.row.title, c.base.title, str(len(c.after.seeds)), *(with_interval(c.reductions(name)) for name in sets)]
            for c in comparisons]
    return section("Relative reduction of the word error rate, % (95 % interval)",
                   ("system", "compared with", "seeds", *sets), rows)


def claim_table(comparisons: list[Comparison], lists: list[Allowed]) -> str:
    """The paper's relative reductions and those here."""
    by_titles = {(c.row.title, c.base.title): c for c in comparisons}
    rows = [[claim.title, claim.where, claim.paper, with_interval(c.reductions(claim.where)), c.row.title,
             c.base.title, str(len(c.after.seeds))]
            for claim in CLAIMS if (c := by_titles.get((claim.row, claim.base)))]
    pruned = {claim.row for claim in CLAIMS if claim.paper == PRUNED}
    if own := [found for found in lists if found.comparison.row.title in pruned]:
        most = max(own, key=lambda found: reductions(found.before, found.after)[0])
        c = most.comparison
        rows.append([f"the most of {len(own)} lists, {most.languages}", "out", PRUNED,
                     with_interval(reductions(most.before, most.after)), c.row.title, c.base.title,
                     str(len(c.after.seeds))])
    return section("The paper's relative reductions of the word error rate, %, and those here (95 % interval)",
                   ("change", "set", "paper", "here", "system", "compared with", "seeds"), rows)


def list_table(lists: list[Allowed]) -> str:
    """What each list of languages changes."""
    rows = [[found.comparison.row.title, found.languages, str(len(found.comparison.after.seeds)),
             shown(found.before[0, WER]), shown(found.after[0, WER]),
             with_interval(reductions(found.before, found.after))] for found in lists]
    return section("Word error rate out of domain by allowed languages, %",
                   ("system", "allowed", "seeds", "all languages", "these", "relative reduction"), rows)


def training_table(results: Path) -> str:
    """How long the trainings took."""
    rows = []
    for name, system in SYSTEMS.items():
        if times := [kept for kept in training_times(name, results) if "training" in kept]:
            router = [kept["router"] for kept in times if "router" in kept]
            side_by_side = sorted({str(kept["side_by_side"]) for kept in times})
            rows.append([system.title, str(len(times)), f"{np.mean([kept['training'] for kept in times]):,.0f}",
                         f"{np.mean(router):,.0f}" if router else "-", " or ".join(side_by_side)])
    note = ("Of all epochs with their validation, without what comes before and after them. Trainings that ran side by "
            "side on one machine took longer for it.")
    table = section("Seconds of training", ("system", "seeds", "model", "router fine-tuning", "side by side"), rows)
    return table and f"{table}\n{note}\n"


def draw(measured: Mapping[Row, Measured], path: Path) -> None:
    """WER of every row with its interval, a panel for each test set."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 0.35 * len(measured) + 1), sharey=True)
    for axes, (name, title) in zip(panels, (("in", "WER in-domain, %"), ("out", "WER out of domain, %"))):
        for place, (row, found) in enumerate(measured.items()):
            wer = found.rates[name][:, WER]
            axes.barh(place, wer[0], color=COLOURS.get(row.system, "tab:green"), alpha=0.8)
            axes.plot(interval(wer[1:]), [place, place], color="black", linewidth=1)
            axes.annotate(f"{wer[0]:.1f}", (max(interval(wer[1:])), place), (4, 0), textcoords="offset points",
                          va="center")
        axes.set_title(title)
        axes.margins(x=0.16)
    panels[0].set_yticks(range(len(measured)), [row.title for row in measured])
    panels[0].invert_yaxis()
    save_plot(figure, path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="cpu", help="that of run.py (default: cpu)")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"),
                        help="that of run.py (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="draw the word error rates into this file")
    args = parser.parse_args(argv)
    results = args.results / args.size
    try:
        measured = measure_all(ROWS, results)
    except UserError as error:
        sys.exit(f"table: {error}")
    if not measured:
        sys.exit(f"table: no system is finished in {results}; run.py makes them, --size names the folder")
    print(tables(measured, results))
    if args.plot:
        draw(measured, args.plot)


if __name__ == "__main__":
    start(main)
