"""A BLR-MoE model of a dense one: equal outputs whatever the routing, of every kind of dense model."""

import re

import pytest
import torch
import yaml
from dense import (
    ABSOLUTE,
    BRANCHES,
    HYBRID,
    LATEST,
    SPEECH,
    convert,
    expect_equal_outputs,
    load,
    load_dense,
    write_dense_model,
    write_statistics,
)
from espnet2.bin import asr_inference
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from tiny import CONFIG, write_model, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.espnet_internals import CONV_SUBSAMPLINGS
from espnet_blrmoe.files import from_dense
from espnet_blrmoe.files.dense_models import read_dense_config
from espnet_blrmoe.files.dense_options import blr_moe_config
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import build_asr_model, read_config
from espnet_blrmoe.model.experts import ExpertLinear

SOURCES = {
    "transformer": {},
    "transformer, linear": {"input_layer": "linear"},
    "transformer, conv1d2": {"input_layer": "conv1d2"},
    **{f"conformer, {name}": {**LATEST, "input_layer": name} for name in CONV_SUBSAMPLINGS if name != "conv1d2"},
    "conformer, legacy": {"macaron_style": True, "cnn_module_kernel": 7},
    "conformer, no convolution": {**LATEST, "use_cnn_module": False, "activation_type": "relu"},
    "conformer, absolute": {**ABSOLUTE, "selfattention_layer_type": "selfattn"},
    "e_branchformer": {**BRANCHES, "macaron_ffn": True},
    "e_branchformer, legacy": {**BRANCHES, "rel_pos_type": "legacy", "use_linear_after_conv": True},
    "e_branchformer, absolute": {**BRANCHES, **ABSOLUTE, "attention_layer_type": "selfattn", "gate_activation": "relu"},
    "e_branchformer, no feed-forward": {**BRANCHES, "use_ffn": False, "input_layer": "conv2d8"},
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_dense_model_gets_experts_and_computes_the_same(source, tmp_path):
    dense = write_dense_model(tmp_path / "dense", SOURCES[source], encoder=source.partition(",")[0])
    folder = convert(dense, tmp_path / "new")
    expect_equal_outputs(dense, folder)
    model = load(folder)
    assert model.languages == ("de", "en", "es")
    assert sum(isinstance(module, ExpertLinear) for module in model.encoder.encoders[0].modules()) == 0
    for block in model.encoder.encoders[1:]:
        assert sum(isinstance(module, ExpertLinear) for module in block.modules()) >= 2


def test_a_hybrid_model_with_global_statistics_recognises_the_same(tmp_path):
    normalize = write_statistics(tmp_path / "stats.npz")
    dense = write_dense_model(tmp_path / "dense", LATEST, encoder="conformer", **HYBRID, **normalize)
    folder = convert(dense, tmp_path / "new")
    expect_equal_outputs(dense, folder)
    old = asr_inference.Speech2Text(dense / "config.yaml", dense / "valid.loss.ave.pth", beam_size=2, maxlenratio=-3)
    (tmp_path / "stats.npz").unlink()  # the new folder has its own
    new = Speech2Text.from_pretrained(folder, beam_size=2, maxlenratio=-3)
    for speech in SPEECH.numpy():
        assert new(speech).text == old(speech)[0][0]


def test_what_is_before_and_behind_the_encoder(tmp_path):
    preencoder = {"preencoder": "linear", "preencoder_conf": {"input_size": 20, "output_size": 18}}
    postencoder = {"postencoder": "length_adaptor", "postencoder_conf": {"length_adaptor_n_layers": 1}}
    dense = write_dense_model(tmp_path / "dense", **preencoder, **postencoder)
    expect_equal_outputs(dense, convert(dense, tmp_path / "new"))


@pytest.mark.parametrize(
    ("options", "shared", "attention"),
    [
        (("--num_shared_blocks=0", "--attention_experts=qkvo"), 0, "qkvo"),
        (("--num_shared_blocks=2", "--attention_experts="), 2, ""),
        (("--ffn_experts=false", "--router=linear", "--encoder_conf=router_input=shared"), 1, "vo"),
    ],
)
def test_where_the_experts_are(options, shared, attention, tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    small = () if "--router=linear" in options else ("--encoder_conf", "router_conf.channels=8")
    folder = convert(dense, tmp_path / "new", *options, small=small)
    expect_equal_outputs(dense, folder)
    for n, block in enumerate(load(folder).encoder.encoders):
        has_experts = {name for name, module in block.named_modules() if isinstance(module, ExpertLinear)}
        expected = {"self_attn.linear_" + {"o": "out"}.get(part, part) for part in attention}
        if "--ffn_experts=false" not in options:
            expected |= {"feed_forward.w_1", "feed_forward.w_2"}
        assert has_experts == (expected if n >= shared else set())


def test_experts_of_low_rank_begin_without_a_difference(tmp_path, capsys):
    dense = write_dense_model(tmp_path / "dense")
    folder = convert(dense, tmp_path / "new", "--encoder_conf=expert_rank=4")
    expect_equal_outputs(dense, folder)
    assert re.search(r"feed_forward\.w_1\.difference\.up +2 +\S+ +fresh\n", capsys.readouterr().out)
    weights = torch.load(folder / "model.pth")
    assert weights["encoder.encoders.1.feed_forward.w_1.weight"].shape == (24, 16)
    assert not weights["encoder.encoders.1.feed_forward.w_1.difference.up"].any()


def test_experts_in_an_e_branchformers_cgmlp(tmp_path):
    dense = write_dense_model(tmp_path / "dense", BRANCHES, encoder="e_branchformer")
    folder = convert(dense, tmp_path / "new", "--encoder_conf=block_conf.cgmlp_experts=true")
    expect_equal_outputs(dense, folder)
    assert load(folder).encoder.encoders[2].cgmlp.channel_proj2.weight.shape == (3, 16, 6)


def test_a_model_of_one_language(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    folder = convert(dense, tmp_path / "new", languages="de")
    expect_equal_outputs(dense, folder)
    assert load(folder).encoder.router is None


@pytest.mark.parametrize("own", [{"languages": ["en"]}, {"attention_experts": "", "ffn_experts": False}])
def test_a_dense_model_of_this_package(own, tmp_path):
    conf = {**CONFIG["encoder_conf"], "router_input": "shared", **own}  # with the depth-wise separable front end
    files = write_model(tmp_path / "dense", encoder_conf=conf) if "ffn_experts" in own else None
    if files is None:
        files = ModelFiles(write_training_config(tmp_path / "dense", encoder_conf=conf), tmp_path / "dense/model.pth")
        torch.save(build_asr_model(read_config(files.config)).state_dict(), files.weights)
    files.weights.rename(tmp_path / "dense/valid.loss.ave.pth")
    expect_equal_outputs(tmp_path / "dense", convert(tmp_path / "dense", tmp_path / "new"))


# ------------------------------------------------------------------------------------------------ what it says and does


def test_every_parameter_is_accounted_for(tmp_path, capsys):
    dense = write_dense_model(tmp_path / "dense", **HYBRID)
    capsys.readouterr()
    folder = convert(dense, tmp_path / "new")
    printed = capsys.readouterr().out
    weights = torch.load(folder / "model.pth")
    rows = [line.split(maxsplit=3) for line in printed.splitlines() if re.search(r"(copied|fresh|experts)$", line)]
    assert sum(int(tensors) for _, tensors, *_ in rows) == len(weights)
    elements = sum(int(number.replace(",", "")) for _, _, number, _ in rows)
    assert elements == sum(value.numel() for value in weights.values())
    assert ["encoder.encoders.{1-2}.feed_forward.w_1", "4", "2,448", "copied to 3 experts"] in rows
    assert ["encoder.encoders.0.feed_forward.w_1", "2", "408", "copied"] in rows
    assert ["decoder.output_layer", "2", "119", "copied"] in rows
    assert {name.split(".")[1] for name, *_, fate in rows if fate == "fresh"} == {"language_codes", "router"}
    assert re.search(r"largest difference .* whatever the routing: \d\.\de-\d\d\n", printed)


def test_experts_take_no_memory_before_they_are_written(tmp_path):
    folder = write_dense_model(tmp_path / "dense")
    dense, config = load_dense(folder), read_dense_config(folder / "config.yaml")
    model, _ = from_dense.from_dense(dense, blr_moe_config(config, {"languages": "de,en"}))
    experts = model.encoder.encoders[2].feed_forward.w_1.weight
    assert experts.shape == (2, 24, 16)
    assert experts.data_ptr() == dense.encoder.encoders[2].feed_forward.w_1.weight.data_ptr()


def test_the_same_command_makes_the_same_model(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    first, second = (torch.load(convert(dense, tmp_path / name) / "model.pth") for name in ("a", "b"))
    assert all(first[name].equal(second[name]) for name in first.keys() | second.keys())


def test_a_training_starts_with_every_weight(tmp_path):
    folder = convert(write_dense_model(tmp_path / "dense"), tmp_path / "new")
    model = build_asr_model(read_config(folder / "config.yaml"))
    load_pretrained_model(str(folder / "model.pth"), model, ignore_init_mismatch=False)
    written = torch.load(folder / "model.pth")
    assert all(value.equal(written[name]) for name, value in model.state_dict().items())


def test_a_training_configuration_has_the_say_on_experts_and_training(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    conf = {"num_shared_blocks": 2, "router": "linear", "router_input": "shared", "dropout_rate": 0.3}
    training = {"encoder": "blr_moe", "encoder_conf": conf, "model_conf": {"lid_weight": 0.1}, "max_epoch": 7}
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(training), encoding="utf-8")
    options = "--config", str(tmp_path / "training.yaml")
    folder = convert(dense, tmp_path / "new", *options, "--attention_experts=v", small=())
    expect_equal_outputs(dense, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    expected = {**conf, "attention_experts": "v", "num_moe_blocks": 1, "output_size": 16}
    assert expected.items() <= config["encoder_conf"].items()
    assert (config["max_epoch"], config["model_conf"]) == (7, {"ctc_weight": 1.0, "lid_weight": 0.1})


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"encoder_conf": {"output_size": 32}}, "encoder_conf: output_size: 32 is not the dense model's 16, which"),
        ({"encoder_conf": {"block_type": "conformer"}}, "block_type: conformer is not the dense model's transformer"),
        ({"encoder_conf": {"num_moe_blocks": 3}}, "num_moe_blocks: 3 is not the dense model's 2"),
        ({"normalize": "utterance_mvn"}, "normalize: utterance_mvn is not the dense model's None"),
        ({"frontend_conf": {"n_fft": 512}}, "frontend_conf: n_fft: 512 is not the dense model's 128"),
        ({"decoder": "transformer"}, "decoder: transformer is not the dense model's None"),
        ({"model_conf": {"ctc_weight": 0.5}}, "decoder should not be None when attention is used"),
        ({"encoder_conf": {"block_conf": {"activation_type": "gelu"}}}, "activation_type: gelu is not the dense"),
        ({"encoder_conf": {"expert_rank": 17}}, "expert_rank is 17, but a matrix of 16 x 16 has a rank of 16 at most"),
        ({"encoder_conf": {"depth": 1}}, "unexpected keyword argument 'depth'"),
        ({"encoder_conf": 5}, "encoder_conf must be options and their values, not 5"),
        ({"model_conf": [1]}, r"model_conf must be options and their values, not \[1\]"),
        ({"encoder_conf": {"block_conf": 5}}, "encoder_conf: block_conf must be options and their values, not 5"),
        ({"encoder": "conformer"}, "encoder: conformer is not blr_moe; give the configuration of the training that"),
        ({"preprocessor": "default"}, "preprocessor: default is not blr_moe"),
        ({"max_epochs": 1}, "unrecognized arguments: max_epochs .from .*training.yaml"),
    ],
)
def test_a_training_configuration_cannot_change_the_model(training, message, tmp_path):
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(training), encoding="utf-8")
    dense = write_dense_model(tmp_path / "dense")
    with pytest.raises(SystemExit, match=f"^from_dense: .*{message}"):
        convert(dense, tmp_path / "new", "--config", str(tmp_path / "training.yaml"))
    assert not (tmp_path / "new").exists()
