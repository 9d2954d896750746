"""The commands and Python examples of README and its pages run as they stand, on the tiny demo."""

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import corpus_folders
import pytest
import yaml
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from recipe_run import RECIPE, TINY_CORPUS, TINY_TRAINING, run_recipe
from shared.kaldi_tables import read_table

from espnet_blrmoe.training.freezing import freeze

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{name}.md" for name in ("recipe", "languages", "espnet_yaml", "deployment"))]
PROGRAM = [sys.executable, "-m", "espnet_blrmoe.bin.main"]  # espnet-blrmoe, wherever it is installed


def blocks(language: str, pages: list[str] = PAGES) -> list[str]:
    """The pages' code blocks of one language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    return [block for page in pages for block in pattern.findall((ROOT / page).read_text(encoding="utf-8"))]


def commands(program: str = "") -> list[str]:
    """The pages' shell commands that contain a program, each once, without their comments."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return list(dict.fromkeys(line.split("#")[0].strip() for line in lines if program in line))


@pytest.fixture
def demo(tiny_demo, tmp_path) -> Path:
    """What the recipe's folder holds after `make demo`; a copy, since other tests look at what the demo itself left."""
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    (folder / "conf").symlink_to(RECIPE / "conf")
    return folder


def run_program(command: str, folder: Path) -> str:
    """Run `espnet-blrmoe ...` as a shell does, and return what it prints."""
    command = command.replace("espnet-blrmoe", shlex.join(PROGRAM), 1)
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_examples_run(number, demo, tmp_path, monkeypatch, capsys):
    example = blocks("python")[number]
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    monkeypatch.chdir(demo)
    if "onnxruntime" in example:
        run_program(*commands("espnet-blrmoe export"), demo)
    exec(compile(example, f"Python example {number}", "exec"), {"__name__": "example"})
    if "timeline" in example:
        assert re.search(r"^0\.00 to \d+\.\d\d s: (es|pt)$", capsys.readouterr().out, flags=re.MULTILINE)


@pytest.mark.parametrize("command", commands("./run.sh --stage"))
def test_recipe_commands_run(command, demo):
    if "--stage 16" in command:  # the tiny demo has two of the languages, and trains for one epoch
        command = command.replace("es,pt de,en", "es,pt").replace("utterances 20", "utterances 2")
    command = command.replace("dump/raw", f"{demo}/dump/raw")  # the recipe's own folder is not used here
    run = run_recipe(demo, *shlex.split(command)[1:], *TINY_TRAINING)
    assert run.exit_code == 0, run.output


def test_the_recipes_help():
    done = subprocess.run(shlex.split(*commands("./run.sh --help")), cwd=RECIPE, capture_output=True, text=True)
    assert done.returncode == 0 and "--allowed_languages" in done.stdout


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


def test_a_test_set_in_which_the_language_changes(demo):
    (command,) = commands("--test_mixed")
    options = [*shlex.split(command.replace("100", "3"))[1:], *TINY_CORPUS]
    for more in ("--stop_stage", "4"), ("--stage", "12", "--stop_stage", "19", "--router_utterances", "2"):
        run = run_recipe(demo, *options, *TINY_TRAINING, *more)
        assert run.exit_code == 0, run.output
    results = (run.asr_exp / "RESULTS.md").read_text()
    for decoding in ("decode_asr", "decode_asr_router", "decode_asr_router_pruned"):
        assert f"|{decoding}/test_mixed|3|" in results.partition("### Languages within recordings")[2]
    pruned = read_table(run.asr_exp / "decode_asr_router_pruned" / "test_mixed" / "utt2langs")
    assert {frozenset(languages.split(",")) for languages in pruned.values()} == {frozenset(("es", "pt"))}
    scores = [line.split("\t") for line in (demo / "exp/router_train_asr_raw_char/lid.tsv").read_text().splitlines()]
    before, after = (row for row in scores if row[0] == "test_mixed")
    assert before[3:4] + before[5:] == after[3:4] + after[5:] == ["3", "-", "-", "-"]
    assert all(0 <= float(row[4]) <= 100 for row in (before, after))
    assert 'id="timelines"' in (run.asr_exp / "report.html").read_text()


def test_paths_with_blanks(tmp_path):
    (command,) = commands("our recordings")
    for name, make in (("our recordings", corpus_folders.manifest), ("mls", corpus_folders.mls)):
        command = command.replace(f"/path/to/{name}", str(make(tmp_path / name)))
    run = run_recipe(tmp_path, *shlex.split(command)[1:], "--stop_stage", "1")
    assert run.exit_code == 0, run.output
    domains = (tmp_path / "data/train/utt2domain").read_text().split()[1::2]
    assert set(domains) == {"manifest", "mls"}


def test_commands_in_a_wav_scp_are_replaced_by_files(tmp_path):
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wav.scp").write_text("a printf '%s' one |\nb echo two; cat |\n")
    (command,) = commands("while read")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "new_wav.scp").read_text() == "a wavs/a.wav\nb wavs/b.wav\n"
    assert [(tmp_path / f"wavs/{key}.wav").read_text() for key in "ab"] == ["one", "two\n"]


@pytest.mark.parametrize("command", commands("espnet-blrmoe transcribe"))
def test_transcribing_on_the_command_line(command, demo):
    lines = run_program(command, demo).splitlines()
    assert lines and all(re.match(r"downloads/\S+/(es|pt)-\S+\.wav\b.*\b(es|pt)\b", line) for line in lines), lines


def test_pruning_the_demos_model(demo):
    command = commands("espnet-blrmoe prune")[0].replace("es,pt", "es")  # the tiny demo has these two
    assert "1 of 2 languages (es)" in run_program(command, demo)
    assert (demo / "exp/asr_es_pt/model.pth").is_file()


def test_adding_a_language_to_the_demos_model(demo, tmp_path):
    (prepare,) = commands("./run.sh --stop_stage 4")
    options = shlex.split(prepare)[1:3] + [*TINY_CORPUS, "--langs", "pt"]
    run = run_recipe(tmp_path / "pt", *options)
    assert run.exit_code == 0, run.output
    (demo / "dump_pt").symlink_to(tmp_path / "pt/dump")
    _, prune = commands("espnet-blrmoe prune")
    run_program(prune.replace("de,en,es", "es"), demo)
    (add,) = commands("espnet-blrmoe add-language")
    assert "2 languages (es, pt)" in run_program(f"{add} --max_epoch 1 --num_iters_per_epoch 2", demo)
    assert {path.name for path in (demo / "exp/asr_pt").iterdir()} == {"config.yaml", "model.pth", "training"}


def test_summary(demo):
    assert "LR-MoE of this shape" in run_program(*commands("espnet-blrmoe summary"), demo)


def test_the_launcher_runs_espnet():
    command = shlex.split(*commands("espnet_blrmoe.run"))
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0
    encoders = re.search(r"--encoder \{(.*?)\}", done.stdout)
    assert "blr_moe" in encoders.group(1).split(",")


def yaml_example(option: str) -> dict:
    """The one YAML example that sets the option."""
    (example,) = (example for example in map(yaml.safe_load, blocks("yaml")) if option in example)
    return example


def build(encoder_conf: dict):
    """The model of the YAML example, with these options of the encoder changed."""
    from espnet2.tasks.asr import ASRTask

    import espnet_blrmoe  # noqa: F401 (registers)

    example = yaml_example("encoder")
    example["encoder_conf"].update(encoder_conf)
    options = {**vars(ASRTask.get_parser().parse_args([])), **example, "token_list": ["<blank>", "a", "<sos/eos>"]}
    return ASRTask.build_model(argparse.Namespace(**options))


def test_the_yaml_example_builds_a_model():
    assert build({}).languages == ("de", "en", "es", "pt")


@pytest.mark.parametrize("block_type", ["transformer", "conformer", "e_branchformer"])
def test_of_experts_of_low_rank_differences_and_router_can_learn_alone(block_type):
    names = yaml_example("freeze_param")["freeze_param"]
    if block_type != "transformer":
        names.append("encoder.encoders.*.pos_bias_?")
    model = build({"expert_rank": 16, "block_type": block_type, "block_conf": {}})
    freeze(model, names)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, _ in model.named_parameters() if ".difference." in name or ".router." in name}


def test_a_router_of_ones_own(tmp_path, monkeypatch):
    (example,) = (block for block in blocks("python") if "AbsRouter" in block)
    (tmp_path / "mypackage.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    model = build({"router": "mypackage.MyRouter", "router_conf": {"hidden": 128}})
    assert type(model.encoder.router) is importlib.import_module("mypackage").MyRouter


def test_make_demo_is_the_recipe():
    done = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"cd {RECIPE.relative_to(ROOT)} && ./run.sh" in done.stdout


def test_no_command_is_left_out():
    programs = [f"espnet-blrmoe {name} " for name in ("transcribe", "prune", "add-language", "summary", "export")]
    tested = ("cd egs2/blr_moe_masr/asr1", "make demo", "./run.sh --", "COMMONVOICE=", "while read",
              "python -m espnet_blrmoe.run ", "python ../../../benchmarks/long_audio.py ", *programs)
    assert [command for command in commands() if command and not command.startswith(tested)] == []


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
