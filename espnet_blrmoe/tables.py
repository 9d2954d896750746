"""Tables: Kaldi's, with a line for every utterance, its id and then its value; and those that programs print."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"  # editors on Windows write it at the beginning; tables that are put together have it inside


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table: the value of every utterance, which may be empty.

    Raises:
        ValueError: as `numbered_lines`, or it has an utterance twice.
    """
    table: dict[str, str] = {}
    for number, key, value in numbered_lines(path):
        if key in table:
            raise ValueError(f"{path}: {key} is duplicated (line {number}); ids must be unique")
        table[key] = value
    return table


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Number, id and value of each line.

    Raises:
        ValueError: the table is missing, not text in UTF-8, or has an empty line; names the file.
    """
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                words = line.removeprefix(BYTE_ORDER_MARK).strip().split(maxsplit=1)
                if not words:
                    raise ValueError(f"{path} has an empty line; remove it (line {number})")
                yield number, words[0], words[1] if len(words) > 1 else ""
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error.reason}") from error


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A table for people: two spaces between columns; the first `names` of them are flush left, the others right."""
    from tabulate import tabulate  # whose import takes longer than reading a table

    alignment = ["left"] * names + ["right"] * (len(head) - names)
    return tabulate([head, *rows], tablefmt="plain", disable_numparse=True, colalign=alignment)
