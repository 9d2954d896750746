"""The benchmark of wrong language lists: the lists, its tables, and that a run goes on."""

import math
import random

import language_prior
import pytest
from tiny import LANGUAGES, write_data_dir, write_model


def test_lists_have_two_languages_and_the_own_one_as_often_as_wanted():
    draw = random.Random(0)
    for share in language_prior.RIGHT_SHARE.values():
        lists = [language_prior.draw_list("de", LANGUAGES, share, draw) for _ in range(2000)]
        assert all(len(set(own)) == 2 and set(own) <= set(LANGUAGES) for own in lists)
        assert sum("de" in own for own in lists) / 2000 == pytest.approx(share, abs=0.03)


def test_tables_and_that_a_run_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(language_prior, "STRENGTHS", (2.0, math.inf))
    write_model(tmp_path / "model")
    data = write_data_dir(tmp_path / "data", [*LANGUAGES, "de"])
    (data / "text").write_text("".join(f"utt{n} ab c\n" for n in range(4)), encoding="utf-8")
    results, plot = tmp_path / "results.jsonl", tmp_path / "plot.svg"
    options = [f"--data_dir={data}", f"--results={results}", f"--output={plot}", f"tiny={tmp_path / 'model'}"]
    language_prior.main(options)
    printed, lines = capsys.readouterr().out, results.read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 3
    assert "</svg>" in plot.read_text()
    kinds = tuple(f"|{kind}" for kind in language_prior.RIGHT_SHARE)
    rows = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith(kinds)]
    rates, changes, differences = rows[:6], rows[6:12], rows[12:]
    assert [row[:2] for row in rates] == [[kind, escape] for kind in language_prior.RIGHT_SHARE
                                          for escape in ("none", "0.9")]
    assert len({row[2] for row in rates}) == 1  # without a list
    assert rates[4][-1].endswith(" / 0.0")  # excluded languages are not detected
    wer, without = (float(rates[4][n].split(" / ")[0]) for n in (-1, 2))
    assert float(changes[4][-1].split(" (")[0]) == pytest.approx(wer - without, abs=0.11)
    assert [row[:2] for row in differences] == [[kind, "none"] for kind in language_prior.RIGHT_SHARE]
    with_escape = float(rates[5][-1].split(" / ")[0])
    assert float(differences[2][-1].split(" (")[0]) == pytest.approx(wer - with_escape, abs=0.11)
    results.write_text("\n".join(lines[:7]) + "\n")
    language_prior.main(options)
    assert results.read_text().splitlines() == lines
    assert capsys.readouterr().out == printed


def test_mistakes_end_in_one_sentence(tmp_path, capsys):
    options = [f"--data_dir={write_data_dir(tmp_path / 'data', ['en'])}", f"--results={tmp_path / 'results.jsonl'}"]
    with pytest.raises(SystemExit):
        language_prior.main([*options, "exp/asr"])
    assert "give models as NAME=FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="^language_prior: .*nowhere"):
        language_prior.main([*options, "model=nowhere"])
