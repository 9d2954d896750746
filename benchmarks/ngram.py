"""What word n-grams gain at each weight, on a validation set, and the time that the search takes.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/ngram.py --model exp/asr --data_dir dump/raw/valid --ngram exp/ngram_3

decodes along the CTC's best path, with the beam search, and with the search and the n-grams at each of --weights.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jiwer
import torch
from measuring import decoded, machine, read_data_dir

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.inference.ngram import NGRAM_WEIGHT
from espnet_blrmoe.inference.speech2text import TEXT_BEAM_SIZE
from espnet_blrmoe.tables import text_table
from espnet_blrmoe.writing import split_words

HEAD = ("", "WER, %", "CER, %", "deletions, % of words", "processor time, s")


def row(name: str, texts: Sequence[str], heard: Sequence[str], seconds: float) -> tuple[str, ...]:
    """A row of the table."""
    words = jiwer.process_words(list(texts), list(heard))
    deletions = words.deletions / (words.hits + words.substitutions + words.deletions)
    rates = words.wer, jiwer.cer(list(texts), list(heard)), deletions
    return name, *(f"{100 * rate:.1f}" for rate in rates), f"{seconds:.0f}"


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a model that was trained with CTC only")
    parser.add_argument("--data_dir", type=Path, required=True, help="with wav.scp and text")
    parser.add_argument("--ngram", type=Path, required=True, help="folder with LANGUAGE.arpa")
    parser.add_argument("--weights", type=float, nargs="+", default=[NGRAM_WEIGHT])
    parser.add_argument("--beam_size", type=int, default=TEXT_BEAM_SIZE)
    return parser


def main(cmd: list[str] | None = None) -> None:
    args = get_parser().parse_args(cmd)
    torch.set_num_threads(1)
    files, said = (list(table.values()) for table in read_data_dir(args.data_dir, "text"))
    texts = [" ".join(split_words(text)) for text in said]
    rows = [row("best path", texts, *decoded(Speech2Text.from_pretrained(args.model), files))]
    beam = {"beam_size": args.beam_size}
    rows.append(row(f"beam {args.beam_size}", texts, *decoded(Speech2Text.from_pretrained(args.model, **beam), files)))
    for weight in args.weights:
        speech2text = Speech2Text.from_pretrained(args.model, **beam, ngram=args.ngram, ngram_weight=weight)
        rows.append(row(f"n-gram, weight {weight:g}", texts, *decoded(speech2text, files)))
    print(f"{len(texts)} sentences; {machine('cpu')}")
    print(text_table(HEAD, rows))


if __name__ == "__main__":
    main()
