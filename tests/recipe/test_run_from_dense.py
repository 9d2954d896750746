"""run.sh --from_dense: after a dense model that it trains first, and after a trained one."""

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from recipe_run import TINY_TRAINING, run_recipe

ROOT = Path(__file__).resolve().parents[2]
DENSE, AFTER = (f"conf/tuning/train_asr_demo_{name}.yaml" for name in ("dense", "from_dense"))
STAGE_11 = "--stage", "11", "--stop_stage", "11"


@pytest.fixture(scope="module")
def trained(tiny_demo, tmp_path_factory):
    """Dense training, experts and their training in one command, on the data of the tiny demo."""
    folder = shutil.copytree(tiny_demo.folder, tmp_path_factory.mktemp("from_dense") / "demo")
    run = run_recipe(folder, *STAGE_11, "--from_dense", DENSE, "--asr_config", AFTER, *TINY_TRAINING)
    assert run.exit_code == 0, run.output
    return run


def test_dense_training_then_experts_in_one_command(trained):
    assert "largest difference of the two models' outputs on random audio, whatever the routing: " in trained.output
    asr_exp = trained.folder / "exp/asr_train_asr_demo_from_dense_raw_char"
    dense = torch.load(trained.folder / "exp/asr_train_asr_demo_dense_raw_char/valid.cer_ctc.ave.pth")
    start, after = torch.load(asr_exp / "from_dense/model.pth"), torch.load(asr_exp / "valid.cer_ctc.ave.pth")
    name = "encoder.encoders.4.feed_forward.w_1.weight"
    assert all(expert.equal(dense[name]) for expert in start[name]) and len(start[name]) == 2
    assert after.keys() == start.keys()
    assert not after[name][0].equal(after[name][1])
    # A few steps do not lead far: the training began with these weights, not with fresh ones.
    assert (after[name] - start[name]).abs().mean() < 0.1 * start[name].abs().mean()


def test_the_commands_of_the_page_are_those_that_are_tested_here():
    page = (ROOT / "docs/from_dense.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\./run\.sh (.*)", page, flags=re.MULTILINE)
    assert commands == [
        "--stage 5 --stop_stage 11 --from_dense exp/dense",
        f"{' '.join(STAGE_11)} --from_dense {DENSE} --asr_config {AFTER}",
    ]


def test_what_is_there_is_not_made_again(trained):
    again = run_recipe(trained.folder, *STAGE_11, "--from_dense", DENSE, "--asr_config", AFTER, *TINY_TRAINING)
    assert again.exit_code == 0, again.output
    assert "largest difference" not in again.output
    dense = "conf/tuning/train_asr_dense.yaml"
    other = run_recipe(trained.folder, *STAGE_11, "--from_dense", dense, "--asr_config", AFTER)
    assert "is a model of other data, languages or tokens than" in other.output and other.exit_code == 1


def test_a_trained_dense_model_brings_its_tokens(trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "demo")
    dense = folder / "exp/asr_train_asr_demo_dense_raw_char"
    stages = "--stage", "5", "--stop_stage", "11"
    run = run_recipe(folder, *stages, "--from_dense", str(dense), "--asr_config", AFTER, *TINY_TRAINING)
    assert run.exit_code == 0, run.output
    config = yaml.safe_load((folder / f"exp/asr_train_asr_demo_from_dense_raw_of_{dense.name}/config.yaml").read_text())
    assert config["token_list"] == yaml.safe_load((dense / "config.yaml").read_text())["token_list"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fs", "8000"], "the dense model has fs 16000: add --fs 16000"),
        (["--token_type", "bpe"], "the dense model has token_type char: add --token_type char"),
        (["--feats_normalize", "global_mvn"], "the dense model's features stay normalised as they are: leave out"),
    ],
)
def test_data_that_a_trained_dense_model_cannot_go_on_with(trained, options, message):
    dense = trained.folder / "exp/asr_train_asr_demo_dense_raw_char"
    run = run_recipe(trained.folder, "--stage", "5", "--stop_stage", "5", "--from_dense", str(dense), *options)
    assert run.exit_code == 1
    assert message in run.output and "Traceback" not in run.output


def test_transcripts_in_letters_that_the_dense_model_lacks(trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "demo")
    text = folder / "dump/raw/train/text"
    lines = [line.split(" ", 1) for line in text.read_text(encoding="utf-8").splitlines()]
    text.write_text("".join(f"{utterance} {words.upper()}\n" for utterance, words in lines), encoding="utf-8")
    dense = folder / "exp/asr_train_asr_demo_dense_raw_char"
    run = run_recipe(folder, "--stage", "5", "--stop_stage", "5", "--from_dense", str(dense))
    assert run.exit_code == 1 and "are unknown to the dense model, whose tokens stay: " in run.output
