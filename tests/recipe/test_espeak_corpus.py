"""The default corpus: its sentences, its synthetic speech, and the data directories made of them."""

import itertools
import re
import unicodedata
from pathlib import Path

import numpy as np
import prepare_corpora
import pytest
import soundfile
from corpora.espeak import recordings, synthesis
from corpora.espeak import sentences as text
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError

LANGUAGES = ["de", "en", "es", "pt"]  # of the corpus
GRAMMARS = [*LANGUAGES, "fr", "it"]
SETS = ["train", "valid", "test_in", "test_out", "router_train", "router_valid"]


def make_corpus(folder: Path, *options: str) -> dict[str, list]:
    """Run stage 1 at a tiny size; data set -> utterances."""
    prepare_corpora.main(["--corpus", "espeak", "--train_hours", "0.01", "--test_sentences", "4",
                          "--downloads", str(folder), "--data_dir", str(folder / "data"), *options])
    return {name: read_data_dir(folder / "data" / name) for name in SETS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def corpus(folder) -> dict[str, list]:
    return make_corpus(folder)


# Sentences

@pytest.mark.parametrize("language", GRAMMARS)
def test_sentences_are_many_plain_and_of_sensible_length(language):
    drawn = list(itertools.islice(text.sentences(language), 3000))
    assert len(set(drawn)) == len(drawn)
    words = [sentence.split() for sentence in drawn]
    assert {len(w) for w in words} <= set(range(3, 11))
    assert len({word for w in words for word in w}) > 300
    for sentence in drawn:
        assert sentence == unicodedata.normalize("NFC", sentence.lower())
        assert all(c.isalpha() or c == " " for c in re.sub(r"\b'\b", "", sentence))  # l'eau


def test_sentences_follow_from_language_and_seed():
    first = [tuple(itertools.islice(text.sentences(language, seed), 50)) for language in LANGUAGES for seed in (0, 1)]
    assert len(set(first)) == len(first)
    assert first[0] == tuple(itertools.islice(text.sentences(LANGUAGES[0], 0), 50))


@pytest.mark.parametrize("language", GRAMMARS)
def test_a_grammar_has_enough_content_words_and_no_rule_without_use(language):
    rules = text.grammar(language).rules
    alternatives = list(itertools.chain(*rules.values()))
    used = set(text.RULE_SLOT.findall(" ".join(alternatives)))
    assert used | {"sentence"} == set(rules)
    assert len({a for a in alternatives if "{" not in a}) >= 150
    assert text.grammar(language).voice in synthesis.languages()


def test_a_language_without_grammar_says_numbers():
    assert next(text.sentences("nl")).replace(" ", "").isalpha()
    assert text.grammar("nl").voice in synthesis.languages()


def test_an_unknown_language_lists_the_known_ones():
    known = "with sentences: de en es fr it pt; with numbers only: .*nl.*write xx.toml"
    with pytest.raises(UserError, match=f"'xx'; {known}"):
        text.grammar("xx")


@pytest.mark.parametrize("content, complaint", [
    ("voice = ", "xx.toml is not a grammar: Invalid value"),
    ('numbers = "en"\n[rules]\nsentence = "a"', "xx.toml is not a grammar: 'voice'"),
    ('voice = "en"\nnumbers = "en"\n[rules]\nsentence = "the {noun}"', "xx.toml has no rule 'noun'"),
])
def test_a_broken_grammar_is_named(tmp_path, monkeypatch, content, complaint):
    (tmp_path / "xx.toml").write_text(content)
    monkeypatch.setattr(text, "GRAMMARS", tmp_path)
    with pytest.raises(UserError, match=complaint):
        text.grammar("xx")


def test_a_grammar_that_is_used_up_says_so(tmp_path, monkeypatch):
    rules = 'sentence = "one two {letter}"\nletter = "x, y, z"'
    (tmp_path / "tiny.toml").write_text(f'voice = "en"\nnumbers = "en"\n[rules]\n{rules}')
    monkeypatch.setattr(text, "GRAMMARS", tmp_path)
    with pytest.raises(UserError, match="'tiny' has only 3 sentences"):
        list(text.sentences("tiny"))


# Synthesis

def test_speech_does_not_depend_on_what_was_spoken_before():
    for variant in ("f3", "croak", "whisperf", "Reed"):  # oscillators, flutter, and two generators of noise
        first = synthesis.synthesise("guten morgen", "de", variant)
        synthesis.synthesise("buenos días", "es", "m1")
        np.testing.assert_array_equal(synthesis.synthesise("guten morgen", "de", variant), first)


def test_speed_pitch_variant_and_language_matter():
    settings = {"language": "en-us", "variant": "m1", "speed": 150, "pitch": 50}
    plain = synthesis.synthesise("good morning", **settings)
    for change in ({"language": "es"}, {"variant": "f3"}, {"pitch": 70}):
        other = synthesis.synthesise("good morning", **settings | change)
        assert len(other) != len(plain) or np.abs(other - plain).max() > 0.05
    assert len(synthesis.synthesise("good morning", **settings | {"speed": 220})) < 0.85 * len(plain)


def test_words_begin_one_after_another_and_where_a_pause_says():
    text = "úno dos ... tres"
    samples, starts = synthesis.synthesise_with_times(text, "es", "m1")
    np.testing.assert_array_equal(samples, synthesis.synthesise(text, "es", "m1"))
    first, second, dots, third = starts
    assert 0 <= first < second < third < len(samples) / synthesis.RATE
    assert np.isnan(dots)  # nothing is said there
    before = samples[int((third - 0.1) * synthesis.RATE) : int(third * synthesis.RATE)]
    behind = samples[int(third * synthesis.RATE) :][: len(before)]
    assert np.abs(behind).max() > 5 * np.abs(before).max()


def test_a_long_data_path_is_linked(tmp_path, monkeypatch):
    spoken = synthesis.synthesise("hello there", "en-us", "m1")
    long_path = tmp_path / ("long" * 40) / "data"
    long_path.parent.mkdir()
    long_path.symlink_to(synthesis.espeakng_loader.get_data_path())
    monkeypatch.setattr(synthesis.espeakng_loader, "get_data_path", lambda: str(long_path))
    np.testing.assert_array_equal(synthesis.synthesise("hello there", "en-us", "m1"), spoken)


@pytest.mark.parametrize("language, variant, complaint", [
    ("tlh", "m1", "no language 'tlh'; it knows: .* de .* pt-br "),
    ("de", "nobody", "no voice variant 'nobody'; it knows: .* f1 "),
])
def test_an_unknown_voice_lists_the_known_ones(language, variant, complaint):
    with pytest.raises(UserError, match=complaint):
        synthesis.synthesise("hello", language, variant)


def test_every_voice_of_the_corpus_exists_and_belongs_to_one_group():
    groups = [recordings.TRAINING_VOICES, recordings.TEST_VOICES, recordings.ROUTER_VOICES,
              recordings.ROUTER_VALID_VOICES]
    voices = list(itertools.chain(*groups))
    assert len(voices) == len(set(voices)) and set(voices) <= set(synthesis.variants())
    assert len(recordings.TRAINING_VOICES) >= 30


# Data directories

def test_no_sentence_and_no_voice_is_shared(corpus):
    transcripts = [(u.language, u.text) for name in SETS[:4] for u in corpus[name]]
    assert len(transcripts) == len(set(transcripts))
    groups = [SETS[:2], SETS[2:4], SETS[4:5], SETS[5:]]
    voices = [{u.speaker.split("-", 1)[1] for name in group for u in corpus[name]} for group in groups]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(voices, 2))


def test_every_set_has_every_language_and_its_domains(corpus):
    own = recordings.OWN_WAY
    assert all(u.domain in ("clean", own[u.language]) for u in corpus["test_in"])
    assert all(u.domain in set(own.values()) - {own[u.language]} for u in corpus["test_out"])
    for name, utterances in corpus.items():
        assert {u.language for u in utterances} == set(LANGUAGES)
        assert all((u.text is None) == name.startswith("router") for u in utterances)
        assert all(u.id.startswith(u.speaker + "-") for u in utterances)
        if name.startswith("test"):
            assert len(utterances) == 4 * len(LANGUAGES)


def test_audio_is_speech_of_plausible_length_and_level(corpus):
    for u in itertools.chain(*corpus.values()):
        info = soundfile.info(u.audio)
        audio, rate = soundfile.read(u.audio)
        assert (info.subtype, rate, audio.ndim) == ("PCM_16", 16000, 1)
        assert 0.02 < audio.std() < 0.4 and np.abs(audio).max() <= 1
        if u.text:
            assert 7 < len(u.text) / info.duration < 25, u  # characters a second


def test_the_same_options_give_the_same_corpus(corpus, folder, tmp_path):
    again = make_corpus(tmp_path, "--langs", "es", "--train_hours", "0.0025", "--nj", "1")
    for name in SETS:
        expected = [u for u in corpus[name] if u.language == "es"]
        assert [(u.id, u.text, u.domain) for u in again[name]] == [(u.id, u.text, u.domain) for u in expected]
        for one, other in zip(again[name], expected, strict=True):
            np.testing.assert_array_equal(soundfile.read(one.audio)[0], soundfile.read(other.audio)[0])


def test_audio_is_reused_for_the_same_options_and_made_again_for_others(tmp_path):
    options = ("--langs", "en", "--train_hours", "0.001", "--test_sentences", "1")
    first = make_corpus(tmp_path, *options)["test_in"][0].audio
    made = Path(first).stat().st_mtime_ns
    make_corpus(tmp_path, *options)
    assert Path(first).stat().st_mtime_ns == made
    make_corpus(tmp_path, *options, "--test_sentences", "2")
    assert not Path(first).exists() or Path(first).stat().st_mtime_ns != made


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "espeak").mkdir()
    (tmp_path / "espeak" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="espeak has files but"):
        make_corpus(tmp_path, "--langs", "en")
    assert (tmp_path / "espeak" / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "data").exists()


def test_an_unknown_language_stops_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="no text for the language 'xx'"):
        make_corpus(tmp_path, "--langs", "en", "xx")
    assert list(tmp_path.iterdir()) == []
