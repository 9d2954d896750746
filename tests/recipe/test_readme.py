"""The README's own commands and Python examples run as they stand, on the tiny demo."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import corpus_folders
import pytest
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from recipe_run import RECIPE, TINY_TRAINING, run_recipe

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[str]:
    """The README's shell commands that contain a program, without their comments."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if program in line]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_examples_run(number, tiny_demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    monkeypatch.chdir(tiny_demo.folder)  # has exp/ and dump/, as the recipe's folder has after `make demo`
    if "onnxruntime" in blocks("python")[number]:
        command = shlex.split(commands("export_onnx")[0])
        subprocess.run([sys.executable, *command[1:]], check=True)
    monkeypatch.setenv("PYTHONPATH", "")
    exec(compile(blocks("python")[number], f"README.md, Python example {number}", "exec"), {})
    if "timeline" in blocks("python")[number]:
        assert re.search(r"^0\.00 to \d+\.\d\d s: (es|pt)$", capsys.readouterr().out, flags=re.MULTILINE)


@pytest.mark.parametrize("command", commands("./run.sh --stage"))
def test_recipe_commands_run(command, tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")  # other tests look at what the demo itself left
    if "--stage 16" in command:  # the tiny demo has two of the languages, and trains for one epoch
        command = command.replace("es,pt de,en", "es,pt").replace("utterances 20", "utterances 2")
    command = command.replace("dump/raw", f"{folder}/dump/raw")  # the recipe's own folder is not used here
    run = run_recipe(folder, *shlex.split(command)[1:], *TINY_TRAINING)
    assert run.exit_code == 0, run.output


def test_own_corpora(tmp_path, shared_data):
    command = shlex.split(*commands("COMMONVOICE="))
    assert command[1] == "./run.sh"
    run = run_recipe(tmp_path, *command[2:], "--stop_stage", "5", COMMONVOICE=str(shared_data / "cv-mini"))
    assert run.exit_code == 0, run.output
    assert (tmp_path / "dump/raw/train/text").is_file()


def test_several_corpora(tmp_path):
    (command,) = commands("--out_of_domain")
    for name, make in (("cv-corpus", corpus_folders.commonvoice), ("ours", corpus_folders.manifest),
                       ("fleurs", corpus_folders.fleurs)):
        command = command.replace(f"/path/to/{name}", str(make(tmp_path / name)))
    run = run_recipe(tmp_path, *shlex.split(command)[1:], "--stop_stage", "4")
    assert run.exit_code == 0, run.output
    domains = (tmp_path / "dump/raw/train/utt2domain").read_text().split()[1::2]
    assert set(domains) == {"commonvoice", "manifest"}
    assert (tmp_path / "dump/raw/test_out/wav.scp").is_file()


def test_pruning_the_demos_model(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    command = shlex.split(commands("prune_experts")[0].replace("es,pt", "es"))  # the tiny demo has these two
    done = subprocess.run([sys.executable, *command[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 languages (es)" in done.stdout
    assert (folder / "exp/asr_es_pt/model.pth").is_file()


def test_transcribing_on_the_command_line(tiny_demo):
    command = commands("espnet-blrmoe transcribe")[0]
    assert command.startswith("espnet-blrmoe ")
    program = f"{sys.executable} -m espnet_blrmoe.bin.main"
    command = command.replace("espnet-blrmoe", program, 1)
    done = subprocess.run(["bash", "-c", command], cwd=tiny_demo.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines and all(re.match(r"downloads/\S+/es-\S+\.wav\b.*\b(es|pt)\b", line) for line in lines), lines


def test_the_launcher_runs_espnet(tmp_path):
    command = shlex.split(*commands("espnet_blrmoe.run"))
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0
    encoders = re.search(r"--encoder \{(.*?)\}", done.stdout)
    assert "blr_moe" in encoders.group(1).split(",")


def test_the_yaml_example_builds_a_model():
    import argparse

    import yaml
    from espnet2.tasks.asr import ASRTask

    import espnet_blrmoe  # noqa: F401 (registers)

    parser = ASRTask.get_parser()
    options = {**vars(parser.parse_args([])), **yaml.safe_load(blocks("yaml")[0])}
    options["token_list"] = ["<blank>", "a", "<sos/eos>"]
    model = ASRTask.build_model(argparse.Namespace(**options))
    assert model.languages == ("de", "en", "es", "pt")


def test_make_demo_is_the_recipe():
    done = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"cd {RECIPE.relative_to(ROOT)} && ./run.sh" in done.stdout
