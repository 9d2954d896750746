"""Tables: Kaldi's, with a line for every utterance, its id and then its value; and those that programs print."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet2.fileio.read_text import read_2columns_text
from tabulate import tabulate


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table: the value of every utterance, which may be empty.

    Raises:
        ValueError: it is missing, not text in UTF-8, or has an empty line or an utterance twice; names the file.
    """
    try:
        return read_2columns_text(path)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: an utterance twice
        raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} has an empty line; remove it") from error


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A table for people: two spaces between columns; the first `names` of them are flush left, the others right."""
    alignment = ["left"] * names + ["right"] * (len(head) - names)
    return tabulate([head, *rows], tablefmt="plain", disable_numparse=True, colalign=alignment)
