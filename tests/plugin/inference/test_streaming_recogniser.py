"""Streams: text and language while people speak."""

import gc
import weakref
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_model import CHUNK_MS, ENCODER, write_streaming_model
from tiny import CONFIG, RATE, one_sentence, speech_of, write_model

from espnet_blrmoe import StreamingRecogniser, StreamPart
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.model.chunks import Chunking
from espnet_blrmoe.model.prior import LanguageChoice

SAMPLES_OF_FRAME = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelFiles:
    return write_streaming_model(tmp_path_factory.mktemp("streaming"))


@pytest.fixture(scope="module")
def recogniser(model) -> StreamingRecogniser:
    return StreamingRecogniser(model.config, model.weights, CHUNK_MS)


def heard(recogniser: StreamingRecogniser, pieces: list[np.ndarray], **options) -> list[StreamPart]:
    """All that comes out of a stream."""
    session = recogniser.start(**options)
    return [part for piece in pieces for part in session.feed(piece)] + [session.finish()]


def assert_same(parts: list[StreamPart], others: list[StreamPart]) -> None:
    for part, other in zip(parts, others, strict=True):
        same = ("start", "end", "text", "final", "language", "timeline")
        assert [getattr(part, name) for name in same] == [getattr(other, name) for name in same]
        for word, expected in zip(part.words, other.words, strict=True):
            assert word == replace(expected, confidence=pytest.approx(expected.confidence, abs=1e-4))
        assert part.language_probability == pytest.approx(other.language_probability, abs=1e-4)


@settings(max_examples=20)
@given(seconds=st.floats(0.001, 2.5), cuts=st.lists(st.floats(0, 1), max_size=9), seed=st.integers(0, 99))
def test_pieces_do_not_matter(recogniser, seconds, cuts, seed):
    wave = speech_of(seconds, seed)
    if len(wave) == 0:
        return
    pieces = [piece for piece in np.split(wave, sorted(round(cut * len(wave)) for cut in cuts)) if len(piece)]
    assert_same(heard(recogniser, pieces), heard(recogniser, [wave]))


def test_the_text_is_the_best_path_of_the_whole_under_the_same_chunks(recogniser):
    for seed in range(2):
        wave = torch.from_numpy(speech_of(2.0, seed))
        with torch.no_grad():
            encoded, _, routing = recogniser._model.encode_with_routing(
                wave[None], torch.tensor([len(wave)]), LanguageChoice(looks_back=True), Chunking(4, 8)
            )
            ids = recogniser._model.ctc.argmax(encoded)[0].tolist()
        tokens = [CONFIG["token_list"][token] for token, _ in groupby(ids) if token]
        text = " ".join("".join(" " if token == "<space>" else token for token in tokens).split())
        parts = heard(recogniser, [wave.numpy()])
        assert parts[-1].text == parts[-1].final == text
        frames = [recogniser.languages.index(span.language) for part in parts for span in part.timeline for _ in range(
            round((span.end - span.start) * RATE / SAMPLES_OF_FRAME))]  # fmt: skip
        assert frames == routing.language[0].tolist()
        assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
        words = [word for part in parts for word in part.words]
        assert [word.text for word in words] == text.split()
        assert all(0 < word.confidence <= 1 and word.language in recogniser.languages for word in words)


def test_what_is_final_stays(recogniser):
    for seed in range(2):
        parts = heard(recogniser, np.split(speech_of(3.0, seed), 10))
        for part, later in zip(parts, parts[1:]):
            assert part.text.startswith(part.final) and later.final.startswith(part.final)
            assert later.text.startswith(part.text)
            words = [word for word in later.words]
            assert all(later.start - 3.0 <= word.start < word.end <= later.end for word in words)


def test_streams_together_are_heard_as_alone(recogniser):
    generator = np.random.default_rng(0)
    waves = [speech_of(seconds, seed) for seed, seconds in enumerate(generator.uniform(0.01, 2.0, 70))]
    sessions = [recogniser.start(languages=["en", "de"] if n % 3 else None) for n in range(len(waves))]
    parts = [[] for _ in waves]
    for first in range(0, 2 * RATE, 2000):
        active = [n for n, wave in enumerate(waves) if first < len(wave)]
        pieces = [waves[n][first : first + 2000] for n in active]
        for n, own in zip(active, recogniser.feed([sessions[n] for n in active], pieces)):
            parts[n] += own
    for own, last in zip(parts, recogniser.finish(sessions)):
        own.append(last)
    for n, (own, wave) in enumerate(zip(parts, waves)):
        alone = heard(recogniser, [wave], languages=["en", "de"] if n % 3 else None)
        assert_same(own, alone)


def test_allowed_languages_hold_and_can_be_changed(recogniser):
    session = recogniser.start(languages=["en"])
    wave = speech_of(4.0, 0)
    before = session.feed(wave[: 2 * RATE])
    session.allow("de,zh-CN")
    after = [*session.feed(wave[2 * RATE :]), session.finish()]
    assert {span.language for part in before for span in part.timeline} == {"en"}
    assert {part.language_probability for part in before} == {1.0}
    assert {span.language for part in after for span in part.timeline} <= {"de", "zh-CN"}


def test_a_switch_shows_at_its_time(recogniser):
    parts = heard(recogniser, [speech_of(3.0, 0)], languages="en 1.6:de")
    spans = [span for part in parts for span in part.timeline]
    assert {span.language for span in spans if span.end <= 1.6} == {"en"}
    assert {span.language for span in spans if span.start >= 1.6} == {"de"}
    assert [part.language for part in parts if part.end < 1.5 or part.start > 1.7] == sorted(
        (part.language for part in parts if part.end < 1.5 or part.start > 1.7), reverse=True
    )


def test_smoothing_looks_back(model):
    raw, smoothed = (
        StreamingRecogniser(model.config, model.weights, CHUNK_MS, language_smoothing=smoothing)
        for smoothing in ("frame", 900)
    )
    switches = [
        sum(len(part.timeline) - 1 for seed in range(2) for part in heard(recogniser, [speech_of(3.0, seed)]))
        for recogniser in (raw, smoothed)
    ]
    assert switches[1] < switches[0]


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
def test_other_rates_are_resampled_on_the_way(recogniser, rate):
    generator = np.random.default_rng(rate)
    wave = (0.1 * generator.standard_normal(2 * rate)).astype(np.float32)
    whole, in_pieces = (heard(recogniser, np.array_split(wave, n), rate=rate) for n in (1, 37))
    assert_same(in_pieces, whole)
    assert whole[-1].end == pytest.approx(2.0, abs=0.1)


def test_a_stream_of_nothing_and_one_of_next_to_nothing(recogniser):
    last = recogniser.start().finish()
    assert (last.text, last.final, last.language, last.timeline, last.start, last.end) == ("", "", None, (), 0.0, 0.0)
    (last,) = heard(recogniser, [np.full(1, 0.1, np.float32)])
    assert last.end == 0.032 and last.language is not None


def test_a_stream_that_nobody_ends_leaves_nothing_behind(recogniser):
    session = recogniser.start()
    session.feed(speech_of(1.0, 0))
    state = weakref.ref(session._state)
    del session
    gc.collect()
    assert state() is None


BAD = np.array([0.1, np.nan], np.float32)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "speech is empty; it must have at least one sample"),
        (BAD, "speech holds NaN or infinite samples"),
        (np.full(9, -1e38, np.float32), "speech holds samples as large as 1e+38; scale them to [-1, 1]"),
        (np.zeros(9, np.int16), "speech must be floating point in [-1, 1], got torch.int16; divide int16 by 32768"),
        (np.zeros((9, 2), np.float32), "a stream is fed with arrays of one channel, (samples,)"),
        ("talk.wav", "a stream is fed with arrays of one channel, (samples,)"),
    ],
)
def test_a_piece_that_cannot_be_heard_is_refused_and_changes_nothing(recogniser, samples, message):
    wave = speech_of(1.0, 0)
    session, other = recogniser.start(), recogniser.start()
    parts = session.feed(wave[:3000])
    assert message in one_sentence(session.feed, samples)
    assert message in one_sentence(recogniser.feed, [other, session], [wave, samples])
    assert_same([*parts, *session.feed(wave[3000:]), session.finish()], heard(recogniser, [wave]))
    assert other.finish().end == 0.0


def test_a_finished_session_is_over(recogniser):
    session = recogniser.start()
    session.feed(speech_of(0.5, 0))
    session.finish()
    for call in (session.finish, lambda: session.feed(speech_of(0.5, 0))):
        assert one_sentence(call) == "the session is finished; start another one"


def test_sessions_that_do_not_go_together_are_refused_and_nothing_changes(model, recogniser):
    wave = speech_of(1.0, 0)
    session, finished = recogniser.start(), recogniser.start()
    finished.finish()
    of_another = StreamingRecogniser(model.config, model.weights, CHUNK_MS).start()
    for other, message in (
        (session, "a session is there twice; give its audio one piece after another"),
        (of_another, "a session is another recogniser's; give it to the one that started it"),
        (finished, "the session is finished; start another one"),
    ):
        assert one_sentence(recogniser.feed, [session, other], [wave, wave]) == message
        assert one_sentence(recogniser.finish, [session, other]) == message
    message = "1 sessions need a piece of audio each, not 2 pieces"
    assert one_sentence(recogniser.feed, [session], [wave, wave]) == message
    assert_same([*session.feed(wave), session.finish()], heard(recogniser, [wave]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_ms": 100}, "chunk_ms must be a multiple of 32, from 128 to 29984 for the chunk_sizes"),
        ({"chunk_ms": 64}, "chunk_ms must be a multiple of 32, from 128 to 29984 for the chunk_sizes"),
        ({"chunk_ms": 32e6}, "chunk_ms must be a multiple of 32, from 128 to 29984 for the chunk_sizes"),
        ({"chunk_ms": float("nan")}, "chunk_ms must be a multiple of 32"),
        ({"language_smoothing": "utterance"}, "language_smoothing of a stream must be frame or milliseconds"),
        ({"language_smoothing": "viterbi"}, "language_smoothing of a stream must be frame or milliseconds"),
        ({"language_smoothing": "soft"}, "language smoothing must be frame, utterance, viterbi or milliseconds"),
        ({"language_penalty": -1.0}, "the language penalty must be a number of nats"),
    ],
)
def test_options_out_of_their_range(model, options, message):
    options = {"chunk_ms": CHUNK_MS, **options}
    assert message in one_sentence(lambda: StreamingRecogniser(model.config, model.weights, **options))


def test_models_and_streams_that_are_none(recogniser, tmp_path):
    assert "unknown language 'fr'" in one_sentence(recogniser.start, "fr")
    assert "the stream" in one_sentence(recogniser.start, None, 10)
    message = "the stream has a sampling rate of '16000' Hz; it must be a number from 1000 to 1000000"
    assert one_sentence(recogniser.start, None, "16000") == message
    other = write_model(tmp_path / "other")
    message = one_sentence(StreamingRecogniser, other.config, other.weights, CHUNK_MS)
    assert message.startswith("the model was not trained for streaming; train one with encoder_conf: chunk_sizes")
    short = write_streaming_model(tmp_path / "short", encoder_conf={**ENCODER, "chunk_sizes": [4, 6]})
    assert "from 128 to 192 " in one_sentence(StreamingRecogniser, short.config, short.weights, 224)
    loud = write_streaming_model(tmp_path / "loud", speech_volume_normalize=0.5)
    assert "speech_volume_normalize" in one_sentence(StreamingRecogniser, loud.config, loud.weights, CHUNK_MS)
