"""Dense models as they are found: with files of their own, of either release of ESPnet, in half precision, packed."""

import io
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
import yaml
from dense import (
    ENCODER,
    HYBRID,
    LATEST,
    SPEECH,
    change_config,
    convert,
    expect_equal_outputs,
    write_dense_model,
    write_statistics,
)
from espnet2.bin import asr_inference
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from packed_models import model_files, write_archive
from tiny import CONFIG

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.espnet_internals import CONV_SUBSAMPLINGS
from espnet_blrmoe.files.trained_model import read_config


def test_files_that_the_configuration_names_come_along(tmp_path, monkeypatch):
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a quick brown fox jumps over the lazy dog"] * 3),
        model_writer=pieces, vocab_size=40, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    recipe = tmp_path / "recipe"
    (recipe / "data").mkdir(parents=True)
    (recipe / "data/bpe.model").write_bytes(pieces.getvalue())
    monkeypatch.chdir(recipe)  # as ESPnet's recipes do; their paths are relative
    normalize = write_statistics(Path("data/stats.npz"))
    write_dense_model(Path("exp/dense"), token_type="bpe", bpemodel="data/bpe.model", **HYBRID, **normalize)
    monkeypatch.chdir(tmp_path)
    folder = convert(recipe / "exp/dense", tmp_path / "new")
    monkeypatch.chdir(recipe)
    expect_equal_outputs(Path("exp/dense"), folder)
    search = {"beam_size": 2, "maxlenratio": -3}
    old = asr_inference.Speech2Text("exp/dense/config.yaml", "exp/dense/valid.loss.ave.pth", **search)
    expected = [old(speech)[0][0] for speech in SPEECH.numpy()]
    shutil.rmtree("data")  # the new folder has its own
    new = Speech2Text.from_pretrained(folder, **search)
    assert [new(speech).text for speech in SPEECH.numpy()] == expected
    assert (folder / "bpe.model").read_bytes() == pieces.getvalue()
    with pytest.raises(SystemExit, match="config.yaml: bpemodel: data/bpe.model does not exist"):
        convert(recipe / "exp/dense", tmp_path / "other")


@pytest.mark.parametrize("input_layer", CONV_SUBSAMPLINGS)
def test_a_checkpoint_of_either_release_of_espnet(input_layer, tmp_path):
    dense = write_dense_model(tmp_path / "dense", {"input_layer": input_layer})
    weights = torch.load(dense / "valid.loss.ave.pth")
    here, there = ("out.0", "out") if "encoder.embed.out.0.weight" in weights else ("out", "out.0")
    others = {name.replace(f"embed.{here}.", f"embed.{there}."): value for name, value in weights.items()}
    assert others.keys() != weights.keys()
    shutil.copytree(dense, tmp_path / "other")
    torch.save(others, tmp_path / "other/valid.loss.ave.pth")
    expect_equal_outputs(dense, convert(tmp_path / "other", tmp_path / "new"))


def test_a_configuration_of_an_older_or_newer_espnet(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    shutil.copytree(dense, tmp_path / "other")
    encoder_conf = {**ENCODER, "use_sdpa": True, "layer_drop_rate": 0.1}
    dropped = dict.fromkeys(("model", "preencoder", "preencoder_conf", "preprocessor", "preprocessor_conf"))
    change_config(tmp_path / "other", encoder_conf=encoder_conf, a_new_option=1, **dropped)
    expect_equal_outputs(dense, convert(tmp_path / "other", tmp_path / "new"))


def test_a_token_that_is_a_kind_of_space(tmp_path):
    tokens = [*CONFIG["token_list"][:-1], "\u3000", "<sos/eos>"]
    dense = write_dense_model(tmp_path / "dense", token_list=tokens)
    (tmp_path / "tokens.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    folder = convert(dense, tmp_path / "new", "--token_list", str(tmp_path / "tokens.txt"))
    assert read_config(folder / "config.yaml")["token_list"] == tokens


def test_half_precision_becomes_single(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    weights = torch.load(dense / "valid.loss.ave.pth")
    torch.save({name: value.half() for name, value in weights.items()}, dense / "valid.loss.ave.pth")
    folder = convert(dense, tmp_path / "new")
    expect_equal_outputs(dense, folder)
    assert {value.dtype for value in torch.load(folder / "model.pth").values()} == {torch.float32}


def test_a_shared_dense_model(tmp_path, monkeypatch):
    dense = write_dense_model(tmp_path / "dense")
    symbols = {"non_linguistic_symbols": "data/nlsyms.txt"}  # a file that comes along
    change_config(dense, **symbols)
    content = {**model_files((dense / "config.yaml").read_bytes()), "data/nlsyms.txt": b"<laugh>\n"}
    content["model.pth"] = (dense / "valid.loss.ave.pth").read_bytes()
    archive = write_archive(tmp_path / "dense.zip", content)
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    folder = convert(archive, tmp_path / "new", model="--model_tag")
    expect_equal_outputs(dense, folder)
    assert (folder / "non_linguistic_symbols.txt").read_bytes() == b"<laugh>\n"


def test_what_matters_in_training_only_is_left_out_and_named(tmp_path, capsys):
    conf = {**LATEST, "interctc_layer_idx": [1], "stochastic_depth_rate": 0.1, "max_pos_emb_len": 9000}
    model_conf = {"ctc_weight": 1.0, "interctc_weight": 0.3}
    dense = write_dense_model(tmp_path / "dense", conf, encoder="conformer", model_conf=model_conf)
    capsys.readouterr()
    folder = convert(dense, tmp_path / "new")
    printed = capsys.readouterr().out
    for option in ("interctc_layer_idx: [1]", "stochastic_depth_rate: 0.1", "interctc_weight: 0.3"):
        assert f"left out, since it matters in training only: {option}\n" in printed
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model_conf"] == {"ctc_weight": 1.0}
    assert not {"interctc_layer_idx", "stochastic_depth_rate", "max_pos_emb_len"} & config["encoder_conf"].keys()
