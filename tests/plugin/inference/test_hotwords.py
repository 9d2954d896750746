"""Hotwords: how people write them, what they add to a text's score, and what comes of it."""

import io
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import sentencepiece
import torch
from espnet2.text.char_tokenizer import CharTokenizer
from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
from hypothesis import given
from hypothesis import strategies as st
from recognition import SPEECHES
from tiny import CONFIG, LANGUAGES, RATE, one_sentence, speech_of, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.espnet_internals import BeamSearch
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.inference.hotword_scorer import HotwordScorer, HotwordScorers
from espnet_blrmoe.inference.hotwords import DEFAULT_WEIGHT, read_hotwords
from espnet_blrmoe.writing import split_words

LETTERS = "abcńд京東กา"
TOKENS = ["<blank>", "<unk>", *LETTERS, "<space>", "<sos/eos>"]
EOS = len(TOKENS) - 1


def scorers_of(tokens: list[str], tokenizer) -> HotwordScorers:
    model = SimpleNamespace(token_list=tokens, eos=len(tokens) - 1, languages=LANGUAGES)
    return HotwordScorers(SimpleNamespace(asr_model=model, tokenizer=tokenizer, beam_search=Mock(BeamSearch)))


def scorer_of(hotwords, tokens=TOKENS, tokenizer=None) -> HotwordScorer:
    scorers = scorers_of(tokens, tokenizer or CharTokenizer()).of(hotwords)
    assert tuple(scorers) == LANGUAGES and len(set(scorers.values())) == 1
    return scorers["en"]


def scores_of(scorer: HotwordScorer, token_ids: list[int]) -> list[float]:
    """What the scorer says of each token of a text, step by step, as ESPnet's search asks it."""
    state, scores, eos = None, [], scorer._eos
    text = [eos, *token_ids, eos]
    for n in range(1, len(text)):
        row, (state,) = scorer.batch_score(torch.tensor([text[:n]]), [state], torch.zeros(1, 1, 1))
        scores.append(float(row[0, text[n]]))
    return scores


def ids(text: str) -> list[int]:
    return [TOKENS.index(token) for token in CharTokenizer().text2tokens(text)]


# ---------------------------------------------------------------------------------------------------- what people write


def test_ways_to_write_hotwords(tmp_path):
    expected = {"Zamenhof": 2.0, "Esperanto": DEFAULT_WEIGHT, "New York": 0.5}
    file = tmp_path / "names.txt"
    file.write_text("\ufeffZamenhof:2.0\nEsperanto\n\n  New  York : 0.5\r\n", encoding="utf-8")
    for hotwords in (
        "Zamenhof:2.0 Esperanto New_York:0.5",
        ["Zamenhof:2.0", "Esperanto", "New York:.5"],
        {"Zamenhof": 2, "Esperanto": None, "New York": 0.5},
        file,
    ):
        assert read_hotwords(hotwords) == expected
    assert list(read_hotwords("n\u0301")) == ["ń"]
    file.write_text("\n", encoding="utf-8")
    assert [read_hotwords(nothing) for nothing in ("", " ", [], {}, file)] == [{}] * 5


@pytest.mark.parametrize(
    ("hotwords", "message"),
    [
        ("a b:heavy", "hotword 'b:heavy': the weight must be a positive number, as in Zamenhof:9.5, not 'heavy'"),
        ("a:", "hotword 'a:': the weight must be a positive number"),
        ("a:-1", "not '-1'"),
        ({"a": float("nan")}, "not nan"),
        ({"a": float("inf")}, "not inf"),
        ({"a": "x"}, "not 'x'"),
        ("a b:50.1", "hotword 'b:50.1': a weight of more than 50 nats outweighs what is said; give less"),
        (":2", "hotword ':2': there is no word in it"),
        ({" ": 2.0}, "there is no word in it"),
        ("New_York New__York:2", "hotword 'New__York:2': 'New York' is there twice; remove one"),
        ([False], "hotword False: False is not a string; put it in quotation marks"),
        (7, "hotwords must be words, as in 'Zamenhof:9.5 Esperanto', or a Path of a file, not 7"),
    ],
)
def test_hotwords_that_cannot_be_read(hotwords, message):
    assert message in one_sentence(read_hotwords, hotwords)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb:x\n", "names.txt, line 2: the weight must be a positive number"),
        (b"a\nb\n\na:2\n", "names.txt, line 4: 'a' is there twice"),
        (b"\xe9\n", "names.txt is not in UTF-8; convert it"),
        (None, "names.txt cannot be read: No such file or directory"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_bytes(content)
    assert message in one_sentence(read_hotwords, file)


# --------------------------------------------------------------------------------------------------------------- scores


def words_in(text: str) -> list[str]:
    """Words, and every character of a script without spaces."""
    return [word for part in text.split() for word in split_words(part.replace("า", " า "))]


def occurrences(phrase: str, text: str) -> int:
    part, whole = words_in(phrase), words_in(text)
    return sum(whole[n : n + len(part)] == part for n in range(len(whole)))


PHRASES = st.text(LETTERS + " ", min_size=1, max_size=5).map(lambda text: " ".join(text.split())).filter(bool)
WEIGHTS = st.dictionaries(PHRASES, st.integers(1, 5), min_size=1, max_size=6)


@given(WEIGHTS, st.text("abc " + LETTERS, max_size=14))
def test_a_finished_text_has_the_weights_of_the_whole_words_in_it(hotwords, text):
    try:
        scorer = scorer_of(hotwords)
    except ValueError:  # two are alike but for spaces in a script without
        return
    expected = sum(weight * occurrences(phrase, text) for phrase, weight in hotwords.items())
    assert sum(scores_of(scorer, ids(text))) == pytest.approx(expected, abs=1e-4)


def test_the_weight_comes_letter_by_letter_and_is_taken_back():
    scorer = scorer_of("abc:6")
    assert scores_of(scorer, ids("abc")) == [2, 2, 2, 0]
    assert scores_of(scorer, ids("ab")) == [2, 2, -4]
    assert scores_of(scorer, ids("abb a")) == [2, 2, -4, 0, 2, -2]
    assert scores_of(scorer, ids("abca abc")) == [2, 2, 2, -6, 0, 2, 2, 2, 0]
    assert scores_of(scorer, ids("cabc")) == [0] * 5


def test_words_of_phrases_that_overlap():
    scorer = scorer_of("a_b:2 b_c:2")
    assert scores_of(scorer, ids("a b c")) == [1, 0, 1, 1, 1, 0]  # at the second space, "b" counts a second time


def test_single_texts_are_scored_as_batches():
    scorer, text = scorer_of("ab ba"), torch.tensor([EOS, *ids("a")])
    rows, states = scorer.batch_score(text[None], [scorer._trie.start], torch.zeros(1, 1, 1))
    row, state = scorer.score(text, scorer._trie.start, torch.zeros(1, 1, dtype=torch.float64))
    assert row.equal(rows[0].double()) and [state] == states


@pytest.fixture(scope="module")
def pieces(tmp_path_factory) -> tuple[list[str], SentencepiecesTokenizer]:
    """Pieces of several letters, and bytes, of a model of small letters."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["zamenhof zamora hofft", "das hof zaun name"] * 20), model_writer=model,
        vocab_size=300, hard_vocab_limit=False, byte_fallback=True, normalization_rule_name="identity", minloglevel=2,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("bpe") / "bpe.model"
    path.write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    own = [pieces.id_to_piece(n) for n in range(3, pieces.get_piece_size())]
    return ["<blank>", "<unk>", *own, "<sos/eos>"], SentencepiecesTokenizer(path)


@pytest.mark.parametrize("text", ["zamenhof", "das zamenhof", "zamora zamenhof hof", "zamenhofft"])
def test_it_does_not_matter_which_pieces_spell_a_word(pieces, text):
    tokens, tokenizer = pieces
    scorer = scorer_of("Zamenhof:2", tokens, tokenizer)
    expected = 2.0 * text.split().count("zamenhof")
    letters = list("▁" + text.replace(" ", "▁"))
    for spelling in (tokenizer.text2tokens(text), letters):
        assert sum(scores_of(scorer, [tokens.index(piece) for piece in spelling])) == pytest.approx(expected, abs=1e-5)


def test_letters_that_are_spelled_in_bytes(pieces):
    tokens, tokenizer = pieces
    scorer = scorer_of("łan:2", tokens, tokenizer)
    for text, times in (("łan", 1), ("hof łan", 1), ("ńan", 0)):
        spelling = tokenizer.text2tokens(text)
        assert any(token.startswith("<0x") for token in spelling)
        assert sum(scores_of(scorer, [tokens.index(piece) for piece in spelling])) == pytest.approx(2 * times)


def test_words_that_the_tokens_cannot_spell():
    scorers = scorers_of(TOKENS, CharTokenizer())
    assert "cannot spell the hotword 'ABX'" in one_sentence(scorers.of, "abc ABX")
    assert "hotword 'Ab' is there twice: the model spells another one so" in one_sentence(scorers.of, "ab Ab")
    capitals = scorers_of(["<blank>", "<unk>", "A", "B", "<space>", "<sos/eos>"], CharTokenizer())
    assert capitals.of("ab")
    assert capitals.of("") == capitals.of({}) == capitals.of(None) == {}


def test_hotwords_of_some_languages(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("ab:2\nde, en = ba c:3\nde=ab:5\n", encoding="utf-8")
    mapping = {"ab": 2, "de,en=ba c": 3, "de=ab": 5}
    for hotwords in ("ab:2 de,en=ba_c:3 de=ab:5", file, mapping, ["ab:2", "de,en=ba c:3", "de=ab:5"]):
        scorers = scorers_of(TOKENS, CharTokenizer()).of(hotwords)
        weights = {language: sum(scores_of(scorer, ids("ab ba c"))) for language, scorer in scorers.items()}
        assert weights == pytest.approx({"en": 5, "de": 8, "zh-CN": 2}, abs=1e-5)
    assert scorers_of(TOKENS, CharTokenizer()).of("de=ab").keys() == {"de"}


@pytest.mark.parametrize(
    ("hotwords", "message"),
    [
        ("xx=ab", "hotword 'xx=ab': unknown language 'xx'"),
        ("=ab", "hotword '=ab': "),
        ("de=:2", "there is no word in it"),
        ("de=ab:2 de,en=ab:3", "hotword 'ab' is there twice for de; remove one"),
        ("de=ab:2 de=AB", "hotword 'AB' is there twice: the model spells another one so; remove one"),
    ],
)
def test_languages_of_hotwords_that_make_no_sense(hotwords, message):
    assert message in one_sentence(scorers_of(TOKENS, CharTokenizer()).of, hotwords)


# ---------------------------------------------------------------------------------------------------------- recognition


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory) -> ModelFiles:
    conf = {"attention_heads": 2, "linear_units": 24, "num_blocks": 1}
    folder = tmp_path_factory.mktemp("hybrid")
    return write_model(folder, model_conf={"ctc_weight": 0.3}, decoder="transformer", decoder_conf=conf)


def log_probability(speech2text: Speech2Text, speech, token_ids: list[int]) -> float:
    """Of a text, by the CTC alone."""
    encoder_out, lengths = speech2text.asr_model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))
    log_probs = speech2text.asr_model.ctc.log_softmax(encoder_out).transpose(0, 1)
    targets, number = torch.tensor([token_ids]), torch.tensor([len(token_ids)])
    return -torch.nn.functional.ctc_loss(log_probs, targets, lengths, number, reduction="sum").item()


@torch.no_grad()
def test_the_score_is_the_models_and_that_of_the_hotwords(tiny_model):
    options = {"hotwords": "ca:1 BB:2", "nbest": 3, "language_smoothing": "frame"}  # frame: as the encoder by itself
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, **options)
    for speech in SPEECHES[:2]:
        hypotheses = speech2text(speech).hypotheses
        assert len(hypotheses) == 3
        for text, _, token_ids, hypothesis in hypotheses:
            added = sum({"ca": 1.0, "bb": 2.0}.get(word, 0.0) for word in text.split())
            expected = log_probability(speech2text, speech, token_ids) + added
            assert float(hypothesis.score) == pytest.approx(expected, abs=1e-2)


def test_without_hotwords_nothing_changes(tiny_model, speech2text, monkeypatch):
    expected = speech2text.batch(SPEECHES)
    for hotwords in ("", {}, [], None):
        other = Speech2Text(tiny_model.config, tiny_model.weights, hotwords=hotwords)
        monkeypatch.setattr(other, "_beam_search", None)
        for transcript, own in zip(other.batch(SPEECHES), expected):
            assert (transcript.text, transcript.words) == (own.text, own.words)
            assert float(transcript.hypotheses[0][3].score) == float(own.hypotheses[0][3].score)


def test_hotwords_of_one_call(tiny_model, speech2text):
    always = Speech2Text(tiny_model.config, tiny_model.weights, hotwords="bb:18")
    once = speech2text(SPEECHES[0], hotwords="bb:18")
    assert "bb" in once.text.split()
    assert once.text == always(SPEECHES[0]).text != speech2text(SPEECHES[0]).text
    assert always(SPEECHES[0], hotwords="").text == speech2text(SPEECHES[0]).text
    assert "ab" in always(SPEECHES[0], hotwords={"ab": 18}).text.split()
    assert speech2text.beam_search.scorers.keys() == {"ctc"}


def test_hotwords_count_in_their_language_only(tiny_model, speech2text):
    hotwords = "de=bb:18"
    assert "bb" in speech2text(SPEECHES[0], "de", hotwords=hotwords).text.split()
    for language in ("en", "zh-CN"):
        plain = speech2text(SPEECHES[0], language)
        assert speech2text(SPEECHES[0], language, hotwords=hotwords).text == plain.text
    with pytest.raises(ValueError, match="hotword 'fr=bb': unknown language 'fr'"):
        speech2text(SPEECHES[0], hotwords="fr=bb")


@pytest.mark.parametrize("language", ["de", "en,de"])
def test_hotwords_with_a_decoder_and_a_list_of_languages(hybrid, language):
    options = {"beam_size": 3, "ctc_weight": 0.3, "maxlenratio": 0.5}
    speech2text = Speech2Text(hybrid.config, hybrid.weights, language, hotwords="cab:50", **options)
    transcript = speech2text(SPEECHES[1])
    assert "cab" in transcript.text.split()
    assert transcript.language in language.split(",")


def test_hotwords_in_every_chunk_of_long_audio(tiny_model):
    long = speech_of(6.0, seed=3)
    speech2text = Speech2Text(
        tiny_model.config, tiny_model.weights, chunk_seconds=2, vad="none", hotwords="abba:20 bb_a:27"
    )
    transcript = speech2text(long)
    assert len(transcript.chunks) > 2
    assert all("abba" in chunk.text.split() or "bb a" in chunk.text for chunk in transcript.chunks)
    assert [word.text for word in transcript.words] == transcript.text.split()
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts) and starts[-1] < len(long) / RATE
    (hypothesis,) = transcript.hypotheses
    assert hypothesis[0] == transcript.text


def test_searches_that_take_no_hotwords(hybrid):
    options = {"beam_size": 2, "ctc_weight": 0.3, "time_sync": True}
    assert "leave time_sync and partial_ar out" in one_sentence(
        lambda: Speech2Text(hybrid.config, hybrid.weights, hotwords="ab", **options)
    )
    Speech2Text(hybrid.config, hybrid.weights, hotwords="", **options)


def test_hotwords_that_the_model_cannot_spell(tiny_model, speech2text):
    assert "'Zamenhof'" in one_sentence(lambda: speech2text(SPEECHES[0], hotwords="abba Zamenhof"))
    assert "'x'" in one_sentence(lambda: Speech2Text(tiny_model.config, tiny_model.weights, hotwords=["x"]))
    assert "x" not in CONFIG["token_list"]
