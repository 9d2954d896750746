"""CS-FLEURS: sentences in which the language changes, of 113 pairs of languages, as the Hugging Face repository
byan/cs-fleurs has it (2025). Only its tests are read: people reading (read/test) and synthetic speech (xtts/test1,
xtts/test2, mms/test), as far as they are there.

Each metadata.jsonl has rows with id, file_name (from its folder), text, language ("cmn-eng") and more. The first
language of a pair is the one that the other is mixed into: it is the clip's language.
"""

from collections.abc import Iterator
from pathlib import Path

from babel.core import get_global
from shared.kaldi_tables import UserError

from corpora import Clip, fleurs, read_jsonl

LAYOUT = "{read/test,xtts/test1,xtts/test2,mms/test}/metadata.jsonl and what it names; CS-FLEURS is for tests only"
SPLITS = ("test",)
FIELDS = ("file_name", "text", "language")
SUBSETS = ("read/test", "xtts/test1", "xtts/test2", "mms/test")
REGIONAL = {code.partition("-")[0]: code for code in fleurs.CODES.values()}  # zh: zh-CN


def languages(root: Path, split: str) -> list[str]:
    return sorted({code for _, row in _rows(root) for code in _pair(row)})


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    """The clips of those pairs of which both languages are wanted."""
    for source, row in _rows(root):
        if not set(_pair(row)) <= set(languages):
            continue
        language, other = _pair(row)
        folder = Path(source).parent
        subset = folder.relative_to(root)
        yield Clip(
            name=f"{subset}/{row['file_name'].removesuffix('.wav')}",
            audio=f"{folder}/{row['file_name']}",
            text=row["text"],
            language=language,
            speaker=str(row.get("speaker") or ""),
            source=source,
            domain=subset.parts[0],
            other_language=other,
        )


def _rows(root: Path) -> Iterator[tuple[str, dict]]:
    for subset in SUBSETS:
        if (root / subset).is_dir():
            for source, row in read_jsonl(root / subset / "metadata.jsonl", FIELDS):
                if row["language"].count("-") != 1:
                    raise UserError(f"{source}: 'language' must be a pair like cmn-eng, not {row['language']!r}")
                yield source, row


def _pair(row: dict) -> tuple[str, str]:
    """The languages of a row, in Common Voice's codes."""
    codes = (get_global("language_aliases").get(code, code) for code in row["language"].split("-"))
    first, second = (REGIONAL.get(code, code) for code in codes)
    return first, second
