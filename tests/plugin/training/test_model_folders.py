"""Every training leaves a model's folder, and can go on or be run again there."""

import argparse
import os
from pathlib import Path

import pytest
import torch
from test_training import EPOCHS, options_of
from tiny import fine_tuning_options, write_data_dir

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import add_language, asr_train, router_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.training.trainer import link_model, trained_checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Four utterances."""
    folder = write_data_dir(tmp_path_factory.mktemp("data"), ["en", "de", "zh-CN", "en"])
    (folder / "text").write_text("".join(f"utt{n} ab\n" for n in range(4)), encoding="utf-8")
    return folder


def router_options(model: ModelFiles, data: Path, output: Path, **changes) -> list[str]:
    return fine_tuning_options(model, data, output, ("wav.scp,speech,sound", "utt2lang,lid,text"), **changes)


@pytest.mark.parametrize("criterion", ["train", "valid"])
def test_an_asr_training_leaves_a_link_to_the_averaged_checkpoint_of_its_first_criterion(data, tmp_path, criterion):
    criteria = [[criterion, "loss", "min"], ["valid", "loss_ctc", "min"]]
    asr_train.main(options_of(data, tmp_path / "asr", best_model_criterion=criteria))
    assert os.readlink(tmp_path / "asr/model.pth") == f"{criterion}.loss.ave.pth"
    moved = (tmp_path / "asr").rename(tmp_path / "moved")
    assert Speech2Text.from_pretrained(moved).languages == ("en", "de", "zh-CN")


def test_without_an_averaged_checkpoint_it_is_the_best_one(tmp_path, caplog):
    args = argparse.Namespace(output_dir=str(tmp_path), best_model_criterion=[["valid", "loss", "min"]], dry_run=False,
                              collect_stats=False, dist_rank=None, dist_launcher=None)  # fmt: skip
    link_model(trained_checkpoint(args))  # no epoch was better than none: all losses were NaN
    assert "valid.loss.best.pth; no link is made from model.pth" in caplog.text and not list(tmp_path.iterdir())
    (tmp_path / "valid.loss.best.pth").touch()
    link_model(trained_checkpoint(args))
    assert os.readlink(tmp_path / "model.pth") == "valid.loss.best.pth"


def test_the_link_follows_a_training_that_goes_on(data, tmp_path):
    asr_train.main(options_of(data, tmp_path / "asr"))
    before = read_weights(tmp_path / "asr/model.pth")
    asr_train.main(options_of(data, tmp_path / "asr", max_epoch=EPOCHS + 2))
    after = read_weights(tmp_path / "asr/model.pth")
    assert any(not after[name].equal(value) for name, value in before.items())


def test_a_file_of_that_name_is_not_replaced_by_a_link(data, tmp_path, caplog):
    (tmp_path / "asr").mkdir()
    (tmp_path / "asr/model.pth").write_text("something")
    asr_train.main(options_of(data, tmp_path / "asr", max_epoch=1))
    assert (tmp_path / "asr/model.pth").read_text() == "something"
    assert "model.pth is a file already; no link is made" in caplog.text


@pytest.mark.parametrize("option", ["dry_run", "collect_stats"])
def test_no_model_is_left_where_nothing_was_trained(tiny_model, data, tmp_path, option):
    asr_train.main([*options_of(data, tmp_path / "asr"), f"--{option}=true"])
    router_train.main([*router_options(tiny_model, data, tmp_path / "router"), f"--{option}=true"])
    assert not list(tmp_path.rglob("model.pth"))
    assert (tmp_path / "router/train/speech_shape").is_file() == (option == "collect_stats")  # where ESPnet has it


def test_a_router_training_goes_on_from_its_checkpoint(tiny_model, data, tmp_path):
    options = {"optim": "sgd", "resume": True}
    router_train.main(router_options(tiny_model, data, tmp_path / "once", max_epoch=3, **options))
    for epochs in (2, 3, 3):  # the last time, nothing is left to train
        router_train.main(router_options(tiny_model, data, tmp_path / "again", max_epoch=epochs, **options))
    once, again = (read_weights(tmp_path / name / "model.pth") for name in ("once", "again"))
    torch.testing.assert_close(again, once, rtol=0, atol=0)
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["config.yaml", "model.pth", "training"]


def test_a_router_training_names_a_checkpoint_that_is_cut_off(tiny_model, data, tmp_path):
    options = router_options(tiny_model, data, tmp_path / "router", max_epoch=1, resume=True)
    router_train.main(options)
    checkpoint = tmp_path / "router/training/checkpoint.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(SystemExit, match=f"^router_train: {checkpoint} is damaged or cut off; .*, or remove it to"):
        router_train.main(options)


def test_a_router_training_may_be_run_again_from_the_start(tiny_model, data, tmp_path):
    for seed in (0, 0, 1):
        router_train.main(router_options(tiny_model, data, tmp_path / "router", seed=seed))
    whole = ModelFiles.of_folder(tmp_path / "router")
    assert Speech2Text(whole.config, whole.weights).languages == ("en", "de", "zh-CN")


@pytest.mark.parametrize("program", [router_train, add_language])
def test_the_trained_model_is_not_overwritten_by_its_part(tiny_model, data, program):
    folder = tiny_model.config.parent
    before = tiny_model.config.read_bytes(), tiny_model.weights.read_bytes()
    language = ["--language=fr"] if program is add_language else []
    with pytest.raises(SystemExit, match="is the folder of the trained model|config.yaml exists already"):
        program.main(["--model", str(folder), f"--output_dir={folder}", *language])
    assert (tiny_model.config.read_bytes(), tiny_model.weights.read_bytes()) == before
    assert not (folder / "training").exists()


@pytest.mark.parametrize("program", [router_train, add_language])
def test_without_audio_nothing_is_trained(tiny_model, tmp_path, program):
    language = ["--language=fr"] if program is add_language else []
    with pytest.raises(SystemExit, match="no audio; add --train_data_path_and_name_and_type"):
        program.main(["--model", str(tiny_model.config.parent), f"--output_dir={tmp_path / 'out'}", *language])
    assert not (tmp_path / "out").exists()
