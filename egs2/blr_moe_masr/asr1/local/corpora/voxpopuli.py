"""VoxPopuli's transcribed part, as `python -m voxpopuli.get_asr_data` leaves it: speeches in the European Parliament.

Of its two transcripts the spoken form is read (normalized_text, with numbers in words), since the other is often empty.
"""

from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_tsv, unreadable

LAYOUT = "transcribed_data/<language>/asr_{train,dev,test}.tsv and transcribed_data/<language>/<year>/*.ogg"
TABLES = {"train": "asr_train.tsv", "valid": "asr_dev.tsv", "test": "asr_test.tsv"}


def languages(root: Path, split: str) -> list[str]:
    return [table.parent.name for table in root.glob(f"transcribed_data/*/{TABLES[split]}")]


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    for language in languages:
        folder = root / "transcribed_data" / language
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
            )
