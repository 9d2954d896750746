"""Stage 6: the text that the word n-gram of each language learns, a sentence a line, its words with spaces between.

    python local/ngram_texts.py data/train exp/ngram/texts --text our_texts

writes exp/ngram/texts/LANGUAGE.txt for each language of data/train: the transcripts of the utterances in it, and what
our_texts/LANGUAGE.txt has, if it is there, normalised as transcripts are. In scripts without spaces every character is
a word. Utterances in several languages are left out.
"""

import argparse
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from shared.kaldi_tables import UserError, decode
from shared.text_normalization import DIGITS, normalise
from shared.transcripts import side_by_side
from shared.write_files import UNFINISHED

from espnet_blrmoe.languages import label_languages
from espnet_blrmoe.program import start
from espnet_blrmoe.tables import text_table
from espnet_blrmoe.writing import split_words

HEAD = ("language", "transcripts", "further sentences", "words")


def transcripts(folder: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the utterances in one language; errors as for `side_by_side`."""
    for _, label, text in side_by_side(folder / "utt2lang", folder / "text"):
        languages = label_languages(label)
        if len(languages) == 1:
            yield languages[0], text


def sentences(path: Path, language: str, digits: str) -> Iterator[str]:
    """The lines of a text, normalised; UserError if it is not UTF-8."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield normalise(decode(line, path, number), language, digits)


def further_texts(folder: Path | None, languages: set[str]) -> dict[str, Path]:
    """The texts of a folder, by language; UserError if it has none, or one of a language that is not trained."""
    if folder is None:
        return {}
    texts = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if not texts:
        raise UserError(f"{folder} has no file LANGUAGE.txt, such as {min(languages)}.txt")
    if unknown := texts.keys() - languages:
        raise UserError(f"{texts[min(unknown)]}: the training set has no language {min(unknown)!r}; it has: "
                        f"{', '.join(sorted(languages))}")
    return texts


def write_texts(train: Path, further: Path | None, digits: str, folder: Path) -> list[list[str]]:
    """Write all texts into a folder; the rows of HEAD."""
    counts: dict[str, Counter[str]] = {}
    files: dict[str, TextIO] = {}
    with ExitStack() as opened:

        def add(language: str, text: str, kind: str) -> None:
            if words := split_words(text):
                if language not in files:
                    files[language] = opened.enter_context((folder / f"{language}.txt").open("w", encoding="utf-8"))
                files[language].write(" ".join(words) + "\n")
                counts.setdefault(language, Counter()).update({kind: 1, "words": len(words)})

        for language, text in transcripts(train):
            add(language, text, "transcripts")
        for language, path in further_texts(further, set(counts)).items():
            for text in sentences(path, language, digits):
                add(language, text, "further sentences")
    return [[language, *(str(count[name]) for name in HEAD[1:])] for language, count in sorted(counts.items())]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train_dir", type=Path, help="data directory with text and utt2lang")
    parser.add_argument("output_dir", type=Path, help="folder for the texts, which is written anew")
    parser.add_argument("--text", type=Path, help="folder with further texts, LANGUAGE.txt")
    parser.add_argument("--digits", choices=DIGITS, default="kept",
                        help="whether numbers of further texts are spelled (default: %(default)s)")
    args = parser.parse_args(argv)

    unfinished = args.output_dir.with_name(args.output_dir.name + UNFINISHED)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        rows = write_texts(args.train_dir, args.text, args.digits, unfinished)
        shutil.rmtree(args.output_dir, ignore_errors=True)
        unfinished.rename(args.output_dir)
    except OSError as error:
        raise UserError(f"{args.output_dir} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(text_table(HEAD, rows))


if __name__ == "__main__":
    start(main)
