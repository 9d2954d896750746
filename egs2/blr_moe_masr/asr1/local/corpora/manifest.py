"""Recordings of your own: a folder with {train,valid,test}.jsonl (or .tsv), or one such file whose rows have a `split`.

A row has `audio`, `text`, `lang` (maybe several languages, "zh-CN en"), and optionally `id`, `speaker`, `domain`,
`start` and `end` or `duration` (seconds). A relative path of audio starts at the manifest's folder. A clip with `start`
is a part of its audio file.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from shared.kaldi_tables import UserError

from corpora import Clip, read_jsonl, read_tsv, unreadable

LAYOUT = "{train,valid,test}.jsonl (or .tsv) with audio, text and lang, or one such file with split as well"
FIELDS = ("audio", "text", "lang")
SPLITS = ("train", "valid", "test")


def languages(root: Path, split: str) -> list[str]:
    return list(dict.fromkeys(code for _, row in _rows(root, split) for code in row["lang"].split()))


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    folder = root.parent if root.is_file() else root
    wanted = set(languages)
    for source, row in _rows(root, split):
        if wanted.issuperset(row["lang"].split()):
            yield _clip(source, row, folder)


def _clip(source: str, row: dict, folder: Path) -> Clip:
    start, end, duration = (_seconds(source, row, field) for field in ("start", "end", "duration"))
    if start is not None and end is None and duration is not None:
        end = start + duration
    if (start is None) != (end is None):
        raise UserError(f"{source}: a part of a recording needs both 'start' and 'end' in seconds")
    if start is not None and not start < end:
        return unreadable(source, row["lang"], f"ends before it starts: {start} to {end} s")
    return Clip(
        name=_name(row, start, end),
        audio=os.path.join(folder, row["audio"]),
        text=row["text"],
        language=row["lang"],
        speaker=_label(row, "speaker"),
        source=source,
        domain=_label(row, "domain"),
        start=start,
        end=end,
        duration=duration,
    )


def _name(row: dict, start: float | None, end: float | None) -> str:
    """The row's id, or the file's name with a digest of its path and, in milliseconds, what part of it is meant."""
    if _label(row, "id"):
        return _label(row, "id")
    path = row["audio"]
    stem = os.path.splitext(os.path.basename(path))[0]
    part = "" if start is None else f"-{1000 * start:08.0f}-{1000 * end:08.0f}"
    return f"{stem[-100:]}-{blake2b(path.encode(), digest_size=5).hexdigest()}{part}"


def _label(row: dict, field: str) -> str:
    """An optional field, which may be a number; "" if there is none."""
    value = row.get(field)
    return "" if value is None else str(value)


def _seconds(source: str, row: dict, field: str) -> float | None:
    value = row.get(field)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"{source}: '{field}' must be a time in seconds, not {value!r}")
    return seconds


def _rows(root: Path, split: str) -> Iterator[tuple[str, dict]]:
    """Checked rows of a split, each with its place; none if there is no file of that split."""
    if root.is_file():
        for source, row in _read(root, (*FIELDS, "split")):
            if row["split"] not in SPLITS:
                raise UserError(f"{source}: 'split' must be one of {', '.join(SPLITS)}, not {row['split']!r}")
            if row["split"] == split:
                yield source, row
        return
    for ending in ("jsonl", "tsv"):
        path = root / f"{split}.{ending}"
        if path.is_file():
            yield from _read(path, FIELDS)


def _read(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[str, dict]]:
    read = read_tsv if path.suffix == ".tsv" else read_jsonl
    for source, row in read(path, fields, distributed=False):
        if row is None:
            raise UserError(f"{source} has more or fewer cells than the first line; there must be no tab in a text")
        if not row["audio"]:
            raise UserError(f"{source}: 'audio' is empty; it must name an audio file")
        codes = row["lang"].split(" ")
        if not all(code.replace("-", "").replace("_", "").isalnum() for code in codes):
            raise UserError(f"{source}: 'lang' must be a language code like en or zh-CN, or several with one blank "
                            f"between them, not {row['lang']!r}")
        yield source, row
