"""Decoding takes the folder of a model, a BLR-MoE one or another, and decodes utterances whole."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import CONFIG, RATE, speech_of

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference, asr_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.tables import read_table


@pytest.fixture
def data(tmp_path) -> Path:
    """An utterance that is longer than Speech2Text's chunks are by default."""
    soundfile.write(tmp_path / "utt0.wav", speech_of(12.0, seed=0), RATE, subtype="FLOAT")
    (tmp_path / "wav.scp").write_text(f"utt0 {tmp_path / 'utt0.wav'}\n", encoding="utf-8")
    return tmp_path


def decode(model: Path, data: Path) -> str:
    """The text of the utterance."""
    arguments = ["--model", str(model), "--beam_size", "1", "--ctc_weight", "1.0", "--output_dir", str(data / "out")]
    asr_inference.main([*arguments, "--data_path_and_name_and_type", f"{data / 'wav.scp'},speech,sound"])
    return (data / "out/1best_recog/text").read_text(encoding="utf-8").partition(" ")[2].strip()


def test_the_beam_of_a_ctc_model_is_its_best_path(tiny_model, data):
    command = ["--model", str(tiny_model.config.parent), "--output_dir", str(data / "out")]
    asr_inference.main([*command, "--data_path_and_name_and_type", f"{data / 'wav.scp'},speech,sound"])
    text = (data / "out/1best_recog/text").read_text(encoding="utf-8").partition(" ")[2].strip()
    assert text == Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=30)(data / "utt0.wav").text != ""


def test_utterances_are_decoded_whole(tiny_model, data):
    whole, cut = (Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=longest) for longest in (30, 5))
    expected = whole(data / "utt0.wav").text
    assert expected != cut(data / "utt0.wav").text
    assert decode(tiny_model.config.parent, data) == expected


def test_utterances_without_speech_have_a_line_in_every_table(tiny_model, data):
    soundfile.write(data / "utt1.wav", 0.05 * np.random.default_rng(0).standard_normal(2 * RATE), RATE)
    (data / "wav.scp").write_text(f"utt0 {data / 'utt0.wav'}\nutt1 {data / 'utt1.wav'}\n", encoding="utf-8")
    assert decode(tiny_model.config.parent, data)
    expected = {"text": "", "token": "", "lang": "zxx 0.0000", "timeline": "[]", "expert_frames": "en:0 de:0 zh-CN:0"}
    tables = {name: read_table(data / "out/1best_recog" / name) for name in expected}
    assert {name: table["utt1"] for name, table in tables.items()} == expected
    assert tables["lang"]["utt0"].split()[0] in ("en", "de", "zh-CN")


def test_the_folder_of_another_kind_of_model(data):
    dense = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 1}
    options = {"encoder": "transformer", "encoder_conf": dense, "model": "espnet", "preprocessor": "default"}
    folder = write_other_model(data / "dense", **options)
    assert set(decode(folder, data)) <= set("abc <unk>")
    (folder / "model.pth").unlink()
    with pytest.raises(SystemExit, match="^asr_inference: .*dense has no model.pth; train the model first"):
        decode(folder, data)


def write_other_model(folder: Path, **options) -> Path:
    """A model that is not a BLR-MoE, with random weights."""
    folder.mkdir()
    (folder / "options.yaml").write_text(yaml.safe_dump({**CONFIG, **options}), encoding="utf-8")
    asr_train.main(["--config", str(folder / "options.yaml"), "--output_dir", str(folder), "--dry_run", "true"])
    files = ModelFiles.in_folder(folder)
    config = yaml.safe_load(files.config.read_text(encoding="utf-8"))
    torch.save(ASRTask.build_model(argparse.Namespace(**config)).state_dict(), files.weights)
    return folder
