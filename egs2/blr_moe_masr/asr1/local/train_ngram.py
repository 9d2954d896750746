"""Stage 7: a word n-gram for each language, with Kneser-Ney smoothing, as kaldingram makes it.

    python local/train_ngram.py --ngram_num 3 exp/ngram/texts exp/ngram

writes exp/ngram/LANGUAGE.arpa for each exp/ngram/texts/LANGUAGE.txt. ARPA files of the folder whose language has no
text any more are removed.
"""

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from shared.kaldi_tables import UserError
from shared.write_files import UNFINISHED

from espnet_blrmoe.program import start
from espnet_blrmoe.tables import text_table

ORDERS = (2, 3, 4, 5)  # kaldingram's; of single words it reads only the first of a line


def train(text: Path, order: int, arpa: Path) -> None:
    """Write the n-gram of a text; UserError with kaldingram's last line if it fails."""
    unfinished = arpa.with_name(arpa.name + UNFINISHED)
    options = "--ngram-order", str(order), "--text", str(text), "--lm", str(unfinished)
    done = subprocess.run([sys.executable, "-m", "kaldingram.cli", "train", *options],
                          env={**os.environ, "TQDM_DISABLE": "1"}, capture_output=True, text=True)
    if done.returncode:
        unfinished.unlink(missing_ok=True)
        reason = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise UserError(f"kaldingram made no n-gram of {text}: {reason}")
    unfinished.replace(arpa)


def sizes(arpa: Path) -> list[str]:
    """How many n-grams of each order an ARPA file has, as its head says."""
    found = []
    with arpa.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("ngram "):
                found.append(line.strip().partition("=")[2])
            elif found:
                break
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ngram_num", type=int, choices=ORDERS, default=3, help="words of an n-gram (default 3)")
    parser.add_argument("texts", type=Path, help="folder with LANGUAGE.txt, as stage 6 writes them")
    parser.add_argument("output_dir", type=Path, help="folder for the ARPA files")
    args = parser.parse_args(argv)

    if find_spec("kaldingram") is None:
        raise UserError("word n-grams need kaldingram, which is not installed: pip install kaldingram ufal.kenlm")
    texts = sorted(args.texts.glob("*.txt"))
    if not texts:
        raise UserError(f"{args.texts} has no file LANGUAGE.txt: run stage 6 first")
    rows = []
    for text in texts:
        arpa = args.output_dir / f"{text.stem}.arpa"
        train(text, args.ngram_num, arpa)
        rows.append([text.stem, *sizes(arpa)])
    for old in set(args.output_dir.glob("*.arpa")) - {args.output_dir / f"{text.stem}.arpa" for text in texts}:
        old.unlink()
    print(text_table(("language", *(f"{order}-grams" for order in range(1, args.ngram_num + 1))), rows))


if __name__ == "__main__":
    start(main)
