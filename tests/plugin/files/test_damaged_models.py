"""Shared models that are damaged or malformed: one sentence, and nothing left behind."""

import os
import zipfile
from pathlib import Path

import pytest
import yaml
from packed_models import expect_refusal, model_files, write_archive
from tiny import CONFIG

from espnet_blrmoe import Speech2Text

DAMAGED = {
    "end.zip": "is neither zip nor tar: cut off",
    "cut.zip": "is neither zip nor tar: cut off",
    "page.zip": "is neither zip nor tar: .* such as a web page",
    "empty.zip": "is neither zip nor tar",
    "flipped.zip": "Bad CRC-32",
    "cut.tar.gz": "ended before the end-of-stream marker|neither zip nor tar",
    "other.zip": "has no meta.yaml, and so is not a packed model",
    "list.zip": "its meta.yaml is not a configuration",
    "incomplete.zip": "meta.yaml has no yaml_files or files",
    "tts.zip": "gives 'train_config', which no packed model has",
    "configless.zip": "names no asr_train_config",
    "weightless.zip": "names 'model.pth', which it lacks",
    "config.zip": "config.yaml is not a configuration",
}


@pytest.fixture(scope="module")
def damaged(packed, tmp_path_factory) -> Path:
    """A folder with the files of DAMAGED."""
    folder = tmp_path_factory.mktemp("damaged")
    content, files = packed.read_bytes(), model_files()
    (folder / "cut.zip").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile(packed) as archive:  # cut behind its checkpoint, which is a zip too
        weights = archive.getinfo("model.pth")
        (folder / "end.zip").write_bytes(content[: weights.header_offset + weights.file_size + 100])
    (folder / "page.zip").write_text("<!DOCTYPE html><html><body>503 Service Unavailable</body></html>")
    (folder / "empty.zip").touch()
    middle = len(content) // 2
    (folder / "flipped.zip").write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    whole = write_archive(folder / "cut.tar.gz", {**files, "model.pth": os.urandom(10_000)}).read_bytes()
    (folder / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    write_archive(folder / "other.zip", {"holiday.jpg": b"picture"})
    write_archive(folder / "list.zip", {**files, "meta.yaml": b"- 1\n- 2\n"})
    write_archive(folder / "incomplete.zip", {**files, "meta.yaml": b"files: {}\n"})
    write_archive(folder / "tts.zip", model_files(meta={"yaml_files": {"train_config": "config.yaml"}, "files": {}}))
    write_archive(
        folder / "configless.zip", model_files(meta={"yaml_files": {}, "files": {"asr_model_file": "model.pth"}})
    )
    write_archive(folder / "weightless.zip", {name: files[name] for name in ("meta.yaml", "config.yaml")})
    write_archive(folder / "config.zip", model_files(config=b"no mapping"))
    return folder


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_refused_and_leaves_nothing_behind(damaged, serve, tmp_path, name):
    for place in (damaged / name, f"{serve(damaged)}/{name}"):
        expect_refusal(place, tmp_path / "cache", DAMAGED[name])


def test_a_model_that_is_not_there(serve, tmp_path):
    expect_refusal(tmp_path / "model.zip", tmp_path / "cache", "no such file")
    expect_refusal(f"{serve(tmp_path)}/model.zip", tmp_path / "cache", "404")
    expect_refusal("http://127.0.0.1:1/model.zip", tmp_path / "cache", "refused")


MALFORMED = {
    "encoder_conf: null": ({"encoder_conf": None}, "config.yaml: encoder_conf must be options and their values"),
    "model_conf: null": ({"model_conf": None}, "config.yaml: model_conf must be options and their values"),
    "frontend_conf: null": ({"frontend_conf": None}, "config.yaml: frontend_conf must be options and their values"),
    "token_list: null": ({"token_list": None}, "config.yaml: token_list must be a list of tokens"),
    "no languages": ({"encoder_conf": {}}, "config.yaml has no languages in encoder_conf"),
    "unknown option": (
        {"encoder_conf": {**CONFIG["encoder_conf"], "depth": 3}},
        "config.yaml describes no model that can be built: .*unexpected keyword argument 'depth'",
    ),
    "statistics": (
        {"normalize": "global_mvn", "normalize_conf": {"stats_file": "missing.npz"}},
        "config.yaml needs a file that cannot be read: .*No such file .*missing.npz",
    ),
    "missing pieces": ({"bpemodel": "missing.model"}, "bpemodel missing.model is missing or not a sentencepiece model"),
    "other pieces": ({"bpemodel": "meta.yaml"}, "bpemodel .*/meta.yaml is missing or not a sentencepiece model"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_configuration_is_named_in_one_sentence(tiny_model, tmp_path, name):
    change, message = MALFORMED[name]
    config = {**yaml.safe_load(tiny_model.config.read_text()), **change}
    files = {**model_files(config), "model.pth": tiny_model.weights.read_bytes()}
    archive = write_archive(tmp_path / "model.zip", files)
    with pytest.raises(ValueError, match=message) as caught:
        Speech2Text.from_pretrained(archive, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["encoder_conf", "model_conf", "frontend_conf", "token_list", "token_type"])
def test_a_configuration_that_lacks_an_option(tiny_model, tmp_path, option):
    config = yaml.safe_load(tiny_model.config.read_text())
    del config[option]
    archive = write_archive(tmp_path / "model.zip", model_files(config))
    with pytest.raises(ValueError, match=f"config.yaml has no {option}; give the config.yaml that training wrote"):
        Speech2Text.from_pretrained(archive, tmp_path / "cache")
