"""What an allowed-language list does when it is right, partly wrong or wholly wrong, by how much it is believed.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/language_prior.py --results exp/language_prior.jsonl \\
        --data_dir dump/raw/valid --data_dir dump/raw/test_out trained=exp/asr fine-tuned=exp/router

Every utterance gets a list of two languages, drawn by seed: with "right" lists its own language is always one of them,
with "partly wrong" ones in three utterances of four, with "wrong" ones never. The strength is --language_penalty in
nats; "hard" excludes. Every strength is tried without and with --language_escape. Prints word error rate and accuracy
of the detected language in %, then by how much a list changes the word error rate and how penalties compare with a hard
list that has an escape, with 95 % intervals (paired bootstrap over utterances), and draws the rates. Every decoding is
a line of --results: a run that was cut short goes on.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path

import jiwer
import matplotlib.pyplot as plt
import numpy as np
from measuring import kept_results, named_folders, read_data_dir, save_plot

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.program import start
from espnet_blrmoe.progress import progress_bar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "local"))

from paper_table.rates import with_interval  # noqa: E402
from score import bootstrap, count, error_rate  # noqa: E402
from shared.alignments import align_words  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402

STRENGTHS = (1.0, 2.0, 4.0, math.inf)
RIGHT_SHARE = {"right": 1.0, "partly wrong": 0.75, "wrong": 0.0}  # of the lists
COLOURS = {"right": "tab:green", "partly wrong": "tab:orange", "wrong": "tab:red"}
NO_LIST = ("right", None, 0.0)  # a penalty of nothing: the same for all lists

Condition = tuple[str, float | None, float]  # kind of list, escape, strength


def conditions(escape: float) -> list[Condition]:
    """Everything that is decoded; those that one recogniser does are neighbours."""
    return [NO_LIST, *((kind, own, strength) for own, strength, kind in
                       product((None, escape), STRENGTHS, RIGHT_SHARE))]


def draw_list(language: str, languages: Sequence[str], right_share: float, draw: random.Random) -> tuple[str, str]:
    """Two languages, the utterance's among them with a probability of `right_share`."""
    others = [other for other in languages if other != language]
    if draw.random() < right_share:
        return language, draw.choice(others)
    return tuple(draw.sample(others, 2))


def decode(folder: str, data_dir: Path, missing: list[Condition]) -> Iterator[dict]:
    """What the model of a folder recognises under each condition: text and language of every utterance."""
    files, languages = read_data_dir(data_dir, "utt2lang")
    progress = progress_bar(missing, desc=f"{folder}, {data_dir.name}")
    for (escape, strength), group in groupby(progress, key=lambda condition: condition[1:]):
        speech2text = Speech2Text.from_pretrained(
            folder, language_penalty=strength, language_escape=escape, beam_size=1
        )
        for condition in group:
            draw = random.Random(0)
            share = RIGHT_SHARE[condition[0]]
            lists = {u: draw_list(languages[u], speech2text.languages, share, draw) for u in sorted(files)}
            transcripts = speech2text.batch(list(files.values()), [lists[u] for u in files])
            heard = {u: [transcript.text, transcript.language] for u, transcript in zip(files, transcripts)}
            yield {"condition": condition, "heard": heard}


def counts_of(heard: dict[str, list[str]], data_dir: Path) -> np.ndarray:
    """(utterances, words and languages, 4), as score.count gives them."""
    _, texts, languages = read_data_dir(data_dir, "text", "utt2lang")
    words = [align_words(texts[u], heard[u][0], languages[u]) for u in sorted(texts)]
    return count({"WER": words, "LID": [jiwer.process_words(languages[u], heard[u][1] or "") for u in sorted(texts)]})


def measure(folder: str, data_dir: Path, escape: float, results: Path) -> dict[Condition, np.ndarray]:
    """The counts of every condition; what the file of results lacks is decoded and added to it."""
    key = {"folder": folder, "data": str(data_dir)}
    done = {tuple(line["condition"]): line["heard"] for line in kept_results(results, key)}
    missing = [condition for condition in conditions(escape) if condition not in done]
    with results.open("a", encoding="utf-8") as file:
        for line in decode(folder, data_dir, missing):
            print(json.dumps(key | line, ensure_ascii=False), file=file, flush=True)
            done[tuple(line["condition"])] = line["heard"]
    return {condition: counts_of(done[condition], data_dir) for condition in conditions(escape)}


def name_of(strength: float) -> str:
    return "hard" if strength == math.inf else f"{strength:g}"


def rates(counts: dict[Condition, np.ndarray], condition: Condition) -> tuple[float, float]:
    """Word error rate and accuracy of the language, in %."""
    wer, wrong = error_rate(counts[condition].sum(axis=0))
    return wer, 100 - wrong


def rows_of(counts: dict[Condition, np.ndarray]) -> list[tuple[str, float | None]]:
    """Kinds of lists, each without and with the escape."""
    return sorted({condition[:2] for condition in counts},
                  key=lambda row: (list(RIGHT_SHARE).index(row[0]), row[1] is not None))


def tables(counts: dict[Condition, np.ndarray]) -> str:
    """Rates by strength, what a list changes, how penalties compare with the escape: a line for each kind of list."""
    wer = {condition: np.append(rates(counts, condition)[0], bootstrap(own)[:, 0]) for condition, own in counts.items()}

    def change(condition: Condition, base: Condition) -> str:
        return with_interval(wer[condition] - wer[base])

    def table(cell, rows: list[tuple[str, float | None]], first: list[str]) -> str:
        lines = [[kind, "none" if escape is None else f"{escape:g}", *first,
                  *(cell((kind, escape, strength)) for strength in STRENGTHS)] for kind, escape in rows]
        return markdown_table(("lists", "escape", *["0"] * len(first), *map(name_of, STRENGTHS)), lines)

    def both(condition: Condition) -> str:
        return "{:.1f} / {:.1f}".format(*rates(counts, condition))

    rows = rows_of(counts)
    (escape,) = {own for _, own in rows} - {None}
    return "\n".join([
        "WER / LID accuracy in %, by penalty in nats:\n",
        table(both, rows, [both(NO_LIST)]),
        "Change of the WER by the list, in points (95 % interval):\n",
        table(lambda condition: change(condition, NO_LIST), rows, []),
        f"Difference of the WER from that of the same list, hard, with an escape of {escape:g}:\n",
        table(lambda condition: change(condition, (condition[0], escape, math.inf)),
              [(kind, None) for kind in RIGHT_SHARE], []),
    ])


def draw_curves(measured: dict[tuple[str, str], dict[Condition, np.ndarray]], path: Path) -> None:
    """Rows: WER and LID accuracy; columns: models and data."""
    figure, axes = plt.subplots(2, len(measured), figsize=(3.5 * len(measured), 7), squeeze=False, sharex=True,
                                sharey="row")
    for column, ((name, data), counts) in enumerate(measured.items()):
        for row, axis in enumerate(axes[:, column]):
            for kind, escape in rows_of(counts):
                points = [rates(counts, NO_LIST)[row]]
                points += [rates(counts, (kind, escape, strength))[row] for strength in STRENGTHS]
                label = kind if escape is None else f"{kind}, escape {escape:g}"
                axis.plot(points, "-" if escape is None else "--", color=COLOURS[kind], label=label)
            axis.grid(alpha=0.3, which="both")
        axes[0][column].set_title(f"{name}, {data}")
        axes[1][column].set_xticks(range(1 + len(STRENGTHS)), ["0", *map(name_of, STRENGTHS)])
        axes[1][column].set_xlabel("language penalty in nats")
    axes[0][0].set_yscale("log")  # wrong lists that are hard would hide the rest
    for formatter in (axes[0][0].yaxis.set_major_formatter, axes[0][0].yaxis.set_minor_formatter):
        formatter("{x:g}")
    axes[0][0].set_ylabel("WER in %")
    axes[1][0].set_ylabel("LID accuracy in %")
    axes[0][0].legend(fontsize="small")
    save_plot(figure, path)


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--data_dir", type=Path, action="append", required=True,
                        help="wav.scp, text and utt2lang; may be given several times")
    parser.add_argument("--results", type=Path, required=True, help="file to go on with; a line for every decoding")
    parser.add_argument("--language_escape", type=float, default=0.9, help="the escape that is tried (default 0.9)")
    parser.add_argument("--output", type=Path, help="file for the plot, e.g. docs/language_prior.svg")
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = get_parser()
    args = parser.parse_args(argv)
    folders = named_folders(parser, args.models)
    try:
        measured = {(name, data_dir.name): measure(folder, data_dir, args.language_escape, args.results)
                    for name, folder in folders.items() for data_dir in args.data_dir}
    except (ValueError, OSError) as error:
        sys.exit(f"language_prior: {error}")
    for (name, data), counts in measured.items():
        print(f"{name}, {data} ({len(counts[NO_LIST])} utterances)", tables(counts), sep="\n\n")
    if args.output:
        draw_curves(measured, args.output)


if __name__ == "__main__":
    start(main)
