"""Word n-grams: what they add to a text's score, which one is taken, and what comes of it."""

import math

import kenlm
import pytest
import torch
from arpa_files import write_arpa
from espnet2.text.char_tokenizer import CharTokenizer
from hypothesis import given
from hypothesis import strategies as st
from recognition import SPEECHES
from tiny import one_sentence, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.inference import ngram as ngram_module
from espnet_blrmoe.inference.ngram import NGRAM_WEIGHT, UNKNOWN_COST, Ngram, read_unigrams
from espnet_blrmoe.inference.ngram_scorer import NAME, NgramScorer
from espnet_blrmoe.inference.text_scorer import texts_of
from espnet_blrmoe.writing import split_words

TOKENS = ["<blank>", "<unk>", *"abc京東กั", "<space>", "<sos/eos>"]
EOS = len(TOKENS) - 1
UNIGRAMS = {"ab": -0.5, "abc": -1.0, "b": -1.5, "京": -1.0, "東": -1.2, "กั": -2.0, "</s>": -0.7}
BIGRAMS = {"<s> ab": -0.2, "ab b": -0.1, "京 東": -0.4, "b </s>": -0.3}
NATS = math.log(10)


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    return write_arpa(tmp_path_factory.mktemp("ngram") / "en.arpa", UNIGRAMS, BIGRAMS)


def scorer_of(arpa, weight: float = 1.0) -> NgramScorer:
    return NgramScorer(Ngram(arpa), list(texts_of(TOKENS, CharTokenizer().tokens2text).values()), EOS, weight)


def scores_of(scorer: NgramScorer, text: str) -> list[float]:
    """What the scorer says of each token of a finished text, step by step, as ESPnet's search asks it."""
    state, scores = None, []
    ids = [EOS, *(TOKENS.index(token) for token in CharTokenizer().text2tokens(text)), EOS]
    for n in range(1, len(ids)):
        row, (state,) = scorer.batch_score(torch.tensor([ids[:n]]), [state], torch.zeros(1, 1, 1))
        scores.append(float(row[0, ids[n]]))
    return scores


# --------------------------------------------------------------------------------------------------------------- scores


@given(st.lists(st.sampled_from([word for word in UNIGRAMS if word != "</s>"]), max_size=6))
def test_a_finished_text_has_the_log_probability_that_kenlm_gives_it(arpa, words):
    text = " ".join(words)
    expected = kenlm.Model(str(arpa)).score(text, bos=True, eos=True) * NATS
    assert sum(scores_of(scorer_of(arpa), text)) == pytest.approx(expected, abs=1e-4)
    assert sum(scores_of(scorer_of(arpa, 0.3), text)) == pytest.approx(0.3 * expected, abs=1e-4)


def test_words_of_scripts_without_spaces_are_characters_with_their_marks(arpa):
    assert split_words("京東กัab") == ["京", "東", "กั", "ab"]
    spaced = sum(scores_of(scorer_of(arpa), "京 東 กั ab"))
    assert sum(scores_of(scorer_of(arpa), "京東กัab")) == pytest.approx(spaced, abs=1e-5)


def test_the_beginning_of_a_word_counts_as_the_words_that_begin_so(arpa):
    a, b, end = scores_of(scorer_of(arpa), "ab")
    assert a == pytest.approx(math.log(10**-0.5 + 10**-1.0), abs=1e-5)
    assert b == pytest.approx(0, abs=1e-5)  # no word begins with a but those that begin with ab
    assert end == pytest.approx((-0.2 - 0.3 - 0.7) * NATS - a, abs=1e-5)


def test_unknown_words_count_less_than_the_rarest_known_one(arpa):
    unknown = -2.0 * NATS - UNKNOWN_COST
    end = -0.7 * NATS
    assert sum(scores_of(scorer_of(arpa), "cab")) == pytest.approx(unknown + end, abs=1e-4)
    assert scores_of(scorer_of(arpa), "cab")[:3] == pytest.approx([unknown, 0, 0], abs=1e-4)  # told at the first letter
    a, c, *_ = scores_of(scorer_of(arpa), "aca b")
    assert a + c == pytest.approx(unknown, abs=1e-4)


def test_single_texts_are_scored_as_batches(arpa):
    scorer = scorer_of(arpa)
    text = torch.tensor([EOS, TOKENS.index("a")])
    rows, states = scorer.batch_score(text[None], [scorer._start], torch.zeros(1, 1, 1))
    row, state = scorer.score(text, scorer._start, torch.zeros(1, 1, dtype=torch.float64))
    assert row.equal(rows[0].double()) and [state] == states


# ---------------------------------------------------------------------------------------------------------- recognition


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts of b in German, of a in English, and nothing in Chinese."""
    folder = tmp_path_factory.mktemp("ngrams")
    write_arpa(folder / "de.arpa", {"bb": -0.3, "b": -0.6, "</s>": -0.6})
    write_arpa(folder / "en.arpa", {"aa": -0.3, "a": -0.6, "</s>": -0.6})
    return folder


@torch.no_grad()
def test_the_score_is_the_models_and_that_of_the_ngram(tiny_model, folder):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, "de", ngram=folder, nbest=3)
    ngram = scorer_of(folder / "de.arpa")._ngram
    for speech in SPEECHES[:2]:
        encoder_out, lengths = speech2text.asr_model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))
        for text, _, token_ids, hypothesis in speech2text(speech).hypotheses:
            history, added = ngram.start, 0.0
            for word in text.split():
                history, nats = ngram.after(history, word)
                added += nats
            expected = NGRAM_WEIGHT * (added + ngram.end(history))
            assert float(hypothesis.scores[NAME]) == pytest.approx(expected, abs=1e-3)


def test_the_ngram_is_that_of_the_detected_language(tiny_model, folder, speech2text):
    with_ngrams = Speech2Text(tiny_model.config, tiny_model.weights, ngram=str(folder), ngram_weight=8.0)
    words = {language: set(with_ngrams(SPEECHES[2], language).text.split()) for language in ("de", "en", "zh-CN")}
    assert words["de"] and words["de"] <= {"b", "bb"}
    assert words["en"] and words["en"] <= {"a", "aa"}
    plain = speech2text(SPEECHES[2], "zh-CN")
    assert with_ngrams(SPEECHES[2], "zh-CN").text == plain.text  # which has no n-gram: the best path, as without any
    assert with_ngrams.beam_search.scorers.keys() == {"ctc"}


def test_every_utterance_of_a_batch_has_its_own(tiny_model, folder):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, ngram=folder, ngram_weight=8.0)
    languages = ["de", "en", "zh-CN", "de"]
    single = [speech2text(speech, language).text for speech, language in zip(SPEECHES, languages)]
    assert [transcript.text for transcript in speech2text.batch(SPEECHES, languages)] == single


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    conf = {"attention_heads": 2, "linear_units": 24, "num_blocks": 1}
    place = tmp_path_factory.mktemp("hybrid")
    return write_model(place, model_conf={"ctc_weight": 0.3}, decoder="transformer", decoder_conf=conf)


def test_ngrams_with_a_decoder_and_with_hotwords(hybrid, folder):
    options = {"beam_size": 5, "ctc_weight": 0.3, "maxlenratio": 0.5, "ngram_weight": 8.0, "nbest": 3}

    def words(ngram=None, hotwords=None) -> set[str]:
        speech2text = Speech2Text(hybrid.config, hybrid.weights, "de", ngram=ngram, **options)
        hypotheses = speech2text(SPEECHES[1], hotwords=hotwords).hypotheses
        return {word for text, *_ in hypotheses for word in text.split()}

    assert not words() <= {"b", "bb"}
    assert words(folder) and words(folder) <= {"b", "bb"}
    assert "cab" in words(folder, "cab:50")
    assert "leave time_sync and partial_ar out" in one_sentence(
        lambda: Speech2Text(hybrid.config, hybrid.weights, ngram=folder, ctc_weight=0.3, time_sync=True)
    )


# ------------------------------------------------------------------------------------------------------------- mistakes


def test_folders_without_ngrams(tiny_model, tmp_path):
    def load(**options):
        return lambda: Speech2Text(tiny_model.config, tiny_model.weights, **options)

    assert f"ngram {tmp_path} has none of the files en.arpa, de.arpa, zh-CN.arpa" in one_sentence(load(ngram=tmp_path))
    write_arpa(tmp_path / "de.arpa", {"b": -1, "</s>": -1})
    sentence = one_sentence(load(ngram=tmp_path / "de.arpa"))
    assert "de.arpa is not a folder; give one with a file LANGUAGE.arpa for each language" in sentence
    for weight in (0.0, -1.0, math.nan, math.inf):
        assert "ngram_weight must be a positive number" in one_sentence(load(ngram=tmp_path, ngram_weight=weight))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no words; give an ARPA file"),
        (b"a b\n", "has no words; give an ARPA file"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1.0\n", "line 5: not a line of an ARPA file"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\nx\ta\n", "line 5: not a line of an ARPA file"),
        (b"\\1-grams:\n-1.0\t\xe9\n", "not a line of an ARPA file in UTF-8"),
        (b"\\data\\\nngram 1=3\n\n\\1-grams:\n-1.0\ta\n", "is not a complete ARPA file"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_files_that_are_no_ngrams(tmp_path, content, message):
    path = tmp_path / "en.arpa"
    if content is not None:
        path.write_bytes(content)
    assert message in one_sentence(Ngram, path)


def test_without_kenlm(arpa, monkeypatch):
    monkeypatch.setattr(ngram_module, "find_spec", lambda name: None)
    assert "needs kenlm, which is not installed: pip install ufal.kenlm" in one_sentence(Ngram, arpa)


def test_kenlm_prints_nothing(arpa, capfd):
    Ngram(arpa)
    assert capfd.readouterr() == ("", "")


def test_words_are_read_with_their_probabilities(arpa):
    words = {word: log10 * NATS for word, log10 in UNIGRAMS.items() if word != "</s>"}
    assert read_unigrams(arpa) == pytest.approx(words)
