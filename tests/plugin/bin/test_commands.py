"""Every command in a docstring of the programs and benchmarks, or in a document, is one that people can run.

Each is run as it stands, from start to end, in a folder with what it names; only the trainings are made shorter, by
options behind the command's own. Of the benchmarks that take long whatever they are given, the options alone are
checked and the files that they read; tests/benchmarks runs their tables. Commands of the recipe (./run.sh) and of
README.md are run by tests/recipe.
"""

import argparse
import ast
import glob
import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from laid_out import RECIPE, ROOT, lay_out

from espnet_blrmoe import run

SHORT = ["--max_epoch=1", "--num_iters_per_epoch=1", "--num_workers=0", "--batch_bins=20000"]
SHORTER = {"asr_train": SHORT, "router_train": SHORT, "add_language": SHORT}
LONG = {"speed", "training_step", "training_scale", "manifest", "many_streams", "hotwords", "ngram"}  # minutes to hours
WRITTEN = {"folder", "output"}  # options of LONG that name what does not exist yet
NEEDS = {"int8": ("export_onnx", "--model=exp/router", "--output_dir=exp/asr_onnx", "--quantize")}
PROGRAM = re.compile(r"python |espnet-blrmoe ")
DOCSTRINGS = [ROOT / "espnet_blrmoe/run.py", *ROOT.glob("espnet_blrmoe/bin/*.py"), *ROOT.glob("benchmarks/*.py")]
DOCUMENTS = [*ROOT.glob("docs/*.md"), ROOT / "benchmarks/NOTES.md"]


def commands_of(path: Path) -> list[str]:
    """The commands of a module's docstring or of a document, and the changes of folder between them."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text), clean=False) or ""
        blocks, inline = re.findall(r"^ {4}.*\n?", text, flags=re.MULTILINE), []
    else:
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        inline = re.findall(r"`(python [^`\s]*benchmarks/[^`\s]+ [^`]+)`", text)
    lines = "".join(blocks).replace("\\\n", " ").splitlines() + [" ".join(code.split()) for code in inline]
    lines = [line.strip() for line in lines]
    return [line for line in lines if PROGRAM.match(line) or line.startswith("cd ")]


SOURCES = {str(path.relative_to(ROOT)): commands_of(path) for path in sorted([*DOCSTRINGS, *DOCUMENTS])}
SOURCES = {name: commands for name, commands in SOURCES.items() if any(map(PROGRAM.match, commands))}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clone") / "clone"
    lay_out(root)
    return root


@pytest.fixture(autouse=True)
def process(monkeypatch, tmp_path):
    """What the programs change of the process is put back; fetched models go to a cache of the test's own."""
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("source", SOURCES)
def test_commands_run(source, clone, tmp_path, monkeypatch):
    root = shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    # Programs work in a recipe's folder; a benchmark or document says where it works.
    monkeypatch.chdir(root / RECIPE if source.startswith("espnet_blrmoe/") else root)
    for command in SOURCES[source]:
        words = shlex.split(command, comments=True)
        if words[0] == "cd":
            monkeypatch.chdir(root / words[1])
        else:
            run_command(words, monkeypatch)


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command within this process; its exit with an error fails the test."""
    words = [path for word in words for path in sorted(glob.glob(word)) or [word]]
    if words[0] == "espnet-blrmoe":
        program, arguments = "espnet_blrmoe.bin.main", words[1:]
    elif words[1] == "-m":
        program, arguments = words[2], words[3:]
    else:
        script = Path(words[1])
        assert script.is_file(), f"there is no {script} in {Path.cwd()}"
        program, arguments = script.stem, words[2:]
    module = importlib.import_module(program)
    name = arguments[0] if program.endswith(".main") else program.rpartition(".")[2]
    name = {"add-language": "add_language", "train-router": "router_train"}.get(name, name)
    try:
        if module is run:
            run_launcher(arguments, monkeypatch)
        elif name in LONG:
            check_options(module, arguments, monkeypatch)
        else:
            if name in NEEDS:
                other, *options = NEEDS[name]
                importlib.import_module(f"espnet_blrmoe.bin.{other}").main(options)
            module.main([*arguments, *SHORTER.get(name, [])])
    except SystemExit as ended:
        assert ended.code in (0, None), f"{shlex.join(words)}: {ended.code}"


class Parsed(Exception):
    """Takes a program's parsed options out of it, instead of letting it go on."""


def check_options(module, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the options exist, and the files that they name."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
        raise Parsed(parse(parser, arguments))

    with monkeypatch.context() as patched, pytest.raises(Parsed) as parsed:
        patched.setattr(argparse.ArgumentParser, "parse_args", stop)
        module.main(arguments)
    for option, value in vars(parsed.value.args[0]).items():
        if isinstance(value, Path) and option not in WRITTEN:
            assert value.exists(), f"{value} of {' '.join(arguments)} does not exist in {Path.cwd()}"


def test_every_program_shows_a_command():
    programs = {path.stem for path in ROOT.glob("espnet_blrmoe/bin/*.py")} - {"__init__", "options"}
    assert programs == {Path(name).stem for name in SOURCES if name.startswith("espnet_blrmoe/bin/")}


def run_launcher(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the launcher, which gives itself up to the script that it runs, and then make it what it was."""
    names = dict(vars(run))
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(run.SCRIPT, "")
    try:
        run.main()
    finally:
        vars(run).clear()
        vars(run).update(names)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python -m espnet_blrmoe.bin.prune_experts --languages de --output_dir exp/de --model exp/nowhere", "nowhere"),
        ("python -m espnet_blrmoe.bin.prune_experts --languages de --output_dir exp/de --modle exp/asr", "2"),
        ("espnet-blrmoe transcribe talk.mp3 nowhere.wav --model exp/asr", "1"),
        ("python benchmarks/speed.py --utterance 3 --tables nothing", "2"),
        ("python benchmarks/training_step.py nowhere.yaml", "nowhere.yaml"),
        ("python benchmarks/nothing.py", "nothing.py"),
    ],
)
def test_a_command_that_nobody_could_run_fails(command, message, clone, monkeypatch):
    monkeypatch.chdir(clone if "benchmarks" in command else clone / RECIPE)
    with pytest.raises(AssertionError, match=message):
        run_command(shlex.split(command), monkeypatch)
