"""Sizes and costs from configurations alone: against counts by hand, real models and real files."""

import argparse

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import CONFIG, HOP, LANGUAGES, RATE

from espnet_blrmoe.bin import summary
from espnet_blrmoe.training.footprint import SECONDS, Footprint, as_dense, as_lr_moe, build, count, of_one_language

DEFAULTS = vars(ASRTask.get_parser().parse_args([]))


def config_of(**encoder_conf) -> dict:
    """The tiny model's complete configuration with some options of its encoder changed."""
    return {**DEFAULTS, **CONFIG, "encoder_conf": {**CONFIG["encoder_conf"], **encoder_conf}}


def test_flops_of_a_transformer_by_hand():
    features = (SECONDS * RATE - 128) // HOP + 1
    frames = (features - 7) // 4 + 1
    width, hidden, tokens, channels = 16, 24, 7, 4
    half = (features - 3) // 2 + 1  # frames after the first convolution, of 9 bins; then 4 bins
    products = (
        half * 9 * channels * 9
        + frames * 4 * channels * 9  # depth-wise
        + frames * 4 * channels * channels
        + frames * channels * 4 * width
        + 3 * frames * (4 * width * width + 2 * frames * width + 2 * width * hidden)  # blocks
        + frames * (3 * width * 8 + 3 * 8 * 8 + 8 * len(LANGUAGES))  # router
        + frames * width * tokens  # CTC
    )
    assert Footprint.of(config_of()).flops == pytest.approx(2 * products / SECONDS, rel=1e-3)


@pytest.mark.parametrize(
    "encoder_conf",
    [
        {},
        {"attention_experts": "qkvo", "block_type": "conformer"},
        {"router": "linear", "router_conf": {}, "router_input": "features", "attention_experts": ""},
        {"ffn_experts": False, "router_input": "shared"},
        {"block_type": "e_branchformer", "block_conf": {"cgmlp_experts": True}},
        {"expert_rank": 4},
    ],
)
def test_parameters_are_those_of_the_model(encoder_conf):
    config = config_of(**encoder_conf)
    model = ASRTask.build_model(argparse.Namespace(**config))
    footprint = Footprint.of(config)
    assert footprint.parameters == count(model)
    assert footprint.router == count(model.encoder.router) > 0
    router = footprint.router
    model.encoder.keep_languages(["de"])
    assert footprint.active == count(model) + router


def test_what_is_frozen_has_no_gradient():
    config = config_of(expert_rank=4)
    everything = Footprint.of(config)
    assert everything.trainable == everything.parameters
    assert everything.gradients == 4 * everything.parameters
    others = ["encoder.embed", "encoder.encoders.0", "encoder.router", "encoder.after_norm", "ctc"]
    dense_parts = ["encoder.encoders.*.weight", "encoder.encoders.*.bias"]
    learning = Footprint.of({**config, "freeze_param": [*others, *dense_parts]})
    assert learning.parameters == everything.parameters
    rows_and_columns = 2 * (16 + 16) + 2 * (16 + 24)  # v and o, the two of the feed-forward module
    assert learning.trainable == 2 * len(LANGUAGES) * 4 * rows_and_columns  # in two blocks
    assert learning.gradients == 4 * learning.trainable


def test_only_parameters_grow_with_the_number_of_languages():
    few, many = (Footprint.of(config_of(languages=[f"l{n}" for n in range(languages)])) for languages in (3, 500))
    assert many.parameters > 50 * few.parameters
    assert many.active - few.active == many.router - few.router == 497 * (8 + 1)  # classes of the router


def test_the_checkpoint_is_as_large_as_said(tmp_path):
    model = ASRTask.build_model(argparse.Namespace(**config_of(output_size=128, linear_units=256)))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    said = Footprint.of(config_of(output_size=128, linear_units=256)).checkpoint
    assert (tmp_path / "model.pth").stat().st_size == pytest.approx(said, rel=0.02)


@pytest.mark.parametrize("low_rank", [{}, {"expert_rank": 4}])
def test_equivalents(low_rank):
    config = config_of()
    changed = {**config_of(**low_rank), "freeze_param": ["encoder.embed"]}
    dense, lr_moe, blr_moe = (Footprint.of(c) for c in (as_dense(changed), as_lr_moe(changed), config))
    assert dense.trainable == dense.parameters and lr_moe.trainable == lr_moe.parameters
    assert dense.parameters == dense.active and dense.router == 0
    assert lr_moe.router == 16 * len(LANGUAGES) + len(LANGUAGES)
    assert dense.active < lr_moe.active < blr_moe.active
    assert lr_moe.active - lr_moe.router == blr_moe.active - blr_moe.router == dense.active
    assert dense.parameters < lr_moe.parameters < blr_moe.parameters
    assert dense.flops < lr_moe.flops < blr_moe.flops


def test_espnets_own_encoder():
    conf = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 3, "input_layer": "conv2d"}
    espnet = {**DEFAULTS, **CONFIG, "encoder": "transformer", "encoder_conf": conf, "model": "espnet"}
    theirs = Footprint.of(espnet)
    ours = Footprint.of(of_one_language(config_of(input_layer="conv2d")))
    assert theirs.parameters == theirs.active == ours.parameters
    assert theirs.flops == pytest.approx(ours.flops, rel=0.01)  # ESPnet may keep a frame more


def test_a_decoder_counts_in_parameters_but_not_in_flops():
    decoder = {"decoder": "transformer", "decoder_conf": {"num_blocks": 1}}
    hybrid = {**config_of(), **decoder, "model_conf": {"ctc_weight": 0.3}}
    with_decoder, without = Footprint.of(hybrid), Footprint.of(config_of())
    size = count(build(hybrid).decoder)
    assert with_decoder.parameters - without.parameters == with_decoder.active - without.active == size > 0
    assert with_decoder.flops == without.flops


def write(folder, **changes):
    """The tiny configuration as a file of the recipe is: without languages and tokens."""
    encoder_conf = {name: value for name, value in CONFIG["encoder_conf"].items() if name != "languages"}
    config = {name: value for name, value in CONFIG.items() if name != "token_list"}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**config, "encoder_conf": encoder_conf, **changes}), encoding="utf-8")
    return path


def printed(capsys, *arguments) -> list[str]:
    """Lines of the table that the program prints, below its head."""
    summary.main([str(argument) for argument in arguments])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["model", "parameters"]
    return rows


def test_one_configuration_next_to_its_equivalents(tmp_path, capsys):
    config = write(tmp_path)
    blr_moe, lr_moe, dense = printed(capsys, config, "--languages", "de,en", "--vocab", "50")
    assert blr_moe.startswith(f"{config} ")
    assert lr_moe.startswith("LR-MoE of this shape ")
    assert dense.startswith("dense, of this shape ") and " - " in dense  # no router


def test_several_configurations_and_a_trained_one(tiny_model, tmp_path, capsys):
    rows = printed(capsys, write(tmp_path), tiny_model.config)
    assert [row.split()[0] for row in rows] == [str(tmp_path / "tiny.yaml"), str(tiny_model.config)]


def test_languages_and_tokens_of_a_trained_model_are_its_own(tiny_model):
    args = summary.get_parser().parse_args([str(tiny_model.config)])
    _, config = summary.models(args)[0]
    assert config["encoder_conf"]["languages"] == list(LANGUAGES)
    assert config["token_list"] == CONFIG["token_list"]


def test_defaults_of_languages_and_tokens(tmp_path):
    args = summary.get_parser().parse_args([str(write(tmp_path))])
    _, config = summary.models(args)[0]
    assert len(config["encoder_conf"]["languages"]) == 8
    assert len(config["token_list"]) == len(set(config["token_list"])) == 5000


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"encodr": "blr_moe"}, (), "unrecognized arguments: encodr (from "),
        ({"base": "none.yaml"}, (), "tiny.yaml: base none.yaml does not exist"),
        ({"encoder_conf": {"num_block": 3}}, (), "tiny.yaml: encoder_conf: num_block: BLRMoEEncoder has no such"),
        ({"model_conf": {"ctc_weight": 0.3}}, (), "tiny.yaml has neither a decoder nor model_conf: ctc_weight"),
        ({"freeze_param": ["ctx"]}, (), "tiny.yaml: freeze_param: no parameter of the model is called ctx"),
        ({"encoder_conf": {"expert_rank": 300}}, (), "tiny.yaml: encoder_conf: expert_rank is 300, but a matrix of"),
        ({"encoder": "blr_moo"}, (), "tiny.yaml: --encoder must be one of"),
        ({}, ("--languages", "0"), "--languages must be at least 1, not 0"),
        ({}, ("--languages", "de,de"), "language 'de' is listed twice"),
        ({}, ("--vocab", "3"), "--vocab must be more than the 3 special tokens, not 3"),
    ],
)
def test_what_is_wrong_ends_in_one_sentence(tmp_path, changes, options, message):
    with pytest.raises(SystemExit) as exit:
        summary.main([str(write(tmp_path, **changes)), *options])
    assert message in exit.value.code and "\n" not in exit.value.code


def test_a_missing_file_ends_in_one_sentence():
    with pytest.raises(SystemExit) as exit:
        summary.main(["none.yaml"])
    assert exit.value.code.startswith("summary: none.yaml does not exist; give a training configuration, or the")
