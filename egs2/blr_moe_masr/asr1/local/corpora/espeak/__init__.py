"""The default corpus: speech that eSpeak NG synthesises from sentences of the recipe's own grammars.

Stage 1 makes its audio; recordings.py says what is said by whom and how, mixed.py where the language changes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_lines

LAYOUT = "what `make` leaves: {train,valid,test_in,test_out,router_train,router_valid}.jsonl and their wav files"
SPLITS = ("train", "valid", "test", "test_out", "test_mixed", "router_train", "router_valid")
ASR_CONFIG = "conf/train_asr.yaml"
TAG = ""
LANGUAGES = ["de", "en", "es", "pt"]
TRAIN_HOURS, TEST_SENTENCES = 4.5, 100  # hours of all languages; sentences of each, in each test set


def make(root: Path, languages: list[str], train_hours: float | None, test_sentences: int | None, nj: int) -> None:
    from corpora.espeak import recordings  # loads the synthesiser, which only stage 1 needs

    hours = TRAIN_HOURS if train_hours is None else train_hours
    sentences = TEST_SENTENCES if test_sentences is None else test_sentences
    recordings.make(root, languages or LANGUAGES, hours, sentences, nj)


def make_mixed(root: Path, languages: list[str], recordings: int | None, nj: int) -> None:
    from corpora.espeak import mixed

    said = {row["text"] for split in SPLITS if split != "test_mixed" for _, row in _rows(root, split)}
    mixed.make(root / "mixed", list(dict.fromkeys(languages or LANGUAGES)), recordings, said, nj)


def languages(root: Path, split: str) -> list[str]:
    if not _table(root, split).is_file() and split == "test_mixed":
        return []
    return sorted({row["language"] for _, row in _rows(root, split)})


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    for source, row in _rows(root, split):
        if row["language"] in languages:
            yield Clip(**{**row, "audio": f"{_table(root, split).parent}/{row['audio']}"}, source=source)


def _rows(root: Path, split: str) -> Iterator[tuple[str, dict]]:
    """The fields of every clip of a split, with its place."""
    for source, line in read_lines(_table(root, split)):
        yield source, json.loads(line)


def _table(root: Path, split: str) -> Path:
    if split == "test_mixed":
        return root / "mixed" / "test_mixed.jsonl"
    return root / f"{'test_in' if split == 'test' else split}.jsonl"
