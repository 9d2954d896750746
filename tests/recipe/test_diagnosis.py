"""The diagnosis: made-up decodings that have one of the faults are told as having that one and no other."""

import json
from dataclasses import replace

import pytest
import report
import score
from shared.data_dir import Utterance
from shared.decodings import find_decodings
from shared.diagnosis import SIGNATURES, languages_of_words
from shared.kaldi_tables import write_table
from shared.write_data_dir import write_data_dir

WORDS = {"de": "haus baum wasser morgen vogel regen".split(), "es": "casa agua noche pueblo lluvia calle".split(),
         "ru": "дом вода утро птица дождь улица".split()}
SENTENCES = 20  # of a language and test set
PLAIN, GIVEN = "decode_asr", "decode_asr_router_pruned"


def said(test_set: str) -> list[Utterance]:
    return [Utterance(f"{language}-{test_set}-{n:02}", "a.wav", language, language, "studio",
                      " ".join(words[(n + k) % len(words)] for k in range(5)))
            for language, words in WORDS.items() for n in range(SENTENCES)]


def number(u: Utterance) -> int:
    return int(u.id[-2:])


def right(u: Utterance) -> Utterance:
    """What is recognised; now and then a word is not one."""
    return misspelt(u, 1) if number(u) % 10 == 5 else u


def misspelt(u: Utterance, words: int) -> Utterance:
    parts = u.text.split()
    return replace(u, text=" ".join([word[::-1] for word in parts[:words]] + parts[words:]))


def in_german(u: Utterance) -> Utterance:
    return u if u.language == "de" else replace(u, label="de", text=" ".join(WORDS["de"][:5]))


def experiment(root, decodings):
    """Score the decodings, {(tag, test set): from what is said to what is recognised}; exp, data, the diagnosis."""
    exp, data = root / "exp" / "asr_x", root / "raw"
    for (tag, test_set), recognise in decodings.items():
        write_data_dir(data / test_set, said(test_set))
        folder = exp / tag / test_set
        folder.mkdir(parents=True)
        recognised = {u.id: recognise(u) for u in said(test_set)}
        write_table(folder / "text", {key: u.text for key, u in recognised.items()})
        write_table(folder / "lang", {key: f"{u.language} 0.9" for key, u in recognised.items()})
        if tag == GIVEN:
            write_table(folder / "utt2langs", {u.id: u.language for u in said(test_set)})
    score.main([str(exp), "--data", str(data)])
    return exp, data, json.loads((exp / "scores.json").read_text())["diagnosis"]


def found(diagnosis):
    return {(f["signature"], f["decoding"], f["test_set"]) for f in diagnosis if f["is_present"]}


def of_both(inside, outside, inside_given=right, outside_given=right):
    return {(PLAIN, "test_in"): inside, (PLAIN, "test_out"): outside,
            (GIVEN, "test_in"): inside_given, (GIVEN, "test_out"): outside_given}


def every_third_in_german(u):
    return in_german(u) if number(u) % 3 == 0 else right(u)


def spanish_misspelt(u):
    return misspelt(u, 3) if u.language == "es" else right(u)


def all_misspelt(u):
    return misspelt(u, 3)


CASES = {  # name: (decodings, where which fault is found)
    "nothing wrong": (of_both(right, right), set()),
    "the router": (of_both(every_third_in_german, every_third_in_german), {("cross_language", PLAIN, "test_in")}),
    "an expert": (of_both(*[spanish_misspelt] * 4), {("weak_experts", tag, "test_in") for tag in (PLAIN, GIVEN)}),
    "a router that only knows its domain": (of_both(right, every_third_in_german),
                                            {("out_of_domain", PLAIN, "test_out")}),
    "audio that nobody can follow": (of_both(right, all_misspelt, right, all_misspelt), set()),
    "the router, where no language was given": (
        {(PLAIN, "test_in"): right, (PLAIN, "test_out"): every_third_in_german},
        {("cross_language", PLAIN, "test_out")}),
    "a test set of another name": ({(PLAIN, "test_mine"): spanish_misspelt}, {("weak_experts", PLAIN, "test_mine")}),
    "too little to tell": ({(PLAIN, "test_in"): lambda u: in_german(u) if u.id == "es-test_in-00" else u}, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_told_as_that_fault_and_no_other(tmp_path, case):
    decodings, expected = CASES[case]
    exp, _, diagnosis = experiment(tmp_path, decodings)
    assert found(diagnosis) == expected
    results = (exp / "RESULTS.md").read_text()
    for name, signature in SIGNATURES.items():
        is_none = name not in {key[0] for key in expected}
        assert (f"|{signature.title}|{signature.limit:.0f}|none|" in results) == is_none


@pytest.mark.parametrize("case", ["nothing wrong", "a router that only knows its domain"])
def test_the_report_tells_it_too(tmp_path, case):
    decodings, expected = CASES[case]
    exp, data, _ = experiment(tmp_path, decodings)
    report.main([str(exp), "--data", str(data)])
    page = (exp / "report.html").read_text()
    for name, signature in SIGNATURES.items():
        assert (f"Found: {signature.title}" in page) == (name in {key[0] for key in expected})
    assert ("None of the three faults was found" in page) == (not expected)


def finding(diagnosis, *name):
    (only,) = (f for f in diagnosis if (f["signature"], f["decoding"], f["test_set"]) == name)
    return only


def test_figures_have_their_denominators(tmp_path):
    _, _, diagnosis = experiment(tmp_path, of_both(every_third_in_german, spanish_misspelt, right, spanish_misspelt))
    words = finding(diagnosis, "cross_language", PLAIN, "test_in")
    assert words["basis"] == "70 of 300 recognised words"  # 7 sentences each of Spanish and Russian
    assert words["value"] == pytest.approx(100 * 70 / 300)
    assert words["interval"][0] < words["value"] < words["interval"][1]
    expert = finding(diagnosis, "weak_experts", PLAIN, "test_out")
    assert (expert["basis"], expert["value"]) == ("es: 60 errors in 100 words", pytest.approx(60.0))
    assert expert["is_present"] is None  # no expert is to blame for audio that it never heard
    loss = finding(diagnosis, "out_of_domain", PLAIN, "test_out")
    assert loss["basis"] == "WER 24.3 in domain, 21.3 here; with the languages given 2.0 and 21.3"
    assert loss["value"] == pytest.approx(100 * (64 - 73) / 73)


def test_the_utterances_that_show_it_best(tmp_path):
    def worse(u):
        return {"es-test_in-07": in_german(u), "ru-test_in-03": replace(u, label="de", text=f"{u.text} haus")}.get(
            u.id, u if number(u) % 2 else replace(u, text=f"vogel {u.text}"))

    exp, data, diagnosis = experiment(tmp_path, {(PLAIN, "test_in"): worse})
    shown = dict(finding(diagnosis, "cross_language", PLAIN, "test_in")["utterances"])
    assert list(shown)[0] == "es-test_in-07" and len(shown) == 3
    assert shown["es-test_in-07"] == "haus (de), baum (de), wasser (de), morgen (de), vogel (de)"
    report.main([str(exp), "--data", str(data)])
    page = (exp / "report.html").read_text()
    for text in ("es-test_in-07 · haus (de), baum", "noche pueblo", "✗ de, 90 %"):
        assert text in page


def test_whose_a_word_is(tmp_path):
    """Transcripts of the training set count; a word may be of several languages, and digits are of none."""
    sentence = "haus casa internet слово nada 1998"
    exp, data, diagnosis = experiment(tmp_path, {(PLAIN, "test_in"): lambda u: replace(u, text=sentence)})
    write_data_dir(data / "train", [Utterance(f"{language}-train", "a.wav", language, language, "studio", text)
                                    for language, text in (("de", "internet 1998"), ("es", "nada internet"))])
    words = languages_of_words(find_decodings(exp, data), data)
    assert words == {"haus": {"de"}, "casa": {"es"}, "internet": {"de", "es"}, "слово": set(), "nada": {"es"},
                     "1998": {"de"}}
    score.main([str(exp), "--data", str(data)])
    diagnosis = json.loads((exp / "scores.json").read_text())["diagnosis"]
    shown = dict(finding(diagnosis, "cross_language", PLAIN, "test_in")["utterances"])
    assert set(shown.values()) <= {"haus (de), casa (es), internet (de/es), nada (es)"}  # of Russian, the most
    assert finding(diagnosis, "cross_language", PLAIN, "test_in")["value"] == pytest.approx(
        100 * (3 + 2 + 4) / 18)  # German: casa, слово, nada; Spanish: haus, слово; Russian: all but слово
