"""Recordings in which the language changes: how they are made, scored and drawn."""

import json
import re
from itertools import islice, pairwise, permutations
from pathlib import Path

import allowed_languages
import format_wav_scp
import numpy as np
import prepare_corpora
import pytest
import report
import score
import soundfile
from corpora.espeak.mixed import plan
from corpora.espeak.sentences import common_phrases, known_languages, mixed_sentences
from fake_experiment import make_experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.data_dir import Utterance, read_data_dir
from shared.find_corpora import Corpus
from shared.kaldi_tables import UserError, read_table, write_table
from shared.timelines import Recording, Stretch, read_said, score_timelines
from shared.write_data_dir import write_data_dir

from espnet_blrmoe import LanguageSpan

TINY = ["--corpus", "espeak", "--train_hours", "0.001", "--test_sentences", "1", "--langs", "de", "en", "es"]


def prepare(folder, *options):
    """Run stage 1 at tiny size; returns data/."""
    prepare_corpora.main([*TINY, "--downloads", str(folder), "--data_dir", str(folder / "data"), *options])
    return folder / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("mixed"), "--test_mixed", "7")


# The test set

def sentences_of(u) -> list[list[tuple[str, str]]]:
    """What is said in a recording: between pauses, parts of sentences with their languages."""
    sentences, last = [], None
    for start, end, language, text in json.loads(u.timeline):
        if start != last:
            sentences.append([])
        sentences[-1].append((language, text))
        last = end
    return sentences


def test_all_pairs_of_languages_are_there(data):
    utterances = read_data_dir(data / "test_mixed")
    pairs = set()
    for u in utterances:
        timeline = json.loads(u.timeline)
        languages = list(dict.fromkeys(language for _, _, language, _ in timeline))
        assert (u.language, u.text) == (languages[0], " ".join(text for *_, text in timeline))
        pairs.add(frozenset(languages))
    assert len(utterances) == 7 and pairs == {frozenset(pair) for pair in (("de", "en"), ("de", "es"), ("en", "es"))}


def test_the_language_changes_between_sentences_or_within_them(data):
    recordings = [sentences_of(u) for u in read_data_dir(data / "test_mixed")]
    assert all(2 <= len(sentences) <= 4 for sentences in recordings)
    in_turn = [sentences for sentences in recordings if all(len(parts) == 1 for parts in sentences)]
    within = [sentences for sentences in recordings if all(len(parts) in (2, 3) for parts in sentences)]
    assert (len(in_turn), len(within)) == (4, 3)
    for sentences in in_turn:
        languages = [language for ((language, _),) in sentences]
        assert languages == [languages[n % 2] for n in range(len(languages))] and languages[0] != languages[1]
    for sentences in within:
        for parts in sentences:
            assert all(one[0] != other[0] for one, other in pairwise(parts))
            assert 3 <= sum(len(text.split()) for _, text in parts) <= 10
        assert len({language for parts in sentences for language, _ in parts}) == 2


def test_sentences_with_a_phrase_in_another_language():
    for pair in permutations(known_languages(), 2):
        for sentence in islice(mixed_sentences(*pair), 20):
            own, phrase, rest = re.split(f"</?{pair[1]}>", sentence)
            assert phrase.strip() and (own + rest).strip()
    assert list(islice(mixed_sentences("en", "es"), 3)) == list(islice(mixed_sentences("en", "es"), 3))
    assert common_phrases("en", "fi") == []  # which has numbers only
    planned = plan(["en", "fi"], recordings=4, said=set(), seed=0)
    assert all(passage.pause is not None for recording in planned for passage in recording.passages)


def test_it_is_loud_where_something_is_said_and_quiet_elsewhere(data):
    for u in read_data_dir(data / "test_mixed"):
        audio, rate = soundfile.read(u.audio)
        timeline = json.loads(u.timeline)
        quiet = np.ones(len(audio), bool)
        for start, end, *_ in timeline:
            spoken = slice(round(start * rate), round(end * rate))
            assert np.abs(audio[spoken]).max() > 0.5
            quiet[spoken] = False
        assert 0 < np.abs(audio[quiet]).max() < 0.1 and audio[quiet].std() > 3e-4  # room tone, never zeros
        pauses = [following[0] - one[1] for one, following in zip(timeline, timeline[1:])]
        assert all(0 <= pause < 1.5 for pause in pauses)


def test_its_voices_and_sentences_are_not_trained_with(data):
    mixed = read_data_dir(data / "test_mixed")
    others = [u for name in ("train", "valid", "test_in", "test_out") for u in read_data_dir(data / name)]
    trained = {u.speaker.split("-", 1)[1] for u in read_data_dir(data / "train")}
    assert trained.isdisjoint(u.speaker.split("-", 1)[1] for u in mixed)
    assert {u.text for u in others}.isdisjoint(text for u in mixed for *_, text in json.loads(u.timeline))


def test_the_same_options_give_the_same_set_and_none_takes_it_away(data, tmp_path):
    again = prepare(tmp_path, "--test_mixed", "7") / "test_mixed"
    for one, other in zip(read_data_dir(again), read_data_dir(data / "test_mixed"), strict=True):
        assert (one.id, one.timeline) == (other.id, other.timeline)
        np.testing.assert_array_equal(soundfile.read(one.audio)[0], soundfile.read(other.audio)[0])
    made = Path(one.audio).stat().st_mtime_ns
    prepare(tmp_path, "--test_mixed", "7")
    assert Path(one.audio).stat().st_mtime_ns == made  # it is there already
    Corpus.languages.cache_clear()  # as in another process
    assert sorted(path.name for path in prepare(tmp_path).iterdir()) == [
        "router_train", "router_valid", "test_in", "test_out", "train", "valid"]


def test_the_timeline_goes_through_stage_3(data, tmp_path):
    format_wav_scp.main([str(data / "test_mixed"), str(tmp_path / "dump"), "--nj", "1", "--fs", "8000"])
    assert read_table(tmp_path / "dump" / "timeline") == read_table(data / "test_mixed" / "timeline")


@pytest.mark.parametrize("options, message", [
    (["--test_mixed", "0"], "--test_mixed must be positive"),
    (["--test_mixed", "2", "--langs", "de"], "needs several languages"),
    (["--test_mixed", "2", "--corpus", "manifest=/"], "none of the corpora makes such a test; espeak does"),
])
def test_mistakes_end_in_one_sentence(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, *options)
    assert not (tmp_path / "data").exists()


def test_every_language_of_a_recording_is_its_own(tmp_path):
    write_table(tmp_path / "utt2lang", {"a": "de", "b": "en"})
    write_table(tmp_path / "timeline", {"a": '[[0, 1, "de", "ja"], [1, 2, "en", "yes"], [2, 3, "de", "ja"]]',
                                        "b": '[[0, 1, "en", "yes"], [1, 2, "es", "si"]]'})
    for groups, expected in ("own", {"a": "de,en", "b": "en,es"}), ("es,pt", {"a": "de,en", "b": "en,es,pt"}):
        allowed_languages.main(["--groups", groups, str(tmp_path / "utt2lang"), str(tmp_path / "utt2langs")])
        assert read_table(tmp_path / "utt2langs") == expected


# Scores

def spans(*rows):
    return [LanguageSpan(*row) for row in rows]


SAID = [Stretch(LanguageSpan(0.0, 2.0, "de"), ["eins", "zwei"]), Stretch(LanguageSpan(3.0, 5.0, "en"), ["a", "bcd"])]


@pytest.mark.parametrize("recognised, words, seconds, boundary, near, changes", [
    (spans((0, 2, "de"), (3, 5, "en")), 100, 100, 0, 100, 1),
    (spans((0, 1.5, "de"), (1.5, 5, "en")), 75, 87.5, 1000, 0, 1),  # "zwei" is at 1.5 s
    (spans((0, 2.6, "de"), (2.6, 3.3, "en"), (3.3, 5, "de")), 75, 57.5, 100, 100, 2),  # "a" is at 3.25 s
    (spans((0, 5, "de")), 50, 50, None, 0, 0),
    ([], 0, 0, None, 0, 0),
])
def test_scores_by_hand(recognised, words, seconds, boundary, near, changes):
    scores = score_timelines([Recording(SAID, recognised)])
    assert (scores["recordings"], scores["changes"], scores["recognised_changes"]) == (1, 1, changes)
    for name, value in (("words", words), ("seconds", seconds), ("boundary_ms", boundary), ("near", near)):
        assert scores[name]["value"] == (None if value is None else pytest.approx(value))
        assert scores[name]["interval"] == [None if value is None else pytest.approx(value)] * 2


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_shares_are_pooled_over_recordings(kinds):
    recognised = [spans((0, 2, "de"), (3, 5, "en")), spans((0, 5, "de")), spans((0, 5, "en")), []]
    shares = [100, 50, 50, 0]
    scores = score_timelines([Recording(SAID, recognised[kind]) for kind in kinds])
    for name in ("words", "seconds"):
        low, high = scores[name]["interval"]
        assert scores[name]["value"] == pytest.approx(np.mean([shares[kind] for kind in kinds]))
        assert low - 1e-9 <= scores[name]["value"] <= high + 1e-9
    json.dumps(scores, allow_nan=False)


def test_words_are_characters_where_none_are_written():
    u = Utterance("a", "a.wav", "de", "s", "d", "x", timeline='[[0, 1, "zh-CN", "你好，世界"], [1, 2, "en", "Hello!"]]')
    first, second = read_said(u, Path())
    assert (first.words, second.words) == (["你", "好", "世", "界"], ["hello"])
    assert first.times() == pytest.approx([0.125, 0.375, 0.625, 0.875])


@pytest.fixture
def experiment(tmp_path):
    """A made-up experiment with a further test set, whose first recording is recognised rightly."""
    exp, router, data = make_experiment(tmp_path, per_language=2)
    timeline = [[0.1, 2.0, "es", "uno dos"], [2.4, 4.0, "pt", "um dois"]]
    write_data_dir(data / "test_mixed", [Utterance(f"m{i}", "a.wav", "es", "s", "mixed", "uno dos um dois",
                                                   timeline=json.dumps(timeline)) for i in range(3)])
    for tag in ("decode_asr", "decode_asr_router"):
        folder = exp / tag / "test_mixed"
        folder.mkdir()
        write_table(folder / "text", dict.fromkeys(("m0", "m1", "m2"), "uno dos um dois"))
        write_table(folder / "lang", dict.fromkeys(("m0", "m1", "m2"), "es 0.9"))
        write_table(folder / "timeline", {"m0": json.dumps([span[:3] for span in timeline]), "m1": '[[0, 4, "es"]]'})
    return exp, router, data


def test_a_test_set_in_which_the_language_changes(experiment, capsys):
    exp, _, data = experiment
    score.main([str(exp), "--data", str(data)])
    results = json.loads((exp / "scores.json").read_text())
    own = [e for e in results["scores"] if e["test_set"] == "test_mixed"]
    assert {e["by"] for e in own} == {"all", "domain"} and all("LID" not in e for e in own)
    assert all(c["test_set"] != "test_mixed" for c in results["confusions"])
    first, _ = results["timelines"]
    assert (first["decoding"], first["recordings"], first["changes"]) == ("decode_asr", 3, 3)
    assert first["seconds"]["value"] == pytest.approx(100 * (3.5 + 1.9) / (3 * 3.5))
    for text in (capsys.readouterr().out, (exp / "RESULTS.md").read_text()):
        assert "Languages within recordings" in text
        assert "decode_asr/test_mixed" in text


def test_the_report_draws_timelines(experiment, tmp_path):
    exp, router, data = experiment
    score.main([str(exp), "--data", str(data)])
    page = tmp_path / "report.html"
    report.main([str(exp), "--data", str(data), "--router_exp", str(router), "--output", str(page)])
    section = page.read_text().partition('<h2 id="timelines">')[2].partition("<h2")[0]
    assert section.count("<svg") == 1
    for label in (">said<", ">decode_asr<", ">decode_asr_router<", ">m1<", ">pt<", ">seconds<"):
        assert label in section
    assert re.search(r"decode_asr/test_mixed</td>", section)


def test_without_such_a_test_set_the_report_has_no_such_section(tmp_path):
    exp, router, data = make_experiment(tmp_path, per_language=1)
    score.main([str(exp), "--data", str(data)])
    report.main([str(exp), "--data", str(data), "--router_exp", str(router)])
    assert "Languages within recordings" not in (exp / "report.html").read_text() + (exp / "RESULTS.md").read_text()


@pytest.mark.parametrize("table, content", [
    ("raw/test_mixed", '[[0, 1, "es"]]'), ("raw/test_mixed", "[["), ("raw/test_mixed", "[]"),
    ("raw/test_mixed", '[[0, 0, "es", "uno"]]'), ("raw/test_mixed", '[[1, 2, "es", "uno"], [0, 1, "pt", "um"]]'),
    ("exp/decode_asr/test_mixed", '[["now", 1, "es"]]'), ("exp/decode_asr/test_mixed", "es"),
])
def test_a_timeline_that_is_none_is_named(experiment, table, content):
    exp, _, data = experiment
    path = (data / "test_mixed" if table.startswith("raw") else exp / "decode_asr" / "test_mixed") / "timeline"
    write_table(path, {**read_table(path), "m1": content})
    with pytest.raises(UserError, match=f"{path}: m1: expected a JSON list of .start seconds, end seconds, language"):
        score.main([str(exp), "--data", str(data)])


def test_a_recogniser_without_languages_is_scored_by_its_text(experiment):
    exp, _, data = experiment
    for table in exp.glob("*/test_mixed/timeline"):
        table.unlink()
    score.main([str(exp), "--data", str(data)])
    results = json.loads((exp / "scores.json").read_text())
    assert results["timelines"] == []
    assert any(e["test_set"] == "test_mixed" for e in results["scores"])
