"""The plugin's names in ESPnet, and the launcher that registers them for unmodified commands."""

import re
import subprocess
import sys

import pytest
from espnet2.tasks.asr import ASRTask

from espnet_blrmoe import run
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.registration import register_with_espnet
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

SCRIPT = '''
"""Asks a spawned process what it knows."""

import sys

import torch
from espnet2.tasks.asr import encoder_choices

import sibling


def ask(rank, question):
    print("child", question, "blr_moe" in encoder_choices.classes, sibling.ANSWER, flush=True)


if __name__ == "__main__":
    print("parent", sys.argv[1:], "blr_moe" in encoder_choices.classes, __doc__, flush=True)
    torch.multiprocessing.spawn(ask, args=(sys.argv[1],))
'''


@pytest.mark.parametrize("task", ["espnet2.tasks.asr", "espnet3.systems.esp2_asr.task"])
def test_the_classes_have_their_names_in_espnet(task):
    encoder_choices, model_choices, preprocessor_choices = choices_of(task)
    for _ in range(2):  # again is harmless
        register_with_espnet()
        assert encoder_choices.get_class("blr_moe") is BLRMoEEncoder
        assert model_choices.get_class("blr_moe") is BLRMoEModel
        assert preprocessor_choices.get_class("blr_moe") is BLRMoEPreprocessor
    for choices in (encoder_choices, model_choices, preprocessor_choices):
        assert list(choices.classes).count("blr_moe") == 1
        assert "blr_moe" in choices.choices()


def choices_of(task: str) -> list:
    """The class choices that the plugin registers in."""
    module = pytest.importorskip(task, reason="ESPnet 202511 has no ESPnet3", exc_type=ModuleNotFoundError)
    return [module.encoder_choices, module.model_choices, module.preprocessor_choices]


@pytest.mark.parametrize(
    "imports",
    [
        "import espnet_blrmoe, espnet2.tasks.asr as task",
        "import espnet2.tasks.asr as task, espnet_blrmoe",
        "import espnet_blrmoe.files.trained_model, espnet2.tasks.asr as task",
    ],
)
def test_whatever_is_imported_first(imports):
    choices = "task.encoder_choices, task.model_choices, task.preprocessor_choices"
    output = python(f"{imports}\nprint(*('blr_moe' in names.classes for names in ({choices})))")
    assert output.splitlines()[-1] == "True True True"  # ESPnet prints where it is imported first


def test_what_registers_does_not_import_the_task_that_it_registers_in():
    modules = ", ".join(cls.__module__ for cls in (BLRMoEModel, BLRMoEEncoder, BLRMoEPreprocessor))
    assert python(f"import sys, {modules}; print('espnet2.tasks.asr' in sys.modules)") == "False\n"


def python(script: str) -> str:
    """Standard output of a fresh process."""
    return subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("option", ["encoder", "model", "preprocessor"])
def test_an_unknown_name_gives_espnets_usual_error(option, capsys):
    with pytest.raises(SystemExit):
        ASRTask.get_parser().parse_args([f"--{option}", "blr_moo"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --{option}: invalid choice: 'blr_moo'" in error
    assert "blr_moe" in error


def launch(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    run.main()


def test_launcher_runs_a_module(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        launch(monkeypatch, "-m", "espnet2.bin.tokenize_text", "--input", "nowhere")
    assert "required: --output" in capsys.readouterr().err
    assert sys.argv == ["espnet2.bin.tokenize_text", "--input", "nowhere"]


def test_launcher_replaces_espnets_training(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        launch(monkeypatch, "-m", "espnet2.bin.asr_train", "--encoder", "blr_moo")
    assert re.search(r"\bblr_moe\b", capsys.readouterr().err)  # among the choices; Pythons differ in quotation marks
    assert sys.argv[0] == "espnet_blrmoe.bin.asr_train"


def test_launcher_replaces_espnets_decoding(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        launch(monkeypatch, "-m", "espnet2.bin.asr_inference", "--help")
    assert "--utt2langs" in capsys.readouterr().out


def test_launcher_runs_a_script_whose_processes_have_the_plugin_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "sibling.py").write_text("ANSWER = 42\n", encoding="utf-8")
    command = [sys.executable, "-m", "espnet_blrmoe.run", str(script), "--what"]
    output = subprocess.run(command, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    lines = [line for line in output.stdout.splitlines() if line.startswith(("parent", "child"))]
    assert lines == ["parent ['--what'] True Asks a spawned process what it knows.", "child --what True 42"]


@pytest.mark.parametrize("arguments", [[], ["-m"], ["nowhere.py"]])
def test_launcher_says_how_it_is_used(monkeypatch, arguments):
    with pytest.raises(SystemExit, match="^usage: python -m espnet_blrmoe.run "):
        launch(monkeypatch, *arguments)


def test_launcher_helps(monkeypatch, capsys):
    launch(monkeypatch, "--help")
    assert "python -m espnet_blrmoe.run -m espnet2.bin.asr_train" in capsys.readouterr().out
