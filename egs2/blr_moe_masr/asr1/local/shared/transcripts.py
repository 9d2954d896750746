"""The transcripts of a data directory, one after another: a million of them need no more memory than one."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from espnet_blrmoe.languages import main_language
from shared.kaldi_tables import UserError, decode


class Transcript(NamedTuple):
    """What an utterance says.

    Attributes:
        language: its code; of several the first.
        text: empty where nothing is said.
    """

    language: str
    text: str


def read_transcripts(folder: Path) -> Iterator[Transcript]:
    """The transcripts of a data directory; errors as for `side_by_side`."""
    for _, label, text in side_by_side(folder / "utt2lang", folder / "text"):
        yield Transcript(main_language(label), text)


def side_by_side(*tables: Path) -> Iterator[tuple[str, ...]]:
    """Read Kaldi tables of the same utterances in the same order, a line of each at a time: id and the values.

    Raises:
        UserError: a table is missing, or the tables differ in an utterance (names both and the line).
    """
    for path in tables:
        if not path.is_file():
            raise UserError(f"{path} does not exist: run the stage that makes it first (./run.sh --help lists them)")
    files = [path.open("rb") for path in tables]
    try:
        for number, lines in enumerate(zip_longest(*files, fillvalue=b""), start=1):
            rows = [decode(line, path, number).strip().partition(" ") for path, line in zip(tables, lines)]
            for path, row in zip(tables, rows):
                if row[0] != rows[0][0]:
                    raise UserError(
                        f"{path}:{number}: utterance {row[0] or '(none)'}, but {tables[0]} has {rows[0][0] or 'none'} "
                        "there; both tables need the same utterances, sorted by id"
                    )
            yield rows[0][0], *(value for _, _, value in rows)
    finally:
        for file in files:
            file.close()
