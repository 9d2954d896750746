"""A training that is killed or runs out of disk goes on as if nothing had happened; what batches may be split into."""

import argparse
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny import CONFIG, LANGUAGES, RATE, batch_of, build_model, write_data_dir, write_training_config

from espnet_blrmoe.bin.asr_train import main
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.labels import check_labels

KILLED_TRAINING = Path(__file__).with_name("killed_training.py")
EPOCHS = 3
NO_DROPOUT = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
OPTIONS = {
    **CONFIG,
    "allow_variable_data_keys": True,
    "resume": True,
    "max_epoch": EPOCHS,
    "batch_type": "unsorted",
    "batch_size": 4,
    "optim": "sgd",
    "optim_conf": {"lr": 0.01},
    "best_model_criterion": [["valid", "loss", "min"]],
    "log_level": "WARNING",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Eight utterances: two batches of four."""
    folder = write_data_dir(tmp_path_factory.mktemp("data"), [LANGUAGES[n % len(LANGUAGES)] for n in range(8)])
    (folder / "text").write_text("".join(f"utt{n} {'abc'[n % 3:]}\n" for n in range(8)), encoding="utf-8")
    return folder


def options_of(data: Path, output: Path, **changes) -> list[str]:
    """Command line of a training; all of it is in one configuration, but for the folder."""
    tables = [[str(data / name), *kind] for name, *kind in
              (("wav.scp", "speech", "sound"), ("text", "text", "text"), ("utt2lang", "lid", "text"))]  # fmt: skip
    parts = {}
    for part in ("train", "valid"):
        parts[f"{part}_data_path_and_name_and_type"] = tables
        parts[f"{part}_shape_file"] = [str(data / "utt2num_samples")]
    config = output.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({**OPTIONS, **parts, **changes}), encoding="utf-8")
    return ["--config", str(config), "--output_dir", str(output)]


def last_weights(output: Path) -> dict[str, torch.Tensor]:
    return read_weights(output / f"{EPOCHS}epoch.pth")


def train(data: Path, output: Path, **changes) -> dict[str, torch.Tensor]:
    main(options_of(data, output, **changes))
    return last_weights(output)


def without_dropout() -> dict:
    router_conf = {**CONFIG["encoder_conf"]["router_conf"], "dropout_rate": 0.0}
    return {"encoder_conf": {**CONFIG["encoder_conf"], **NO_DROPOUT, "router_conf": router_conf}}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> dict[str, torch.Tensor]:
    """Weights after a training with dropout."""
    return train(data, tmp_path_factory.mktemp("undisturbed") / "asr")


# ---------------------------------------------------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("utt0 en\r\nutt1\tfr\r\n", "{valid}/utt2lang: utterance utt1 has language 'fr', but this training is of en"),
        (None, "the utterances have no languages; add --valid_data_path_and_name_and_type FOLDER/utt2lang,lid,text"),
    ],
)
def test_languages_of_validation_are_checked_before_the_training(data, tmp_path, monkeypatch, labels, message):
    monkeypatch.setattr(BLRMoETask, "main_worker", lambda args: pytest.fail("it has started to train"))
    valid = [[str(data / name), *kind] for name, *kind in
             (("wav.scp", "speech", "sound"), ("text", "text", "text"))]  # fmt: skip
    if labels:
        (tmp_path / "utt2lang").write_text(labels, encoding="utf-8", newline="")
        valid.append([str(tmp_path / "utt2lang"), "lid", "text"])
    with pytest.raises(SystemExit) as ended:
        main(options_of(data, tmp_path / "asr", valid_data_path_and_name_and_type=valid))
    assert str(ended.value).startswith("asr_train: error: " + message.format(valid=tmp_path))


def test_languages_of_a_training_set_in_parts(tmp_path):
    for n, language in enumerate(("en", "fr")):
        (tmp_path / f"split.{n}").write_text(f"utt{n} {language}\n", encoding="utf-8")
    (tmp_path / "num_splits").write_text("2")
    data = {"train_data_path_and_name_and_type": [(str(tmp_path), "lid", "text")],
            "valid_data_path_and_name_and_type": []}  # fmt: skip
    with pytest.raises(ValueError, match="split.1: utterance utt1 has language 'fr'"):
        check_labels(argparse.Namespace(**data), ["en"])


# ------------------------------------------------------------------------------------------------------------- resume


def test_the_training_is_repeatable_and_moves_the_weights(data, tmp_path, undisturbed):
    assert_identical(train(data, tmp_path / "again"), undisturbed)
    other = train(data, tmp_path / "other", seed=1)
    assert any(not other[name].equal(value) for name, value in undisturbed.items())


def assert_identical(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(weights, expected, rtol=0.0, atol=0.0)


def test_clips_shorter_than_a_frame(data, tmp_path):
    short = shutil.copytree(data, tmp_path / "data")
    paths = [short / f"utt{n}.wav" for n in range(8)]
    for path, samples in zip(paths, (1, 240)):
        soundfile.write(path, np.full(samples, 0.1), RATE)
    (short / "wav.scp").write_text("".join(f"{path.stem} {path}\n" for path in paths), encoding="utf-8")
    assert all(value.isfinite().all() for value in train(short, tmp_path / "asr").values())


def test_resumed_after_kill_9_in_the_middle_of_an_epoch_the_weights_are_identical(data, tmp_path, undisturbed):
    options = options_of(data, tmp_path / "asr")
    assert subprocess.run([sys.executable, str(KILLED_TRAINING), *options]).returncode == -signal.SIGKILL
    assert (tmp_path / "asr/1epoch.pth").exists() and not (tmp_path / "asr/2epoch.pth").exists()
    assert_identical(train(data, tmp_path / "asr"), undisturbed)


@pytest.mark.parametrize("file", ["checkpoint.pth", "2epoch.pth"])  # in the order in which ESPnet saves them
def test_resumed_after_a_full_disk_the_weights_are_identical(data, tmp_path, undisturbed, monkeypatch, file):
    save = torch.save

    def full_disk(obj: dict, path: str, *args, **kwargs) -> None:
        save(obj, path, *args, **kwargs)
        if (tmp_path / "asr/1epoch.pth").exists() and Path(path).name.startswith(file):
            os.truncate(path, Path(path).stat().st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(torch, "save", full_disk)
    sentence = mistake_of(train, data, tmp_path / "asr")
    assert sentence.startswith(f"asr_train: error: {tmp_path / 'asr' / file}") and "No space left" in sentence
    assert torch.save is full_disk
    monkeypatch.undo()
    assert not (tmp_path / "asr/2epoch.pth").exists()
    assert_identical(train(data, tmp_path / "asr"), undisturbed)
    assert {path.name for path in (tmp_path / "asr").glob("*.unfinished")} == set()


@pytest.mark.parametrize("size", [0, 100, -4096, -1])
def test_a_checkpoint_that_is_cut_off_is_named(data, tmp_path, size):
    train_an_epoch(data, tmp_path / "asr")
    checkpoint = tmp_path / "asr/checkpoint.pth"
    cut_off(checkpoint, size)
    assert mistake_of(train_an_epoch, data, tmp_path / "asr") == (
        f"asr_train: error: {checkpoint} is damaged or cut off; put a whole copy in its place, or remove it to train "
        "from the first epoch on"
    )
    checkpoint.unlink()
    train_an_epoch(data, tmp_path / "asr")


def train_an_epoch(data: Path, output: Path, **changes) -> None:
    main(options_of(data, output, **{"max_epoch": 1, **changes}))


def cut_off(path: Path, size: int) -> None:
    """Keep the first `size` bytes; where it is negative, all but the last ones."""
    path.write_bytes(path.read_bytes()[:size])


def mistake_of(call, *arguments, **options) -> str:
    """The sentence that the program ends with, exit code 1."""
    with pytest.raises(SystemExit) as ended:
        call(*arguments, **options)
    assert "\n" not in ended.value.code
    return ended.value.code


def test_a_checkpoint_of_another_model_is_named(data, tmp_path):
    train_an_epoch(data, tmp_path / "asr")
    other = {"encoder_conf": {**CONFIG["encoder_conf"], "linear_units": 30}}
    message = mistake_of(train_an_epoch, data, tmp_path / "asr", **other)
    assert message.startswith(f"asr_train: error: {tmp_path / 'asr/checkpoint.pth'} is not of this training: Error(s)")
    assert "size mismatch" in message and message.endswith("or remove it to train from the first epoch on")
    torch.save({"weight": torch.ones(1)}, tmp_path / "asr/checkpoint.pth")
    assert "checkpoint.pth is not of this training" in mistake_of(train_an_epoch, data, tmp_path / "asr")


def test_other_files_of_a_training_that_are_cut_off_are_named(data, tmp_path):
    train_an_epoch(data, tmp_path / "asr", max_epoch=2)
    epoch = tmp_path / "asr/1epoch.pth"
    cut_off(epoch, -100)
    reason = "is damaged or cut off; put a whole copy in its place"
    averaged = {"max_epoch": 3, "keep_nbest_models": 3}
    assert mistake_of(train_an_epoch, data, tmp_path / "asr", **averaged) == f"asr_train: error: {epoch} {reason}"
    begun = mistake_of(train_an_epoch, data, tmp_path / "other", init_param=[str(epoch)])
    assert begun == f"asr_train: error: {epoch} {reason}"


def test_torchrun_restarts_two_processes_after_kill_9(data, tmp_path):
    """Their weights are those of one process with the same batches, but for rounding."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max_restarts=1"]
    options = ["--multiprocessing_distributed", "false", "--dist_backend", "gloo"]
    done = subprocess.run(
        [*command, str(KILLED_TRAINING), *options_of(data, tmp_path / "two", **without_dropout()), *options],
        env={**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},  # as run.sh does
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "failed (exitcode: -9) local_rank: 1" in done.stdout
    one = train(data, tmp_path / "one", **without_dropout())
    torch.testing.assert_close(last_weights(tmp_path / "two"), one, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ batches


def test_accumulated_gradients_are_those_of_the_whole_batch(data, tmp_path):
    whole = train(data, tmp_path / "whole", batch_size=8, **without_dropout())
    halves = train(data, tmp_path / "halves", batch_size=4, accum_grad=2, **without_dropout())
    torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-5)
    half = train(data, tmp_path / "half", batch_size=4, **without_dropout())  # two updates an epoch instead
    assert any(not torch.allclose(half[name], value, rtol=1e-3, atol=1e-4) for name, value in whole.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_step_in_half_precision_is_that_in_float32_but_for_its_precision(tmp_path, dtype):
    """ESPnet's use_amp does nothing on a CPU; on a GPU it puts the same model under autocast."""
    config = write_training_config(tmp_path, **without_dropout())
    losses, gradients = {}, {}
    for enabled in (False, True):
        model = build_model(config)
        with torch.autocast("cpu", dtype, enabled=enabled):
            losses[enabled] = model(**batch_of(["en", "de", "zh-CN"]))[0]
        losses[enabled].backward()
        assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
        gradients[enabled] = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert losses[True] != losses[False]
    assert losses[True].item() == pytest.approx(losses[False].item(), rel=0.02)
    assert torch.cosine_similarity(gradients[True], gradients[False], dim=0) > 0.99
