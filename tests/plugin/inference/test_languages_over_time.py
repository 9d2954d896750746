"""Lists of allowed languages that change while somebody speaks."""

import pytest
from tiny import HOP, RATE, speech_of

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.files.model_files import ModelFiles

FRAME = 4 * HOP / RATE  # seconds
LONG = speech_of(9.0, seed=5)


@pytest.fixture(scope="module")
def speech2text(tiny_model: ModelFiles) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=2.5)


@pytest.mark.parametrize("languages", ["de 3.3:en", {0: "de", 3.3: ["en"]}])
def test_a_change_comes_at_its_second_whatever_the_chunks(speech2text, languages):
    transcript = speech2text(LONG, languages)
    assert len(transcript.chunks) > 3
    german, english = transcript.timeline
    assert (german.language, english.language) == ("de", "en")
    assert german.end == english.start == pytest.approx(3.3, abs=FRAME)


def test_before_the_first_second_all_languages_are_allowed(speech2text):
    open_end, free = speech2text(LONG, "4:zh-CN"), speech2text(LONG)
    assert open_end.timeline[-1].language == "zh-CN"
    early = [span for span in free.timeline if span.end < 4]
    assert list(open_end.timeline[: len(early)]) == early


def test_lists_of_a_batch_change_each_at_its_own_time(speech2text):
    lists = ["en 1:de", "de", "en,de 0.5:zh-CN 1.2:en"]
    speeches = [LONG, speech_of(0.8, seed=1), speech_of(2.0, seed=2)]
    for transcript, speech, own in zip(speech2text.batch(speeches, lists), speeches, lists):
        assert transcript.timeline == speech2text(speech, own).timeline


def test_a_penalty_of_nothing_is_no_list(tiny_model, speech2text):
    soft = Speech2Text(tiny_model.config, tiny_model.weights, "en 3:de", language_penalty=0.0, chunk_seconds=2.5)
    assert soft(LONG).timeline == speech2text(LONG).timeline
