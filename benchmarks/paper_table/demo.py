"""The demo's corpus, and a set for choices, test_dev: 100 sentences of a language in voices that nothing else has heard
but the router's validation, recorded in the other languages' ways, as test_out is.

A corpus of the recipe: PYTHONPATH=benchmarks egs2/blr_moe_masr/asr1/run.sh --corpus paper_table.demo.
"""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from corpora import Clip, espeak
from corpora.espeak import audio_folder, recordings
from corpora.espeak.sentences import sentences

LAYOUT, ASR_CONFIG, LANGUAGES = espeak.LAYOUT, espeak.ASR_CONFIG, espeak.LANGUAGES
SPLITS = (*espeak.SPLITS, "test_dev")
TAG = "_demo"
SENTENCES = 100
DEV = recordings.SpeechSet(recordings.ROUTER_VALID_VOICES, (120, 185), (30, 70), others=1)


def make(root: Path, languages: list[str], train_hours: float | None, test_sentences: int | None, nj: int) -> None:
    """Make the demo's corpus in `root`, and test_dev in root/dev."""
    espeak.make(root, languages, train_hours, test_sentences, nj)
    chosen = languages or LANGUAGES
    said = {clip.text for split in ("train", "valid", "test", "test_out") for clip in espeak.read(root, split, chosen)}
    planned = [recording for language in chosen for recording in dev(language, said)]
    audio_folder.make(root / "dev", {"test_dev": planned}, recordings.write_recording, nj)


def dev(language: str, said: set[str]) -> list[recordings.Recording]:
    """The recordings of test_dev in a language: sentences that the rest of the corpus does not have."""
    texts = (text for text in sentences(language, seed=1) if text not in said)
    draw = random.Random(f"test_dev {language}")
    return list(recordings.draw_recordings("test_dev", DEV, language, SENTENCES, islice(texts, SENTENCES), draw))


def languages(root: Path, split: str) -> list[str]:
    return espeak.languages(*_place(root, split))


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    return espeak.read(*_place(root, split), languages)


def _place(root: Path, split: str) -> tuple[Path, str]:
    return (root / "dev", split) if split == "test_dev" else (root, split)
