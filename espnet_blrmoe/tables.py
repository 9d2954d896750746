"""Kaldi's tables: a line for every utterance, its id and then its value."""

from pathlib import Path

from espnet2.fileio.read_text import read_2columns_text


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table: the value of every utterance, which may be empty.

    Raises:
        ValueError: it is missing, no text in UTF-8, or has an empty line or an utterance twice; names the file.
    """
    try:
        return read_2columns_text(path)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: an utterance twice
        raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} has an empty line; remove it") from error
