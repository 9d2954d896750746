"""Tables: Kaldi's, with a line for every utterance, its id and then its value; and those that programs print."""

from collections.abc import Iterable, Sequence
from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"  # editors on Windows write it at the beginning; tables that are put together have it inside


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table: the value of every utterance, which may be empty.

    Raises:
        ValueError: it is missing, not text in UTF-8, or has an empty line or an utterance twice; names the file.
    """
    table: dict[str, str] = {}
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                words = line.removeprefix(BYTE_ORDER_MARK).strip().split(maxsplit=1)
                if not words:
                    raise ValueError(f"{path} has an empty line; remove it (line {number})")
                if words[0] in table:
                    raise ValueError(f"{path}: {words[0]} is duplicated (line {number}); ids must be unique")
                table[words[0]] = words[1] if len(words) > 1 else ""
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error.reason}") from error
    return table


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A table for people: two spaces between columns; the first `names` of them are flush left, the others right."""
    from tabulate import tabulate  # whose import takes longer than reading a table

    alignment = ["left"] * names + ["right"] * (len(head) - names)
    return tabulate([head, *rows], tablefmt="plain", disable_numparse=True, colalign=alignment)
