"""The benchmark of hotwords: which words it draws, what it counts, and its table."""

import argparse
from functools import partial
from pathlib import Path

import hotwords
import pytest
from tiny import write_data_dir, write_model

TEXTS = ["zamenhof speaks esperanto", "she speaks"]
HEARD = ["zamenof speaks esperanto zamenhof", "see speaks"]


def test_words_that_are_right_and_wrong():
    said, right, wrong = hotwords.aligned_words(TEXTS, HEARD)
    assert said == [*TEXTS[0].split(), *TEXTS[1].split()]
    assert right == ["speaks", "esperanto", "speaks"]
    assert wrong == ["zamenof", "zamenhof", "see"]
    assert hotwords.row("-", TEXTS, HEARD, {"zamenhof", "speaks"}, 2.4) == ("-", "66.7", "20.00", "60.0", "2")


@pytest.mark.parametrize(("everything", "words"), [(False, {"zamenhof"}), (True, {"zamenhof", "speaks", "esperanto"})])
def test_words_that_are_drawn(tmp_path, everything, words):
    (tmp_path / "text").write_text("utt0 he speaks lojban\nutt1 interlingua\n", encoding="utf-8")
    args = argparse.Namespace(others=tmp_path / "text", all=everything, words=3, letters=5, seed=0)
    assert hotwords.drawn(args, TEXTS, HEARD) == (words, {"lojban", "interlingua"})


def test_words_have_the_languages_of_the_texts_that_say_them(tmp_path):
    tables = [tmp_path / name / "text" for name in ("said", "others")]
    for table, language in zip(tables, ("de", "en")):
        table.parent.mkdir()
        table.write_text("utt0 zug brand\n" if language == "de" else "utt0 brand train\n", encoding="utf-8")
        table.with_name("utt2lang").write_text(f"utt0 {language}\n", encoding="utf-8")
    assert hotwords.with_languages({"zug", "brand", "train"}, tables) == ["de,en=brand", "en=train", "de=zug"]


def recalls(folder: Path, capsys, *options: str) -> list[float]:
    """What the program's table says of the best path, a beam of 5, and hotwords of two weights."""
    model, data = write_model(folder / "asr"), write_data_dir(folder / "data", ["en", "de"])
    (data / "text").write_text("utt0 abcab b\nutt1 bbacc\n", encoding="utf-8")
    others = folder / "others/text"
    others.parent.mkdir()
    others.write_text("utt0 ccccc\n", encoding="utf-8")
    others.with_name("utt2lang").write_text("utt0 en\n", encoding="utf-8")
    hotwords.main(
        ["--model", str(model.config.parent), "--data_dir", str(data), "--others", str(others),
         "--weights", "2", "50", "--beam_sizes", "5", *options]
    )  # fmt: skip
    machine, *table = capsys.readouterr().out.splitlines()
    assert machine.startswith("2 words and 1 distractors; ")
    names = ("best path", "beam 5", "beam 5, weight 2", "beam 5, weight 50")
    return [float(line.removeprefix(name).split()[0]) for name, line in zip(names, table[1:], strict=True)]


def test_the_table(tmp_path, capsys):
    recall = recalls(tmp_path, capsys)
    assert recall[0] == recall[1] == 0.0 < recall[3]


@pytest.mark.parametrize("detected", ["en", "de", "zh-CN"])
def test_by_language_a_word_counts_where_its_language_is_detected(tmp_path, capsys, monkeypatch, detected):
    """Of the two words, one is English and one German; each utterance's language is the same."""
    monkeypatch.setattr(hotwords, "decoded", partial(hotwords.decoded, languages=[detected] * 2))
    recall = recalls(tmp_path, capsys, "--by_language")
    assert recall[:2] == [0.0, 0.0]
    assert recall[3] == (0.0 if detected == "zh-CN" else 50.0)
