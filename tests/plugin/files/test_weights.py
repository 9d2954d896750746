"""Checkpoints are read without executing anything, and mistakes are told in one sentence."""

import errno
import pickle
import zipfile

import pytest
import torch
from tiny import CONFIG, Hostile, build_model, one_sentence, write_training_config

from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model
from espnet_blrmoe.files.weights import load_weights, read_weights, with_router_of
from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_hostile_checkpoint_is_not_executed(tmp_path, write):
    path, folder = tmp_path / "model.pth", tmp_path / "made-by-the-checkpoint"
    write({"weight": Hostile(folder)}, path)
    message = one_sentence(read_weights, path)
    assert str(path) in message
    assert "weights_only" not in message  # torch's advice would execute it
    assert not folder.exists()
    torch.load(path, weights_only=False) if write is torch.save else pickle.loads(path.read_bytes())
    assert folder.exists()  # it would have been


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert "is damaged or holds more than weights" in one_sentence(read_weights, path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_checkpoint_that_is_cut_off(tmp_path, share):
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "is damaged or holds more than weights" in one_sentence(read_weights, path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "it"), "model.pth cannot be read: Permission denied"),
        (MemoryError(), "model.pth needs more memory than there is"),
    ],
)
def test_what_says_nothing_of_the_checkpoint_is_not_called_damage(tmp_path, monkeypatch, error, message):
    def fail(*args, **kwargs):
        raise error

    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pth")
    monkeypatch.setattr(torch, "load", fail)
    assert one_sentence(read_weights, tmp_path / "model.pth").endswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"frontend": "s3prl", "frontend_conf": {"fs": 8000}},
            "needs a library that cannot be imported: No module named 's3prl'",
        ),
        ({"normalize": "global_mvn", "normalize_conf": {"stats_file": "/"}}, "needs a file that cannot be read: .*'/'"),
    ],
    ids=str,
)
def test_what_is_missing_is_named(tiny_model, tmp_path, change, message):
    write_mapping(tmp_path / "config.yaml", read_mapping(tiny_model.config) | change)
    with pytest.raises(ValueError, match=f"config.yaml {message}"):
        load_asr_model(ModelFiles(tmp_path / "config.yaml", tiny_model.weights))


def test_a_missing_checkpoint(tmp_path):
    assert "model.pth does not exist; train a model first" in one_sentence(read_weights, tmp_path / "model.pth")
    assert f"{tmp_path} is a folder; train a model first" in one_sentence(read_weights, tmp_path)


@pytest.mark.parametrize("value", [{"model": {"weight": torch.ones(1)}, "epoch": 3}, [torch.ones(1)], 7])
def test_a_checkpoint_of_something_else(tmp_path, value):
    path = tmp_path / "checkpoint.pth"
    torch.save(value, path)
    assert "holds more than weights; give a model file" in one_sentence(read_weights, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"linear_units": 30}, "size mismatch for encoder"),
        ({"num_moe_blocks": 3}, r"Missing key\(s\)"),
        ({"num_moe_blocks": 1}, r"Unexpected key\(s\)"),
        ({"languages": ["en", "de", "fr"]}, "the checkpoint's languages are en,de,zh-CN, the configuration's en,de,fr"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_architecture(tiny_model, tmp_path, change, message):
    other = build_model(write_training_config(tmp_path, encoder_conf={**CONFIG["encoder_conf"], **change}))
    with pytest.raises(ValueError, match=f"does not fit the training configuration: {message}"):
        load_weights(other, tiny_model.weights)
    one_sentence(load_weights, other, tiny_model.weights)


def test_a_checkpoint_of_tensors_that_its_file_does_not_hold(tmp_path):
    torch.save({"weight": torch.zeros(1).expand(1000, 1000)}, tmp_path / "model.pth")
    assert "its tensors are larger than the file" in one_sentence(read_weights, tmp_path / "model.pth")


def test_a_compressed_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(10**6)}, tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "model.pth", "w", zipfile.ZIP_DEFLATED) as compressed,
    ):
        for name in stored.namelist():
            compressed.writestr(name, stored.read(name))
    assert "is compressed; save it as torch.save" in one_sentence(read_weights, tmp_path / "model.pth")


def test_a_checkpoint_that_fits(tiny_model):
    model = build_model(tiny_model.config, seed=1)
    weights = read_weights(tiny_model.weights)
    assert not all(value.equal(weights[name]) for name, value in model.state_dict().items())
    load_weights(model, tiny_model.weights)
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())


def test_only_the_router_is_exchanged(tiny_model):
    weights = read_weights(tiny_model.weights)
    router = build_model(tiny_model.config, seed=1).encoder.router
    exchanged = with_router_of(weights, router)
    assert list(exchanged) == list(weights)
    for name, value in exchanged.items():
        if name.startswith("encoder.router."):
            assert value.equal(router.state_dict()[name.removeprefix("encoder.router.")])
        else:
            assert value is weights[name]
    assert not exchanged["encoder.router.output.weight"].equal(weights["encoder.router.output.weight"])
