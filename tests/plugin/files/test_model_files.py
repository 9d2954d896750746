"""One folder is a model: programs and Python take it, and say what is wrong with one that is not."""

import argparse
import shutil

import pytest
from tiny import one_sentence, speech_of

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import read_config


def options(**given) -> argparse.Namespace:
    return argparse.Namespace(**{"model": None, "asr_train_config": None, "asr_model_file": None, **given})


def test_a_folder_is_a_model(tiny_model):
    folder = tiny_model.config.parent
    assert ModelFiles.of_folder(folder) == ModelFiles.of_options(options(model=str(folder))) == tiny_model
    assert ModelFiles.of_options(options(**tiny_model.as_options())) == tiny_model
    speech = speech_of(1.3, seed=0)
    expected = Speech2Text(tiny_model.config, tiny_model.weights)(speech)
    for place in (folder, str(folder), f"{folder}/"):
        assert Speech2Text.from_pretrained(place, languages="en,de,zh-CN")(speech).text == expected.text


def test_a_folder_that_is_not_a_model(tiny_model, tmp_path):
    missing, file, folder = tmp_path / "missing", tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    assert one_sentence(ModelFiles.of_folder, missing).startswith(f"{missing} does not exist; give the folder with")
    assert one_sentence(ModelFiles.of_folder, file).startswith(f"{file} is a file; give the folder with a model's")
    assert one_sentence(ModelFiles.of_folder, folder) == f"{folder} has no config.yaml, and so is not a model's folder"
    shutil.copy(tiny_model.config, folder)
    assert one_sentence(ModelFiles.of_folder, folder) == (
        f"{folder} has no model.pth; train the model first, or give another folder"
    )
    for name in ("valid.loss.best.pth", "valid.loss.ave.pth", "checkpoint.pth", "3epoch.pth"):
        (folder / name).touch()
    assert one_sentence(ModelFiles.of_folder, folder) == (
        f"{folder} has no model.pth; training has left valid.loss.ave.pth, valid.loss.best.pth there: give one of them "
        f"by --asr_train_config {folder}/config.yaml --asr_model_file {folder}/valid.loss.ave.pth"
    )
    with pytest.raises(ValueError, match="has no model.pth"):
        Speech2Text.from_pretrained(folder)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"asr_train_config": "c"},
        {"asr_model_file": "m"},
        {"model": "folder", "asr_train_config": "c", "asr_model_file": "m"},
        {"model": "folder", "asr_model_file": "m"},
    ],
    ids=str,
)
def test_options_name_one_model(given):
    ways = "give --model FOLDER, or --asr_train_config FILE and --asr_model_file FILE"
    assert one_sentence(ModelFiles.of_options, options(**given)) == ways
    ways += ", or --model_tag MODEL; only one"
    assert one_sentence(ModelFiles.of_options, options(**given, model_tag=None)) == ways


def test_a_missing_configuration(tmp_path):
    assert f"{tmp_path} is a folder; give the config.yaml" in one_sentence(read_config, tmp_path)
    assert "config.yaml does not exist; give the config.yaml" in one_sentence(read_config, tmp_path / "config.yaml")
