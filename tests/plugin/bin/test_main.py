"""One command for all programs: espnet-blrmoe COMMAND."""

import sys
from distutils.core import run_setup  # setuptools has it for Pythons without
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from espnet_blrmoe.bin import main, prune_experts, router_train, transcribe
from espnet_blrmoe.inference.ngram import NGRAM_WEIGHT
from espnet_blrmoe.inference.speech2text import CHUNK_SECONDS
from espnet_blrmoe.model.prior import SWITCH_COST


@pytest.mark.parametrize(
    ("command", "module"), [("transcribe", transcribe), ("prune", prune_experts), ("train-router", router_train)]
)
def test_commands_are_handed_their_arguments(command, module, monkeypatch):
    calls = []
    monkeypatch.setattr(sys, "argv", ["espnet-blrmoe"])
    monkeypatch.setattr(module, "main", calls.append)
    main.main([command, "a.wav", "--languages", "en", "--help"])
    assert calls == [["a.wav", "--languages", "en", "--help"]]


def test_messages_begin_with_the_name_that_was_typed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["espnet-blrmoe"])
    options = ["--model", str(tmp_path), "--languages", "en", "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="^prune: "):
        main.main(["prune", *options])
    monkeypatch.setattr(sys, "argv", ["/somewhere/espnet_blrmoe/bin/prune_experts.py"])
    with pytest.raises(SystemExit, match="^prune_experts: "):
        prune_experts.main(options)


def test_help_of_a_command_teaches_by_an_example(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["espnet-blrmoe"])
    with pytest.raises(SystemExit) as ended:
        main.main(["transcribe", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: espnet-blrmoe transcribe [-h]")
    assert "espnet-blrmoe transcribe talk.mp3 interview.wav --model_tag model.zip --languages en,de" in text


def test_defaults_are_those_of_python(capsys):
    with pytest.raises(SystemExit):
        transcribe.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"(default: {CHUNK_SECONDS:g}, best for" in text
    assert f"with --language_smoothing viterbi (default: {SWITCH_COST:g})" in text
    assert f"of its log-probabilities (default: {NGRAM_WEIGHT:g})" in text


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in ("transcribe", "prune", "train-router"))


def test_no_such_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["translate"])
    assert ended.value.code == 2
    assert "invalid choice: 'translate'" in capsys.readouterr().err


def test_without_a_command_there_is_help(capsys):
    main.main([])
    assert "transcribe" in capsys.readouterr().out


def test_setup_installs_the_command(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    [script] = run_setup("setup.py", stop_after="init").entry_points["console_scripts"]
    name, _, target = script.partition(" = ")
    assert name == "espnet-blrmoe"
    assert EntryPoint(name, target, "console_scripts").load() is main.main
