"""Words: when, how surely and in which language each is said."""

import io
import itertools
import math

import numpy as np
import pytest
import sentencepiece
import torch
from espnet2.text.char_tokenizer import CharTokenizer
from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
from hypothesis import given
from hypothesis import strategies as st
from recognition import BEAM_SEARCH, BEST_PATH, SPEECHES
from tiny import HOP, RATE, speech_of, write_model

from espnet_blrmoe import Speech2Text, Transcript
from espnet_blrmoe.inference.stream_text import StreamText
from espnet_blrmoe.inference.words import aligned, join_tokens, positions_of_words
from espnet_blrmoe.writing import split_words

FRAME = 4 * HOP / RATE  # seconds
DECODER = {"decoder": "transformer", "decoder_conf": {"attention_heads": 2, "linear_units": 24, "num_blocks": 1}}
LONG, CHUNK = speech_of(9.3, seed=3), 1.8  # seconds, with which cuts fall on whole milliseconds


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("hybrid"), model_conf={"ctc_weight": 0.3}, **DECODER)


@pytest.fixture(scope="module", params=["best-path", "beam-search", "hybrid"])
def any_recogniser(request, tiny_model) -> Speech2Text:
    if request.param == "hybrid":
        files = request.getfixturevalue("hybrid")
        options = {"beam_size": 2, "ctc_weight": 0.3, "maxlenratio": 0.5}
        return Speech2Text(files.config, files.weights, chunk_seconds=CHUNK, vad="none", **options)
    options = {"best-path": BEST_PATH, "beam-search": BEAM_SEARCH}[request.param]
    return Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK, vad="none", **options)


def language_in(transcript: Transcript, seconds: float) -> str:
    return next(span.language for span in transcript.timeline if span.start <= seconds < span.end)


# ----------------------------------------------------------------------------------------------------------- alignment


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token != 0]


@given(st.integers(1, 6), st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 999))
def test_the_alignment_is_the_most_probable_path_through_the_tokens(frames, token_ids, seed):
    log_probs = torch.randn(frames, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=-1)
    spans = aligned(log_probs, token_ids, blank=0)
    assert [span.token for span in spans] == token_ids
    paths = [path for path in itertools.product(range(4), repeat=frames) if collapsed(path) == token_ids]
    if not paths:
        assert {span.score for span in spans} == {-math.inf}
        assert all(0 <= span.start < span.end <= frames for span in spans)
        return
    best = max(paths, key=lambda path: sum(float(log_probs[t, token]) for t, token in enumerate(path)))
    runs, frame = [], 0
    for token, run in itertools.groupby(best):
        first, frame = frame, frame + len(list(run))
        if token:
            runs.append((first, frame, pytest.approx(float(log_probs[first:frame, token].mean()), abs=1e-5)))
    assert [(span.start, span.end, span.score) for span in spans] == runs


def test_nothing_to_align():
    assert aligned(torch.zeros(3, 2), [], blank=0) == []


# ------------------------------------------------------------------------------------------------- from tokens to words


def words_of_tokens(tokens: list[str], tokenizer) -> list[str]:
    positions = positions_of_words(tokens, tokenizer.tokens2text)
    assert sorted(itertools.chain(*positions)) == list(itertools.chain(*positions))
    return [tokenizer.tokens2text([tokens[position] for position in own]) for own in positions]


@given(st.text("abü 你好ที่か", max_size=20))
def test_words_of_characters(text):
    tokenizer = CharTokenizer()
    assert words_of_tokens(tokenizer.text2tokens(text), tokenizer) == split_words(text)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory) -> SentencepiecesTokenizer:
    """A tokenizer that spells what it does not know in bytes, and has a token of two Han characters."""
    sentences = ["banana band bandana", "ab an and", "你好 你好 abba"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", vocab_size=290, byte_fallback=True,
        minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("pieces") / "bpe.model"
    path.write_bytes(model.getvalue())
    return SentencepiecesTokenizer(path)


@pytest.mark.parametrize("text", ["banana and bandana", "für den Ärger", "é è", "x 世 band", "  and  \t band "])
def test_words_of_sentencepiece_and_its_bytes(pieces, text):
    tokens = pieces.text2tokens(text)
    assert words_of_tokens(tokens, pieces) == text.split()
    assert_streamed(tokens, pieces, ["de"] * len(tokens))


def test_a_token_of_several_characters_is_one_word(pieces):
    tokens = pieces.text2tokens("你好界你好a")
    assert "你好" in " ".join(tokens)
    words = words_of_tokens(tokens, pieces)
    assert "".join(words) == "你好界你好a"
    assert words[1:] == ["界", "你好", "a"]
    assert_streamed(tokens, pieces, ["zh"] * len(tokens))


# ---------------------------------------------------------------------------------------------------------- in streams


def assert_streamed(tokens: list[str], tokenizer, languages: list[str]) -> None:
    """A stream in which each token follows a blank has the words of all tokens, each as soon as the next one begins."""
    stream = StreamText(lambda ids: tokenizer.tokens2text([tokens[n] for n in ids]), blank=-1, seconds_per_frame=1.0)
    words, finals = [], []
    for n, language in enumerate(languages):
        words += stream.add([-1, n], [0.0, -1.0], [language, language])
        finals.append(stream.final)
        assert stream.text == " ".join(tokenizer.tokens2text(tokens[: n + 1]).split())
    expected = positions_of_words(tokens, tokenizer.tokens2text)
    assert len(words) == max(0, len(expected) - 1)
    words += stream.finish()
    assert all(later.startswith(final) for final, later in itertools.pairwise([*finals, stream.final]))
    assert stream.final == stream.text == " ".join(tokenizer.tokens2text(tokens).split())
    for word, positions in zip(words, expected, strict=True):
        first, last = positions[0], positions[-1]
        assert word.text == tokenizer.tokens2text([tokens[n] for n in positions]).strip()
        assert (word.start, word.end) == (2 * first + 1, 2 * last + 2)
        assert word.confidence == pytest.approx(math.exp(-len(positions)))
        frames = [languages[first]] + [own for own in languages[first + 1 : last + 1] for _ in range(2)]
        assert frames.count(word.language) == max(map(frames.count, frames))


@pytest.mark.parametrize(
    ("texts", "token_list", "joined"),
    [
        (["ab", "", "c"], ["a", "b", "c", "<space>"], ["a", "b", "<space>", "c"]),
        ([["a", "<space>"], ["b"], ["<space>", "c"]], ["a", "<space>"], ["a", "<space>", "b", "<space>", "c"]),
        ([["▁A", "b"], ["▁C"], ["d"]], ["▁A", "b", "▁C", "d", "▁"], ["▁A", "b", "▁C", "▁", "d"]),
        (["ab", "c"], ["a", "b", "c"], ["a", "b", "c"]),
        ([], ["<space>"], []),
    ],
)
def test_tokens_of_several_texts_have_spaces_between(texts, token_list, joined):
    assert join_tokens(texts, token_list) == joined


@given(st.data(), st.text("abü 你好ที่か", max_size=20))
def test_words_of_a_stream_are_those_of_its_text(data, text):
    tokenizer = CharTokenizer(space_symbol=" ")
    languages = data.draw(st.lists(st.sampled_from(["de", "zh"]), min_size=len(text), max_size=len(text)))
    assert_streamed(list(text), tokenizer, languages)


def test_scripts_without_spaces_are_final_character_by_character():
    stream = StreamText(lambda ids: "".join("_你好吗"[n] for n in ids), blank=0, seconds_per_frame=0.04)
    assert [word.text for word in stream.add([1, 2, 3], [0.0] * 3, ["zh"] * 3)] == ["你", "好"]
    assert (stream.final, stream.text) == ("你好", "你好吗")


# ------------------------------------------------------------------------------------------------------- in transcripts


@pytest.mark.parametrize("speech", range(len(SPEECHES)))
def test_words_are_those_of_the_text_one_after_another(any_recogniser, speech):
    transcript = any_recogniser(SPEECHES[speech], ["de", "en"])
    assert " ".join(word.text for word in transcript.words) == transcript.text
    for word, following in itertools.pairwise(transcript.words):
        assert word.end <= following.start
    for word in transcript.words:
        assert 0 <= word.start < word.end <= len(SPEECHES[speech]) / RATE
        assert 0 < word.confidence <= 1
        assert word.language in {language_in(transcript, t) for t in np.arange(word.start + 1e-3, word.end, FRAME)}


def test_the_language_of_a_word_is_that_of_most_of_its_frames(any_recogniser):
    words = any_recogniser(LONG, "de 4.5:en").words
    assert {word.language for word in words} == {"de", "en"}
    for word in words:
        assert word.language == ("de" if (word.start + word.end) / 2 < 4.5 else "en")


def test_words_of_long_audio_have_the_times_of_the_whole(any_recogniser):
    transcript = any_recogniser(LONG)
    expected = []
    for chunk in transcript.chunks:
        words = any_recogniser(LONG[round(chunk.start * RATE) : round(chunk.end * RATE)]).words
        expected += [(word.text, pytest.approx(word.start + chunk.start, abs=2e-3), word.language) for word in words]
    assert len(transcript.chunks) > 3
    assert [(word.text, word.start, word.language) for word in transcript.words] == expected


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_best_path_says_when_words_are_and_how_surely(tiny_model, seed):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, language_smoothing="frame", vad="none")
    speech = speech_of(4.0, seed)
    encoder_out, _ = speech2text.asr_model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))
    probs, path = speech2text.asr_model.ctc.log_softmax(encoder_out)[0].exp().max(dim=-1)
    blank, space = 0, speech2text.asr_model.token_list.index("<space>")
    runs, frame = [], 0  # (first frame, last frame, log-probability) of the letters of each word
    for token, run in itertools.groupby(path.tolist()):
        first, frame = frame, frame + len(list(run))
        if token == space or not runs:
            runs.append([])
        if token not in (blank, space):
            runs[-1].append((first, frame, float(probs[first:frame].log().mean())))
    words = [run for run in runs if run]
    for word, letters in zip(speech2text(speech).words, words, strict=True):
        assert (word.start, word.end) == (round(letters[0][0] * FRAME, 3), round(letters[-1][1] * FRAME, 3))
        assert word.confidence == pytest.approx(math.exp(sum(score for *_, score in letters)), rel=1e-4)


def test_a_decoders_text_that_the_ctc_has_no_room_for_is_spread_over_its_chunk(hybrid, monkeypatch):
    speech2text = Speech2Text(hybrid.config, hybrid.weights, beam_size=1)
    tokens = ["a", "a", "<space>"] * 20
    said = " ".join(["aa"] * 20), tokens, speech2text.converter.tokens2ids(tokens), None
    monkeypatch.setattr(speech2text, "_beam_search", lambda encoder_out, hotwords: [said])
    transcript = speech2text(SPEECHES[1])
    assert " ".join(word.text for word in transcript.words) == transcript.text
    assert {word.confidence for word in transcript.words} == {0.0}
    assert all(0 <= word.start < word.end <= 0.5 for word in transcript.words)


def test_without_speech_or_without_a_ctc_there_are_no_words(speech2text, tmp_path):
    assert speech2text(np.zeros(RATE)).words == ()
    files = write_model(tmp_path, model_conf={"ctc_weight": 0.0}, **DECODER)
    attention = Speech2Text(files.config, files.weights, beam_size=1, ctc_weight=0.0, maxlenratio=0.5)
    transcript = attention(SPEECHES[1])
    assert transcript.text and transcript.words == ()
