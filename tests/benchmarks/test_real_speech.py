"""Real speech without one domain: what is left out, and who is on which side. Needs ../shared/data."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from paper_table import real, table  # noqa: E402
from paper_table.counts import FIGURES  # noqa: E402
from paper_table.rates import Measured  # noqa: E402
from shared.text_normalization import normalise  # noqa: E402

TRAINED = ("train", "valid", "router_train", "router_valid")
LEFT_OUT = sorted(real.SETS)


@pytest.fixture(scope="module", params=LEFT_OUT)
def left_out(request):
    return request.param


@pytest.fixture(scope="module")
def splits(shared_data, left_out):
    root = shared_data / "real-mini" / left_out
    return {split: list(real.read(root, split, real.LANGUAGES)) for split in real.SPLITS}


def speakers(clips):
    return {clip.speaker for clip in clips}


def test_no_speaker_is_tested_who_was_heard(splits):
    tested = speakers(splits["test"] + splits["test_out"])
    assert tested and tested.isdisjoint(speakers(clip for split in TRAINED for clip in splits[split]))


def test_the_domain_that_is_left_out(splits, left_out):
    assert {clip.domain for clip in splits["test_out"]} == {left_out}
    assert {clip.domain for clip in splits["train"]} == {"read", "course", *real.SETS} - {left_out}
    assert {clip.domain for clip in splits["test"]} == {"read"}


def sentences(clips):
    return [(clip.language, normalise(clip.text, clip.language)) for clip in clips]


def test_validation_is_by_speaker_or_by_sentence(splits):
    own, trained = ([clip for clip in splits[split] if clip.domain == "read"] for split in ("valid", "train"))
    assert own and speakers(own).isdisjoint(speakers(trained))
    own, trained = ([clip for clip in splits[split] if clip.domain != "read"] for split in ("valid", "train"))
    assert own and set(sentences(own)).isdisjoint(sentences(trained))


def test_every_language_has_many_speakers_in_the_training_set_the_pairs_and_the_test(splits):
    for split in ("train", "router_train", "test"):
        for language in real.LANGUAGES:
            assert len(speakers(c for c in splits[split] if (c.language, c.domain) == (language, "read"))) >= 15


def test_pairs_have_no_transcripts_and_everything_else_has(splits):
    for split, clips in splits.items():
        assert {clip.text is None for clip in clips} == {split.startswith("router")}


def test_texts_say_what_is_spoken(splits):
    texts = [(clip.language, clip.text) for clips in splits.values() for clip in clips if clip.text]
    assert not any(c.isdigit() or c in "()[]" for _, text in texts for c in text)
    assert not any(c.isascii() and c.isalpha() for language, text in texts if language == "ru" for c in text)
    assert not set("áéíóúüñ") & {c for language, text in texts if language == "es" for c in text.lower()}


def test_out_of_domain_tests_are_small_and_have_no_sentence_twice(splits, left_out):
    for language in real.SETS[left_out]:
        texts = sentences(clip for clip in splits["test_out"] if clip.language == language)
        assert 100 < len(texts) <= real.TEST_CLIPS and len(texts) == len(set(texts))


def test_languages_of_the_splits(shared_data, left_out):
    root = shared_data / "real-mini" / left_out
    assert sorted(real.languages(root, "test_out")) == sorted(real.SETS[left_out])
    for split in ("train", "valid", "test", "router_train", "router_valid"):
        assert real.languages(root, split) == real.LANGUAGES


def test_a_folder_that_cannot_be_left_out(shared_data):
    assert real.languages(shared_data / "real-mini" / "commands", "train") == []


def test_no_accuracy_of_languages_where_each_is_a_voice():
    rates = {name: np.full((1, len(FIGURES)), 25.0) for name in ("in", "out", "all", "phone")}
    measured = {next(row for row in table.ROWS if row.tells_languages): Measured((0,), None, rates)}
    assert "|system|seeds|in|out|all|phone|" in table.figure_table("WER", measured)
    assert all("|system|seeds|in|\n" in table.figure_table(figure, measured) for figure in table.OF_LANGUAGES)
