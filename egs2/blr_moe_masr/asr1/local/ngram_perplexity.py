"""Stage 8: how well the word n-grams know held-out transcripts, as a table.

    python local/ngram_perplexity.py exp/ngram dump/raw/valid

prints it and writes perplexity.tsv into the folder of the n-grams. Columns:
    unknown %   words that the n-gram does not know: it takes them for equally rare
    perplexity  among how many words the n-gram chooses, on average, before each known word and the end of a sentence
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from ngram_texts import transcripts
from shared.kaldi_tables import UserError
from shared.write_files import write_files

from espnet_blrmoe.inference.ngram import Ngram
from espnet_blrmoe.program import start
from espnet_blrmoe.tables import text_table
from espnet_blrmoe.writing import split_words

HEAD = ("set", "language", "sentences", "words", "unknown %", "perplexity")


@dataclass
class Knowledge:
    """What an n-gram says of transcripts; the figures are sums over sentences."""

    sentences: int = 0
    words: int = 0
    unknown: int = 0
    nats: float = 0.0

    def add(self, ngram: Ngram, text: str) -> None:
        """Count a sentence."""
        words, history = split_words(text), ngram.start
        for word in words:
            history, nats = ngram.after(history, word)
            self.unknown += not ngram.knows(word)
            self.nats += nats if ngram.knows(word) else 0.0
        self.nats += ngram.end(history)
        self.sentences += 1
        self.words += len(words)

    def cells(self) -> list[str]:
        """The values of HEAD from `sentences` on."""
        perplexity = math.exp(-self.nats / (self.words - self.unknown + self.sentences))
        unknown = 100 * self.unknown / max(self.words, 1)
        return [str(self.sentences), str(self.words), f"{unknown:.2f}", f"{perplexity:.1f}"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ngrams", type=Path, help="folder with LANGUAGE.arpa")
    parser.add_argument("data_dirs", type=Path, nargs="+", help="with utt2lang and text")
    args = parser.parse_args(argv)

    try:
        ngrams = {path.stem: Ngram(path) for path in sorted(args.ngrams.glob("*.arpa"))}
    except ValueError as error:
        raise UserError(str(error)) from error
    if not ngrams:
        raise UserError(f"{args.ngrams} has no file LANGUAGE.arpa: run stage 7 first")
    rows = []
    for folder in args.data_dirs:
        known: dict[str, Knowledge] = {}
        for language, text in transcripts(folder):
            if language in ngrams:
                known.setdefault(language, Knowledge()).add(ngrams[language], text)
        rows += [[folder.name, language, *known[language].cells()] for language in sorted(known)]
    write_files({args.ngrams / "perplexity.tsv": "".join("\t".join(row) + "\n" for row in (HEAD, *rows))})
    print(text_table(HEAD, rows, names=2))


if __name__ == "__main__":
    start(main)
