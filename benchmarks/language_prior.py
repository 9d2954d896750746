"""What an allowed-language list does when it is right, partly wrong or wholly wrong, by how much it is believed.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/language_prior.py --model exp/router \\
        --data_dir dump/raw/valid --data_dir dump/raw/test_out

Every utterance gets a list of two languages, drawn by seed: with "right" lists its own language is always one of them,
with "partly wrong" ones in three utterances of four, with "wrong" ones never. The strength is --language_penalty in
nats; "hard" excludes. Every strength is tried without and with --language_escape. Prints word error rate and accuracy
of the detected language in %, and draws them.
"""

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path

import jiwer
import matplotlib.pyplot as plt
from humanfriendly.tables import format_pretty_table
from measuring import read_data_dir
from tqdm import tqdm

from espnet_blrmoe import Speech2Text

STRENGTHS = (0.0, 1.0, 2.0, 4.0, 8.0, math.inf)
RIGHT_SHARE = {"right": 1.0, "partly wrong": 0.75, "wrong": 0.0}  # of the lists


def draw_list(language: str, languages: Sequence[str], right_share: float, draw: random.Random) -> tuple[str, str]:
    """Two languages, the utterance's among them with a probability of `right_share`."""
    others = [other for other in languages if other != language]
    if draw.random() < right_share:
        return language, draw.choice(others)
    return tuple(draw.sample(others, 2))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data_dir", type=Path, action="append", required=True,
                        help="wav.scp, text and utt2lang; may be given several times")
    parser.add_argument("--language_escape", type=float, default=0.9, help="the escape that is tried (default 0.9)")
    parser.add_argument("--output", type=Path, help="file for the plot, e.g. docs/language_prior.svg")
    args = parser.parse_args(argv)

    results = {}  # (data, list, escape, strength) -> (WER, LID accuracy)
    cases = [(escape, strength) for escape in (None, args.language_escape) for strength in STRENGTHS]
    for escape, strength in tqdm(cases, desc="strengths", disable=None):
        speech2text = Speech2Text.from_pretrained(
            args.model, language_penalty=strength, language_escape=escape, beam_size=1
        )
        for data_dir in args.data_dir:
            files, texts, languages = read_data_dir(data_dir, "text", "utt2lang")
            for kind, right_share in RIGHT_SHARE.items():
                draw = random.Random(0)
                lists = {u: draw_list(languages[u], speech2text.languages, right_share, draw) for u in sorted(files)}
                transcripts = speech2text.batch(list(files.values()), [lists[u] for u in files])
                wer = 100 * jiwer.wer(list(texts.values()), [transcript.text for transcript in transcripts])
                right = sum(one.language == language for one, language in zip(transcripts, languages.values()))
                results[data_dir.name, kind, escape, strength] = wer, 100 * right / len(files)
    for data_dir in args.data_dir:
        print_table(data_dir.name, results)
    if args.output:
        draw_curves([data_dir.name for data_dir in args.data_dir], results, args.output)


def name_of(strength: float) -> str:
    return "hard" if strength == math.inf else f"{strength:g}"


def print_table(data: str, results: dict) -> None:
    """One line for each kind of list and escape, one column for each strength."""
    rows = [
        [kind, "none" if escape is None else f"{escape:g}"]
        + [" / ".join(f"{rate:.1f}" for rate in results[data, kind, escape, strength]) for strength in STRENGTHS]
        for kind in RIGHT_SHARE
        for escape in dict.fromkeys(key[2] for key in results)
    ]
    print(f"{data}: WER / LID accuracy in %, by penalty in nats")
    print(format_pretty_table(rows, ["lists", "escape", *map(name_of, STRENGTHS)]))


def draw_curves(datas: list[str], results: dict, path: Path) -> None:
    """Rows: WER and LID accuracy; columns: data."""
    figure, axes = plt.subplots(2, len(datas), figsize=(5 * len(datas), 7), squeeze=False, sharex=True)
    for column, data in enumerate(datas):
        for row, measure in enumerate(("WER in %", "LID accuracy in %")):
            axis = axes[row][column]
            for color, kind in zip(("tab:green", "tab:orange", "tab:red"), RIGHT_SHARE):
                for escape in dict.fromkeys(key[2] for key in results):
                    rates = [results[data, kind, escape, strength][row] for strength in STRENGTHS]
                    label = kind if escape is None else f"{kind}, escape {escape:g}"
                    axis.plot(range(len(STRENGTHS)), rates, "-" if escape is None else "--", color=color, label=label)
            axis.set_ylabel(measure)
            axis.grid(alpha=0.3)
        axes[0][column].set_title(data)
        axes[1][column].set_xticks(range(len(STRENGTHS)), map(name_of, STRENGTHS))
        axes[1][column].set_xlabel("language penalty in nats")
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    print(f"{path} is drawn")


if __name__ == "__main__":
    main()
