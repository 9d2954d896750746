"""Scoring: counts, rates, intervals, and what a user gets to read."""

import json

import numpy as np
import pytest
from fake_experiment import make_experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from score import bootstrap, error_rate, interval, main
from shared.alignments import align_characters, align_mixed, align_words, mixed_tokens
from shared.data_dir import Utterance
from shared.kaldi_tables import UserError, read_table, write_table
from shared.text_normalization import normalise
from shared.write_data_dir import write_data_dir


def make_test_set(root, references, hypotheses, lang=None, tag="decode_asr", test_set="test_in"):
    """exp and data folders with one decoding; references: id -> (language, domain, transcript)."""
    write_data_dir(root / "raw" / test_set, [Utterance(key, "a.wav", language, "s", domain, text)
                                             for key, (language, domain, text) in references.items()])
    folder = root / "exp" / "asr_x" / tag / test_set
    folder.mkdir(parents=True)
    write_table(folder / "text", hypotheses)
    if lang is not None:
        write_table(folder / "lang", lang)
    return root / "exp" / "asr_x", root / "raw"


def scores_of(exp, data, *options):
    """Run the program; {(decoding, test set, by, group): entry} and the whole scores.json."""
    main([str(exp), "--data", str(data), *options])
    results = json.loads((exp / "scores.json").read_text())
    return {(e["decoding"], e["test_set"], e["by"], e["group"]): e for e in results["scores"]}, results


@pytest.mark.parametrize(("language", "reference", "hypothesis", "expected"), [
    ("en", "one two three", "one two three", (3, 0, 0, 0)),
    ("en", "one two three", "one tow", (1, 1, 1, 0)),
    ("en", "one two", "one or two", (2, 0, 0, 1)),
    ("en", "one two three", "", (0, 0, 3, 0)),
    ("en", "One, two!", "one two", (2, 0, 0, 0)),  # both sides are normalised
    ("zh-CN", "今天很好", "今天好", (3, 0, 1, 0)),  # by character
    ("ja", "東京タワー", "東京 たワー", (4, 1, 0, 0)),
    ("th", "กขค", "กค", (2, 0, 1, 0)),
    ("zh-CN", "我用 python 写", "我用 python 写", (4, 0, 0, 0)),  # a Latin word stays one word
    ("es", "uno dos", "uno 今天", (1, 1, 0, 1)),
])
def test_word_counts(language, reference, hypothesis, expected):
    alignment = align_words(reference, hypothesis, language)
    assert (alignment.hits, alignment.substitutions, alignment.deletions, alignment.insertions) == expected


@pytest.mark.parametrize(("language", "typed", "otherwise", "characters"), [
    ("th", "น้ำ", "น\u0e49\u0e4d\u0e32", 4),
    ("lo", "ຄຳໜ", "ຄ\u0ecd\u0eb2ຫນ", 5),
    ("hy-AM", "և", "եւ", 2),
    ("bbl", "ციხეჼ", "ციხენ", 5),
    ("fa", "می\u200cخواهم", "میخواهم", 7),
    ("bo", "བཀྲ་ཤིས", "བཀྲ ཤིས", 7),
])
def test_characters_count_as_in_nfkc_however_they_are_typed(language, typed, otherwise, characters):
    for reference, hypothesis in ((typed, otherwise), (otherwise, typed), (typed, typed)):
        alignment = align_characters(reference, hypothesis, language)
        errors = alignment.substitutions + alignment.deletions + alignment.insertions
        assert (alignment.hits, errors) == (characters, 0)
        assert align_words(reference, hypothesis, language).wer == 0


@pytest.mark.parametrize(("language", "reference", "hypothesis", "expected"), [
    ("zh-CN", "我用 python 写", "我用 paison 写", (3, 1, 0, 0)),
    ("ko", "오늘 meeting 있어요", "오늘은 meeting 있어", (5, 0, 1, 1)),
    ("ko", "할 수 있다", "할수있다", (4, 0, 0, 0)),  # spaces between syllables do not count
    ("th", "น้ำ กิน", "นำ กิน", (2, 1, 0, 0)),  # a mark stays with its character
    ("km", "ទ្យា", "ទ្យា", (1, 0, 0, 0)),
    ("my", "မြန်မာ", "မြန်", (2, 0, 1, 0)),
    ("ja", "東京タワー", "東京 tower", (2, 1, 2, 0)),
    ("en", "one two three", "one tow", (1, 1, 1, 0)),
    ("fr", "l'été fini", "", (0, 0, 2, 0)),
])
def test_mixed_counts(language, reference, hypothesis, expected):
    alignment = align_mixed(reference, hypothesis, language)
    assert (alignment.hits, alignment.substitutions, alignment.deletions, alignment.insertions) == expected


def edit_distance(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


MIXED_PARTS = [*"今天タหลก", "สี", "ก้", "ទ្យ", "ko", "code", " ", "이", "어요"]
MIXED_TEXTS = st.lists(st.sampled_from(MIXED_PARTS), max_size=8).map("".join)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(MIXED_TEXTS, MIXED_TEXTS)
def test_mixed_errors_are_one_edit_distance(reference, hypothesis):
    alignment = align_mixed(reference, hypothesis, "th")
    errors = alignment.substitutions + alignment.deletions + alignment.insertions
    expected = [mixed_tokens(normalise(text, "th")) for text in (reference, hypothesis)]
    assert errors == edit_distance(*expected)
    assert "".join(expected[0]) == normalise(reference, "th").replace(" ", "")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.text("abcdeé' ", max_size=20), st.text("abcdeé' ", max_size=20))
def test_mixed_counts_are_those_of_words_where_all_scripts_have_spaces(reference, hypothesis):
    mixed, words = (way(reference, hypothesis, "en") for way in (align_mixed, align_words))
    assert (mixed.hits, mixed.substitutions, mixed.deletions, mixed.insertions) == (
        words.hits, words.substitutions, words.deletions, words.insertions)


def test_the_mixed_error_rate_is_reported_where_some_reference_needs_it(tmp_path, capsys):
    exp, data = make_test_set(tmp_path, {"a1": ("ko", "d", "오늘 meeting"), "a2": ("en", "d", "one two")},
                              {"a1": "오는 meeting", "a2": "one two"})
    make_test_set(tmp_path, {"a1": ("en", "d", "one two")}, {"a1": "one"}, tag="decode_b", test_set="test_out")
    entries, _ = scores_of(exp, data)
    mixed = entries["decode_asr", "test_in", "all", "all"]["MER"]
    assert (mixed["Wrd"], mixed["Err"]) == (5, 20.0)
    assert mixed["interval"][0] <= 20.0 <= mixed["interval"][1]
    assert "MER" not in entries["decode_b", "test_out", "all", "all"]
    assert list(entries["decode_asr", "test_in", "all", "all"])[-3:] == ["WER", "CER", "MER"]
    assert "### MER\n\n|dataset|Snt" in (exp / "RESULTS.md").read_text()
    assert (exp / "decode_asr/test_in/score_mer/result.txt").is_file()
    assert "MER" in capsys.readouterr().out


def test_no_mixed_error_rate_without_such_scripts(experiment, capsys):
    exp, _, data = experiment
    scores_of(exp, data)
    assert "MER" not in capsys.readouterr().out + (exp / "RESULTS.md").read_text()


def test_digits_are_spelled_on_both_sides(tmp_path):
    exp, data = make_test_set(tmp_path, {"a1": ("en", "studio", "twenty one boats")}, {"a1": "21 boats"})
    entries, _ = scores_of(exp, data)
    assert entries["decode_asr", "test_in", "all", "all"]["WER"]["Err"] > 0
    entries, _ = scores_of(exp, data, "--digits", "spelled")
    assert entries["decode_asr", "test_in", "all", "all"]["WER"]["Err"] == 0


def test_rates_by_hand(tmp_path):
    exp, data = make_test_set(
        tmp_path,
        {"a1": ("es", "studio", "uno dos tres"), "a2": ("pt", "street", "um dois"), "a3": ("pt", "studio", "quatro")},
        {"a1": "uno dos dos", "a2": "um dois sim", "a3": ""},
        {"a1": "es 0.9", "a2": "es 0.6", "a3": "pt 0.8"})
    entries, results = scores_of(exp, data)
    pooled = entries["decode_asr", "test_in", "all", "all"]
    wer = pooled["WER"]
    assert [wer[name] for name in ("Snt", "Wrd", "Corr", "Sub", "Del", "Ins")] == [3, 6, 4, 1, 1, 1]
    assert wer["Err"] == pytest.approx(50.0)
    assert wer["S.Err"] == pytest.approx(100.0)
    # Characters: "tres" -> "dos" is t:d r:o e:- (3 edits), " sim" inserted (4), "quatro" deleted (6).
    assert pooled["CER"]["Wrd"] == 12 + 7 + 6
    assert pooled["CER"]["Err"] == pytest.approx(100 * (3 + 4 + 6) / 25)
    assert pooled["LID"]["Err"] == pytest.approx(100 / 3)
    assert entries["decode_asr", "test_in", "language", "pt"]["LID"]["Err"] == pytest.approx(50.0)
    assert entries["decode_asr", "test_in", "domain", "street"]["WER"]["Err"] == pytest.approx(50.0)
    assert results["confusions"][0]["counts"] == {"es": {"es": 1}, "pt": {"es": 1, "pt": 1}}


def test_missing_hypothesis_counts_as_deleted(tmp_path, capsys):
    exp, data = make_test_set(tmp_path, {"a1": ("es", "d", "uno dos"), "a2": ("es", "d", "tres")},
                              {"a1": "uno dos"}, {"a1": "es 1.0"})
    entries, results = scores_of(exp, data)
    pooled = entries["decode_asr", "test_in", "all", "all"]
    assert (pooled["WER"]["Del"], pooled["LID"]["Del"]) == (1, 1)
    assert results["confusions"][0]["counts"] == {"es": {"es": 1}}
    warning = capsys.readouterr().err
    assert "lacks 1 of the 2 utterances" in warning
    assert "a2" in warning


@pytest.mark.parametrize("utt2langs", [None, {"a1": "es"}])
def test_no_language_accuracy_where_nothing_is_detected(tmp_path, capsys, utt2langs):
    lang = None if utt2langs is None else {"a1": "es 1.0"}
    exp, data = make_test_set(tmp_path, {"a1": ("es", "d", "uno")}, {"a1": "uno"}, lang)
    if utt2langs is not None:
        write_table(exp / "decode_asr" / "test_in" / "utt2langs", utt2langs)
    entries, results = scores_of(exp, data)
    assert set(entries["decode_asr", "test_in", "all", "all"]) & {"WER", "CER", "LID"} == {"WER", "CER"}
    assert results["confusions"] == []
    assert "the language is given" in capsys.readouterr().out


def test_an_utterance_in_which_nobody_was_heard_counts_as_deleted_and_its_language_as_wrong(tmp_path):
    references = {"a1": ("es", "d", "uno dos"), "a2": ("es", "d", "tres")}
    exp, data = make_test_set(tmp_path, references, {"a1": "uno dos", "a2": ""}, {"a1": "es 0.9", "a2": "zxx 0.0000"})
    entry = scores_of(exp, data)[0]["decode_asr", "test_in", "all", "all"]
    assert (entry["WER"]["Del"], entry["WER"]["Corr"]) == (1, 2)
    assert entry["LID"]["Err"] == pytest.approx(50.0)


def test_language_accuracy_stays_where_pruning_left_a_choice(tmp_path):
    exp, data = make_test_set(tmp_path, {"a1": ("es", "d", "uno")}, {"a1": "uno"}, {"a1": "pt 0.6"})
    write_table(exp / "decode_asr" / "test_in" / "utt2langs", {"a1": "es,pt"})
    assert scores_of(exp, data)[0]["decode_asr", "test_in", "all", "all"]["LID"]["Err"] == 100.0


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda exp, data: (exp / "decode_asr/test_in/text").unlink(), "run stage 12 first"),
    (lambda exp, data: write_table(exp / "decode_asr/test_in/text", {"zz": "uno"}), "test_in/text has utterance zz"),
    (lambda exp, data: write_table(exp / "decode_asr/test_in/lang", {"zz": "es 1.0"}), "test_in/lang has utterance zz"),
    (lambda exp, data: (data / "test_in/text").unlink(), "scoring needs reference transcripts"),
    (lambda exp, data: (data / "test_in/wav.scp").unlink(), "wav.scp does not exist"),
])
def test_mistakes_end_in_one_sentence_and_write_nothing(tmp_path, break_it, message):
    exp, data = make_test_set(tmp_path, {"a1": ("es", "d", "uno")}, {"a1": "uno"})
    break_it(exp, data)
    with pytest.raises(UserError, match=message):
        main([str(exp), "--data", str(data)])
    assert not (exp / "scores.json").exists()
    assert not list(exp.glob("**/result.txt"))


@pytest.mark.parametrize(("name", "others"), [("result.txt", []), ("RESULTS.md", ["result.txt"] * 3)])
def test_without_room_nothing_is_half_written(tmp_path, fill_disk, name, others):
    exp, data = make_test_set(tmp_path, {"a1": ("es", "d", "uno")}, {"a1": "uno"}, {"a1": "es 0.9"})
    fill_disk(name)
    with pytest.raises(UserError, match=f"{name} cannot be written: No space left on device; it is left as it was"):
        main([str(exp), "--data", str(data)])
    written = [path.name for path in exp.glob("**/*") if path.is_file()]
    assert sorted(written) == sorted(["text", "lang", *others])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return make_experiment(tmp_path_factory.mktemp("experiment"))


def test_languages_and_domains_sum_to_the_pooled_counts(experiment):
    exp, _, data = experiment
    entries, _ = scores_of(exp, data)
    for (decoding, test_set, by, _), pooled in entries.items():
        if by != "all":
            continue
        for measure in {"WER", "CER", "LID"} & pooled.keys():
            for name in ("Snt", "Wrd", "Corr", "Sub", "Del", "Ins"):
                for part in ("language", "domain"):
                    parts = [e[measure][name] for key, e in entries.items() if key[:3] == (decoding, test_set, part)]
                    assert sum(parts) == pooled[measure][name]


def test_intervals_contain_the_rate_and_repeat(experiment):
    exp, _, data = experiment
    entries, results = scores_of(exp, data)
    for key, entry in entries.items():
        if key[2] == "all":
            for measure in {"WER", "CER", "LID"} & entry.keys():
                low, high = entry[measure]["interval"]
                assert low <= entry[measure]["Err"] <= high
                assert low < high
    assert scores_of(exp, data)[1] == results


def test_bootstrap_width_is_that_of_a_binomial():
    counts = np.zeros((400, 1, 4), dtype=int)
    counts[:100, 0, 1] = 1  # one in four single-word utterances is wrong
    counts[100:, 0, 0] = 1
    low, high = interval(bootstrap(counts)[:, 0])
    assert error_rate(counts.sum(axis=0)) == pytest.approx([25.0])
    assert high - low == pytest.approx(2 * 1.96 * 100 * np.sqrt(0.25 * 0.75 / 400), rel=0.1)


def test_changes_are_paired(tmp_path):
    references = {f"a{i:02}": ("es", "d", "uno dos tres") for i in range(30)}
    before = {key: "uno dos tres" if i % 2 else "uno dos" for i, key in enumerate(references)}
    exp, data = make_test_set(tmp_path, references, before)
    folder = exp / "decode_asr_router" / "test_in"
    folder.mkdir(parents=True)
    write_table(folder / "text", {key: "mas " + text for key, text in before.items()})  # one more error each
    _, results = scores_of(exp, data)
    change = next(c for c in results["changes"] if c["by"] == "all")
    assert change["change"] == "router fine-tuning"
    assert (change["before"], change["after"]) == ("decode_asr", "decode_asr_router")
    # The same change in every utterance: no uncertainty is left once pairs are compared.
    assert change["WER"] == {"difference": pytest.approx(100 / 3), "interval": pytest.approx([100 / 3, 100 / 3])}


def test_tables_for_people(experiment, capsys):
    exp, _, data = experiment
    capsys.readouterr()
    entries, _ = scores_of(exp, data)
    terminal = capsys.readouterr().out
    pooled = entries["decode_asr", "test_in", "all", "all"]
    assert f"{pooled['WER']['Err']:.1f} [" in terminal
    assert f"{100 - pooled['LID']['Err']:.1f} [" in terminal
    assert "router fine-tuning" in terminal
    assert "pruning" in terminal

    results = (exp / "RESULTS.md").read_text()
    assert results.startswith("# RESULTS\n## Environments\n- date: `")
    assert "## exp/asr_fake\n\n### WER\n\n|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in results
    assert f"|decode_asr/test_in|{pooled['WER']['Snt']}|{pooled['WER']['Wrd']}|" in results

    text = (exp / "decode_asr" / "test_in" / "score_wer" / "result.txt").read_text()
    average = next(line for line in text.splitlines() if "Sum/Avg" in line).split()
    assert average[2:4] == [str(pooled["WER"]["Snt"]), str(pooled["WER"]["Wrd"])]
    assert average[8] == f"{pooled['WER']['Err']:.1f}"
    first = next(iter(read_table(data / "test_in" / "text").items()))
    assert f"id: {first[0]} (" in text
    assert text.count("REF:") == pooled["WER"]["Snt"]
