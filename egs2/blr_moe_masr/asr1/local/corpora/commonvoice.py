"""Common Voice, any release from 2019 on, and corpora in its layout.

Columns client_id (or speaker), path and sentence are read. Only test.tsv is needed of a corpus that serves as an
out-of-domain test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_tsv, require_folder, unreadable

LAYOUT = "<language>/{train,dev,test}.tsv and <language>/clips/*.mp3"
TABLES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}


def languages(root: Path, split: str) -> list[str]:
    return [table.parent.name for table in root.glob(f"*/{TABLES[split]}")]


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    for language in languages:
        require_folder(root / language / "clips")
        for source, row in read_tsv(root / language / TABLES[split], ("path", "sentence")):
            if row is None:
                yield unreadable(source, language, "not a row of Common Voice: other columns than the first line")
                continue
            # The first release leaves out the ending.
            path = row["path"] if "." in row["path"] else f"{row['path']}.mp3"
            yield Clip(
                name=re.sub(r"\.\w+$", "", path).removeprefix(f"common_voice_{language}_"),
                audio=f"{root}/{language}/clips/{path}",
                text=row["sentence"],
                language=language,
                speaker=row.get("client_id") or row.get("speaker", ""),
                source=source,
            )
