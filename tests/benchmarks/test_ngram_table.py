"""The benchmark of word n-grams: its table."""

import ngram
from arpa_files import write_arpa
from tiny import write_data_dir, write_model


def test_a_row():
    row = ngram.row("-", ["he speaks esperanto", "yes"], ["he speak", "yes"], 2.4)
    assert row == ("-", "50.0", "50.0", "25.0", "2")


def test_the_table(tmp_path, capsys):
    model, data = write_model(tmp_path / "asr"), write_data_dir(tmp_path / "data", ["en", "de"])
    (data / "text").write_text("utt0 abcab b\nutt1 bbacc\n", encoding="utf-8")
    for language in ("en", "de", "zh-CN"):
        write_arpa(tmp_path / f"ngram/{language}.arpa", {"bb": -0.3, "</s>": -0.3})
    ngram.main(
        ["--model", str(model.config.parent), "--data_dir", str(data), "--ngram", str(tmp_path / "ngram"),
         "--weights", "0.1", "20", "--beam_size", "5"]
    )  # fmt: skip
    machine, *table = capsys.readouterr().out.splitlines()
    assert machine.startswith("2 sentences; ")
    names = ("best path", "beam 5", "n-gram, weight 0.1", "n-gram, weight 20")
    rates = [float(line.removeprefix(name).split()[1]) for name, line in zip(names, table[1:], strict=True)]
    assert rates[3] != rates[1]
