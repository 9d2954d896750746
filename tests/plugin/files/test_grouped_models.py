"""Models in which languages share an expert: every program that writes, reads or describes models."""

import re

import numpy as np
import onnxruntime
import pytest
import yaml
from dense import convert, load, write_dense_model
from packed_models import pack_model
from test_from_dense import expect_equal_outputs
from tiny import CONFIG, LANGUAGES, one_sentence, speech_of, write_data_dir, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import export_onnx, prune_experts, router_eval, summary
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model
from espnet_blrmoe.files.weights import read_weights

FAR = {"far": ["en", "zh-CN"]}  # the first and the last language
SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0))]
EXPERTS = "encoder.encoders.1.feed_forward.w_1.weight"  # (experts, ...)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory) -> ModelFiles:
    encoder_conf = {**CONFIG["encoder_conf"], "experts": FAR}
    return write_model(tmp_path_factory.mktemp("grouped") / "asr", encoder_conf=encoder_conf)


def prune(model: ModelFiles, languages: str, folder) -> ModelFiles:
    prune_experts.main([f"--model={model.config.parent}", f"--languages={languages}", f"--output_dir={folder}"])
    return ModelFiles.in_folder(folder)


def encoder_conf_of(model: ModelFiles) -> dict:
    return yaml.safe_load(model.config.read_text(encoding="utf-8"))["encoder_conf"]


@pytest.mark.parametrize(
    ("languages", "experts", "left"),
    [
        ("en,de,zh-CN", 2, FAR),
        ("en,zh-CN", 1, FAR),  # one expert, and a router
        ("de,zh-CN", 2, {"far": ["zh-CN"]}),  # whose order is now another
        ("zh-CN", 1, {"far": ["zh-CN"]}),
        ("de", 1, None),
    ],
)
def test_a_pruned_model_keeps_the_experts_that_a_language_still_has(grouped, tmp_path, languages, experts, left):
    pruned = prune(grouped, languages, tmp_path / "pruned")
    assert len(read_weights(pruned.weights)[EXPERTS]) == experts
    assert encoder_conf_of(pruned).get("experts") == left
    results = Speech2Text(pruned.config, pruned.weights, beam_size=1).batch(SPEECHES)
    expected = Speech2Text(grouped.config, grouped.weights, languages, beam_size=1).batch(SPEECHES)
    for result, whole in zip(results, expected):
        assert (result.text, result.language, result.timeline) == (whole.text, whole.language, whole.timeline)
    assert {code for result in results for code in result.frames} == set(languages.split(","))


def test_a_packed_model_is_fetched_with_its_groups(grouped, tmp_path):
    archive = pack_model(grouped, tmp_path / "model.zip")
    speech2text = Speech2Text.from_pretrained(archive, tmp_path / "cache", beam_size=1)
    assert str(speech2text.asr_model.encoder.groups) == "far (en, zh-CN), de"
    own = Speech2Text(grouped.config, grouped.weights, beam_size=1)
    assert [result.timeline for result in speech2text.batch(SPEECHES)] == [r.timeline for r in own.batch(SPEECHES)]


def test_routers_are_scored_by_language(grouped, tmp_path, capsys):
    data = write_data_dir(tmp_path / "data", list(LANGUAGES) * 2)
    router_eval.main([f"--model={grouped.config.parent}", f"--data_dir={data}"])
    assert " 6 " in capsys.readouterr().out


def test_int8_is_close(grouped, tmp_path):
    export_onnx.main([f"--model={grouped.config.parent}", f"--output_dir={tmp_path / 'onnx'}", "--quantize"])
    whole, small = (
        onnxruntime.InferenceSession(tmp_path / "onnx" / name, providers=["CPUExecutionProvider"])
        for name in ("model.onnx", "model.int8.onnx")
    )
    for weights in ([0.0, 0.0, 0.0], [-np.inf, 0.0, -np.inf], [0.0, -np.inf, 0.0]):
        inputs = {"speech": SPEECHES[2][None], "language_log_weights": np.array(weights, np.float32)}
        (log_probs, _, expert), (log_probs8, _, expert8) = (session.run(None, inputs) for session in (whole, small))
        assert (expert == expert8).mean() > 0.95
        assert np.abs(log_probs - log_probs8).mean() < 0.02


@pytest.mark.parametrize("rank", [None, 4])
def test_a_dense_model_gets_experts_that_languages_share(tmp_path, rank):
    dense = write_dense_model(tmp_path / "dense")
    options = ["--encoder_conf", "experts.west=[de,en]", *(["--encoder_conf", f"expert_rank={rank}"] if rank else [])]
    folder = convert(dense, tmp_path / "new", *options)
    expect_equal_outputs(dense, folder)
    model = load(folder)
    assert str(model.encoder.groups) == "west (de, en), es"
    assert {len(value) for name, value in model.state_dict().items() if name.endswith((".up", ".down"))} == (
        {2} if rank else set()
    )


def test_a_model_whose_languages_share_one_expert_is_a_dense_one(grouped, tmp_path):
    pruned = prune(grouped, "en,zh-CN", tmp_path / "pruned")
    new = ModelFiles.in_folder(convert(tmp_path / "pruned", tmp_path / "new"))
    assert len(read_weights(new.weights)[EXPERTS]) == 3
    texts = [
        [result.text for result in Speech2Text(own.config, own.weights, beam_size=1).batch(SPEECHES)]
        for own in (pruned, new)
    ]
    assert texts[0] == texts[1]
    with pytest.raises(SystemExit, match="the model has experts already"):
        convert(grouped.config.parent, tmp_path / "more")


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (["en", "de"], "describes no model that can be built: encoder_conf: experts must be groups by name"),
        ({"far": ["en", "fr"]}, "describes no model that can be built: .*'far': unknown language 'fr'"),
        ({"near": ["en", "de"]}, "the checkpoint's languages are en of far,de,zh-CN of far, the conf.* en of near,"),
        (None, "does not fit the training configuration: .*the checkpoint's languages are en of far,de,zh-CN of far"),
    ],
)
def test_a_configuration_with_other_groups_is_refused(grouped, tmp_path, experts, message):
    config = yaml.safe_load(grouped.config.read_text(encoding="utf-8"))
    config["encoder_conf"]["experts"] = experts
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    refusal = one_sentence(load_asr_model, ModelFiles(tmp_path / "config.yaml", grouped.weights))
    assert re.search(message, refusal), refusal


def test_from_dense_refuses_groups_that_do_not_fit(tmp_path):
    dense = write_dense_model(tmp_path / "dense")
    with pytest.raises(SystemExit, match="^from_dense: .*encoder_conf: experts: 'west': unknown language 'fr'"):
        convert(dense, tmp_path / "new", "--encoder_conf", "experts.west=[de,fr]")
    assert not (tmp_path / "new").exists()


def test_the_summary_says_who_shares_and_what_that_saves(grouped, tiny_model, capsys):
    summary.main([str(grouped.config)])
    head, ours, lr_moe, dense, *sharing = capsys.readouterr().out.splitlines()
    assert sharing == [f"{grouped.config}: 2 experts for 3 languages: far (en, zh-CN), de"]
    summary.main([str(grouped.config), str(tiny_model.config)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:3]]
    assert float(rows[0][1]) < float(rows[1][1])  # parameters
    assert rows[0][3] == rows[1][3]  # active
