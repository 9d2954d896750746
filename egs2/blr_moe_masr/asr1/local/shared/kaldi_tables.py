"""Kaldi tables: text files with a line "id value" per utterance (or speaker, or recording), sorted by id.

They are UTF-8 with white space between id and value (one space in those that are written here), in the order of
`LC_ALL=C sort`, as Kaldi and ESPnet expect; Windows' line ends are taken too. Long ones are streamed, and sorted by
coreutils' `sort`, in $TMPDIR: memory does not grow with them.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile

WHITE_SPACE = " \t\r\n\f\v"  # Kaldi's; blanks of other scripts belong to a text
SEPARATOR = re.compile(f"[{WHITE_SPACE}]+")
SORT = ("sort", "--stable", "--field-separator=\t", "--key=1,1", "--buffer-size=256M")


class UserError(SystemExit):
    """A mistake in the user's data or options: Python prints the sentence, without a traceback, and exits with 1."""


def stream_table(path: str | Path, allow_empty: bool = False, in_order: bool = True) -> Iterator[tuple[str, str]]:
    """Read a Kaldi table line by line: (id, the rest of the line).

    Args:
        path: the table.
        allow_empty: take a line with only an id as an empty value, as decoders write for "nothing recognised".
        in_order: the table must be sorted by id.

    Raises:
        UserError: the file is missing or not UTF-8, or a line has no value or is out of order (names file and line).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the stage that makes it first (./run.sh --help lists the stages)")
    previous = ""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            line = decode(line, path, number).strip(WHITE_SPACE)
            key, value = [*SEPARATOR.split(line, maxsplit=1), ""][:2]
            if not key or not (value or allow_empty):
                raise UserError(f"{path}:{number}: expected 'id value', found {line!r}")
            if in_order and key <= previous:
                if key == previous:
                    raise UserError(f"{path}:{number}: {key} occurs a second time; ids must be unique")
                raise UserError(f"{path}:{number}: {key} after {previous}; sort the table: LC_ALL=C sort -k1,1 {path}")
            previous = key
            yield key, value


def decode(line: bytes, path: Path, number: int) -> str:
    """A line of a table, without a byte order mark; raises UserError, with its place, if it is not UTF-8."""
    try:
        return line.decode("utf-8-sig")  # files that are put together have such marks inside too
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number} is not UTF-8 ({error.reason} at byte {error.start} of the line); convert the "
                        "file, and rename files that it names so") from error


def read_table(path: str | Path, allow_empty: bool = False) -> dict[str, str]:
    """Read a small Kaldi table, in whatever order: id -> the rest of the line. Otherwise as `stream_table`."""
    table: dict[str, str] = {}
    for key, value in stream_table(path, allow_empty, in_order=False):
        if key in table:
            raise UserError(f"{path}: {key} occurs a second time; ids must be unique")
        table[key] = value
    return table


def write_table(path: str | Path, table: dict[str, object]) -> None:
    """Write a small Kaldi table sorted by id."""
    with Path(path).open("w", encoding="utf-8") as lines:
        lines.writelines(f"{key} {table[key]}\n" for key in sorted(table))


def write_inverse(path: str | Path, table: str | Path, word: Callable[[str], str] = str) -> None:
    """Write value -> all ids that have it: `spk2utt` from `utt2spk`, `category2utt` from `utt2lang`; `word` makes one
    word of a value."""
    pairs = (line.split("\t") for line in sort_lines(f"{word(value)}\t{key}" for key, value in stream_table(table)))
    with Path(path).open("w", encoding="utf-8") as lines:
        for value, group in groupby(pairs, key=lambda pair: pair[0]):
            lines.write(value)
            lines.writelines(f" {key}" for _, key in group)
            lines.write("\n")


def sort_lines(lines: Iterable[str]) -> Iterator[str]:
    """Sort lines by what stands before their first tab, in the order of its UTF-8 bytes; equal ones keep their order.

    Raises:
        UserError: there is no room for temporary files.
    """
    with TemporaryFile("w+", encoding="utf-8") as complaint:
        sort = subprocess.Popen(SORT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaint,
                                env={**os.environ, "LC_ALL": "C"}, encoding="utf-8")
        try:
            try:
                sort.stdin.writelines(line + "\n" for line in lines)
                sort.stdin.close()
            except BrokenPipeError:
                pass  # the status says it, and the complaint why
            yield from (line[:-1] for line in sort.stdout)
            if status := sort.wait():
                complaint.seek(0)
                reason = complaint.read().strip() or f"it ended with status {status}"
                raise UserError(f"sort failed: {reason}; TMPDIR names a folder that has room for its temporary files")
        finally:
            sort.kill()  # unless it has ended: what it has got is not the whole
            sort.stdout.close()
            sort.wait()
