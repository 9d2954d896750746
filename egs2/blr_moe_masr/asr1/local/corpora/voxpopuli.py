"""VoxPopuli's transcribed part, as `python -m voxpopuli.get_asr_data` leaves it: speeches in the European Parliament.

Of its two transcripts the spoken form is read (normalized_text, with numbers in words), since the other is often empty.
`en_accented`, a test set of English by people with other first languages, is English; the accent is its domain.
"""

from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_tsv, unreadable

LAYOUT = "transcribed_data/<language>/asr_{train,dev,test}.tsv and transcribed_data/<language>/<year>/*.ogg"
TABLES = {"train": "asr_train.tsv", "valid": "asr_dev.tsv", "test": "asr_test.tsv"}
ACCENTED = {"en_accented": "en"}  # folder -> language


def languages(root: Path, split: str) -> list[str]:
    tables = root.glob(f"transcribed_data/*/{TABLES[split]}")
    return sorted({ACCENTED.get(table.parent.name, table.parent.name) for table in tables})


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    folders = sorted(root.glob("transcribed_data/*/"))
    for language in languages:
        for folder in folders:
            accented = ACCENTED.get(folder.name) == language
            if folder.name == language or accented and (folder / TABLES[split]).is_file():
                yield from _read_folder(folder, split, language, accented)


def _read_folder(folder: Path, split: str, language: str, accented: bool) -> Iterator[Clip]:
    for source, row in read_tsv(folder / TABLES[split], ("id", "normalized_text", "speaker_id")):
        if row is None:
            yield unreadable(source, language, "not a row of VoxPopuli: other columns than the first line")
            continue
        name, speaker = row["id"], row["speaker_id"]
        yield Clip(
            name=name,
            audio=f"{folder}/{name[:4]}/{name}.ogg",
            text=row["normalized_text"],
            language=language,
            speaker="" if speaker == "None" else speaker,
            source=source,
            domain=(row.get("accent") or folder.name) if accented else "",
        )
