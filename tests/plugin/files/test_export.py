"""An exported model computes what PyTorch computes, for any length, and needs only its one file."""

import argparse
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.tasks.asr import ASRTask
from tiny import CONFIG, HOP, LANGUAGES, RATE, build_model, sound_of, speech_of, write_model, write_training_config

from espnet_blrmoe import AbsRouter, LanguagePrior, Speech2Text, router_choices
from espnet_blrmoe.bin import export_onnx, prune_experts
from espnet_blrmoe.files import export
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.model.prior import LanguageChoice

SPEECHES = [sound_of(seconds, seed) for seed, seconds in enumerate((0.5, 1.3, 7.0, 20.0))]  # 3 s are traced
TOLERANCE = 1e-4  # of log-probabilities
ROUTER_TOLERANCE = 1e-3  # of the router's, whose weights are 20 times as large

ENCODERS = {
    "transformer": {},
    "conformer": {"block_type": "conformer", "block_conf": {"cnn_module_kernel": 7}},
    "e_branchformer": {
        "block_type": "e_branchformer", "block_conf": {"cgmlp_linear_units": 12, "cgmlp_experts": True}
    },
    "legacy positions": {
        "block_type": "conformer", "block_conf": {"cnn_module_kernel": 7, "rel_pos_type": "legacy"}
    },
    "experts of low rank": {"expert_rank": 4, "attention_experts": "qkvo"},
    "languages share an expert": {"experts": {"far": ["en", "zh-CN"]}},
    "all languages share an expert": {"experts": {"all": list(LANGUAGES)}, "block_type": "conformer"},
    "router reads features": {"router_input": "features"},
    "linear router reads shared blocks": {"router_input": "shared", "router": "linear", "router_conf": {}},
    "conformer, causal router": {"block_type": "conformer", "router_conf": {"channels": 8, "causal": True}},
    "experts everywhere": {"attention_experts": "qkvo"},
    "LR-MoE": {"attention_experts": ""},
    "experts in attention only": {
        "ffn_experts": False, "block_type": "conformer", "block_conf": {"macaron_style": False}
    },
    **{str(name): {"input_layer": name} for name in (
        "dwconv2d8", "conv1d2", "conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8", "linear", None
    )},
}  # fmt: skip


def write_onnx(model: ModelFiles, folder: Path, *options: str) -> Path:
    arguments = [f"--{name}={value}" for name, value in model.as_options().items()] + [f"--output_dir={folder}"]
    export_onnx.main([*arguments, *options])
    return folder / "model.onnx"


class OnnxModel:
    """All that a user of an exported model needs."""

    def __init__(self, path: Path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.metadata = {k: json.loads(v) for k, v in self.session.get_modelmeta().custom_metadata_map.items()}
        self.inputs = [each.name for each in self.session.get_inputs()]

    def __call__(self, speech: np.ndarray, *weights: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs = {"speech": speech[None]}
        if "language_log_weights" in self.inputs:
            inputs["language_log_weights"] = np.array(weights or [0.0] * len(self.metadata["languages"]), np.float32)
        return tuple(self.session.run(["log_probs", "language_log_probs", "expert"], inputs))

    def text(self, log_probs: np.ndarray) -> str:
        path = [token for token, _ in groupby(log_probs.argmax(axis=1)) if token != self.metadata["blank"]]
        return " ".join("".join(self.metadata["tokens"][token] for token in path).split())


def pytorch(model: ModelFiles, speech: np.ndarray, prior: LanguagePrior | None = None) -> tuple[np.ndarray, ...]:
    """What the exported model puts out, from the model as it decodes in PyTorch."""
    asr_model = Speech2Text(model.config, model.weights).asr_model
    wave, length = torch.from_numpy(speech)[None], torch.tensor([len(speech)])
    with torch.no_grad():
        encoded, _, routing = asr_model.encode_with_routing(wave, length, LanguageChoice(prior))
        log_probs = asr_model.ctc.log_softmax(encoded)
    return tuple(x[0].numpy() for x in (log_probs, routing.log_probs, routing.language))


def assert_same(results: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> None:
    np.testing.assert_allclose(results[0], expected[0], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(results[1], expected[1], rtol=0, atol=ROUTER_TOLERANCE)
    np.testing.assert_array_equal(results[2], expected[2])


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory) -> Path:
    """The tiny model, float32 and int8."""
    return write_onnx(tiny_model, tmp_path_factory.mktemp("onnx"), "--quantize")


@pytest.mark.parametrize("encoder_conf", ENCODERS.values(), ids=ENCODERS)
def test_results_are_those_of_pytorch_for_any_length(tmp_path, encoder_conf):
    model = write_model(tmp_path / "asr", encoder_conf={**CONFIG["encoder_conf"], **encoder_conf})
    onnx_model = OnnxModel(write_onnx(model, tmp_path / "onnx"))
    languages = set()
    for speech in SPEECHES[: 3 if encoder_conf.get("input_layer", "") in ("conv2d1", "linear", None) else 4]:
        results = onnx_model(speech)
        assert_same(results, pytorch(model, speech))
        languages.update(results[2])
    assert len(languages) > 1  # the router was of several minds


@pytest.mark.parametrize("samples", [0, 2, 200, 575, 576, 577, 832])  # 576: one encoder frame, 832: two
def test_the_shortest_speech(tiny_model, exported, samples):
    onnx_model, speech = OnnxModel(exported), sound_of(1, 0)[:samples]
    padded = np.pad(speech, (0, max(0, 128 + 6 * HOP - samples)))  # as Speech2Text does
    assert_same(onnx_model(speech), pytorch(tiny_model, padded))
    if samples:
        transcript = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1)(speech)
        assert onnx_model.text(onnx_model(speech)[0]) == transcript.text


@pytest.mark.parametrize(
    ("languages", "penalty"), [("en,de,zh-CN", 0.0), ("de,zh-CN", np.inf), ("de", np.inf), ("en,zh-CN", 5.0)]
)
def test_the_allowed_languages(tiny_model, exported, languages, penalty):
    onnx_model = OnnxModel(exported)
    prior = LanguagePrior.allow([languages], LANGUAGES, penalty)
    for speech in SPEECHES:
        results = onnx_model(speech, *prior.log_weights[0, 0].tolist())
        expected = pytorch(tiny_model, speech, prior)
        finite = np.isfinite(expected[1])
        assert (results[1][~finite] == -np.inf).all()
        np.testing.assert_allclose(results[1][finite], expected[1][finite], rtol=0, atol=ROUTER_TOLERANCE)
        np.testing.assert_array_equal(results[2], expected[2])
        np.testing.assert_allclose(results[0], expected[0], rtol=0, atol=TOLERANCE)


def test_decoding_needs_the_one_file(tiny_model, exported):
    onnx_model = OnnxModel(exported)
    assert onnx_model.metadata == {
        "tokens": ["<blank>", "<unk>", "a", "b", "c", " ", "<sos/eos>"],
        "blank": 0,
        "languages": list(LANGUAGES),
        "sampling_rate": RATE,
        "samples_per_frame": 4 * HOP,
    }
    spoken = [speech_of(seconds, seed) for seed, seconds in enumerate((0.5, 1.3, 7.0))]  # silence has no text
    options = {"chunk_seconds": np.inf, "vad": "none", "language_smoothing": "frame"}
    transcripts = Speech2Text(tiny_model.config, tiny_model.weights, **options).batch(spoken)
    for speech, transcript in zip(spoken, transcripts):
        log_probs, _, expert = onnx_model(speech)
        assert onnx_model.text(log_probs) == transcript.text
        counts = np.bincount(expert, minlength=3).tolist()
        assert dict(zip(onnx_model.metadata["languages"], counts)) == transcript.frames


@pytest.mark.parametrize(
    ("token_type", "tokens", "text"),
    [
        ("char", ["a", "<space>", "b"], "a b"),
        ("bpe", ["\u2581so", "me", "\u2581words"], " some words"),
        ("word", ["some", "words"], "some words "),
        ("phn", ["s", "ah", "m"], "sahm"),
    ],
)
def test_tokens_are_put_together(tiny_model, token_type, tokens, text):
    config = {"token_type": token_type, "token_list": tokens}
    assert "".join(export.metadata_of(config, build_model(tiny_model.config))["tokens"]) == text


@pytest.mark.parametrize("languages", ["en,zh-CN", "de"])
def test_a_pruned_model(tiny_model, tmp_path, languages):
    model = f"--model={tiny_model.config.parent}"
    prune_experts.main([model, f"--languages={languages}", f"--output_dir={tmp_path / 'pruned'}"])
    pruned = ModelFiles.in_folder(tmp_path / "pruned")
    onnx_model = OnnxModel(write_onnx(pruned, tmp_path / "onnx"))
    assert onnx_model.metadata["languages"] == languages.split(",")
    assert onnx_model.inputs == ["speech", "language_log_weights"][: len(languages.split(","))]
    for speech in SPEECHES:
        assert_same(onnx_model(speech), pytorch(pruned, speech))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"center": False},
        {"win_length": 100, "hop_length": 40},
        {"win_length": 101, "window": "hamming", "center": False},
        {"window": None},
        {"window": "blackman", "normalized": True},
    ],
    ids=str,
)
def test_the_spectrum_is_espnets(settings):
    frontend = DefaultFrontend(fs=RATE, n_mels=20, **{"n_fft": 128, "hop_length": 64, **settings})
    speech = torch.from_numpy(sound_of(1.0, seed=0))[None]
    expected = frontend.stft(speech, torch.tensor([speech.size(1)]))[0].square().sum(-1)
    power = export.TracedFrontend(frontend, shortest=0).power_spectrum(speech)
    assert power.shape == expected.shape
    assert ((power - expected).abs() / expected.sum(dim=-1, keepdim=True)).max() < 1e-6  # of the frame's energy


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("variances", [True, False])
@pytest.mark.parametrize("normalize", ["global_mvn", "utterance_mvn", "speech_mvn", "running_mvn", None])
def test_the_features_are_those_of_pytorch(tmp_path, normalize, means, variances):
    generator = np.random.default_rng(0)
    mean = generator.normal(size=20)
    np.savez(tmp_path / "stats.npz", count=10, sum=10 * mean, sum_square=10 * (mean**2 + generator.uniform(1, 3, 20)))
    conf = {"norm_means": means, "norm_vars": variances} if normalize in ("global_mvn", "utterance_mvn") else {}
    if normalize in ("global_mvn", "running_mvn"):
        conf["stats_file"] = str(tmp_path / "stats.npz")
    frontend = {"fs": "8k", "n_fft": 128, "win_length": 100, "hop_length": 40, "n_mels": 20, "fmin": 100, "htk": True}
    changes = {"normalize": normalize, "normalize_conf": conf, "frontend_conf": frontend}
    model, fresh = (build_model(write_training_config(tmp_path / name, **changes)).eval() for name in "ab")
    speech = torch.from_numpy(SPEECHES[1])[None]
    with torch.no_grad():
        lengths = torch.tensor([speech.size(1)])
        expected, _ = model.features(speech, lengths)
        features, _ = export.RecogniserGraph(fresh).model.features(speech, lengths)
    assert features.dtype == expected.dtype and (features - expected).abs().max() < 1e-4


def test_every_frame_goes_through_its_own_expert_alone(exported, tmp_path):
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # keeps the nodes' names
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    expert = session.run(["expert"], {"speech": SPEECHES[1][None], "language_log_weights": np.zeros(3, np.float32)})[0]
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    for name in ("encoders.1/feed_forward/w_1", "encoders.2/self_attn/linear_v"):
        shapes = {  # of the first input, by the node's name, which ends with the expert's number
            event["name"]: next(iter(event["args"]["input_type_shape"][0].values()))
            for event in events
            if name in event["name"] and event.get("args", {}).get("op_name") == "Gemm"
        }
        in_expert_order = sorted(shapes, key=lambda node: (len(node), node))
        assert [shapes[node][0] for node in in_expert_order] == np.bincount(expert, minlength=3).tolist()


def test_int8_is_close(exported):
    whole, small = OnnxModel(exported), OnnxModel(exported.with_name("model.int8.onnx"))
    for speech in SPEECHES:
        for weights in ((0.0, 0.0, 0.0), (-np.inf, 0.0, -np.inf)):  # and where experts get no frames
            (log_probs, _, expert), (log_probs8, _, expert8) = whole(speech, *weights), small(speech, *weights)
            assert (expert == expert8).mean() > 0.99
            assert (log_probs.argmax(axis=1) == log_probs8.argmax(axis=1)).mean() > 0.95
            assert np.abs(log_probs - log_probs8).mean() < 0.02


def test_int8_holds_for_all_weights_of_linear_layers_but_the_routers(tiny_model, exported):
    weights = torch.load(tiny_model.weights, weights_only=True)
    linear = [
        weight.numel()
        for name, weight in weights.items()
        if name.endswith(".weight") and weight.dim() in (2, 3) and "router" not in name
    ]
    stored = onnx.load(exported.with_name("model.int8.onnx")).graph.initializer
    int8 = [np.prod(each.dims) for each in stored if each.data_type == onnx.TensorProto.INT8 and len(each.dims) == 2]
    assert sum(int8) == sum(linear)


class FickleRouter(AbsRouter):
    """Thinks otherwise of short speech, in a way that no trace sees."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.output = torch.nn.Linear(input_size, num_languages)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return self.output(x) if x.size(1) > 50 else -self.output(x)


class ExoticRouter(FickleRouter):
    """Has an operation that ONNX lacks."""

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(self.output(x))


DECODER = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
REFUSED = {
    "decoder": (
        {"decoder": "transformer", "decoder_conf": DECODER, "model_conf": {"ctc_weight": 0.5}},
        "a model with a decoder cannot be exported; train one with CTC only",
    ),
    "front end": (
        {"frontend": None, "input_size": 20, "frontend_conf": {}},
        "only models with ESPnet's default front end",
    ),
    "dereverberation": (
        {"frontend_conf": {**CONFIG["frontend_conf"], "frontend_conf": {"use_wpe": True, "wunits": 8, "wprojs": 8}}},
        "dereverberation or a beamformer cannot be exported",
    ),
    "preencoder": (
        {"preencoder": "linear", "preencoder_conf": {"input_size": 20, "output_size": 20}},
        "a model with a preencoder or postencoder cannot be exported",
    ),
    "control flow": (
        {"encoder_conf": {**CONFIG["encoder_conf"], "router": "fickle", "router_conf": {}}},
        "does not compute what PyTorch computes: on 1 samples",
    ),
    "operation": (
        {"encoder_conf": {**CONFIG["encoder_conf"], "router": "exotic", "router_conf": {}}},
        "the model has a part that ONNX lacks: .*bessel_j0",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch, changes, message):
    monkeypatch.setitem(router_choices.classes, "fickle", FickleRouter)
    monkeypatch.setitem(router_choices.classes, "exotic", ExoticRouter)
    config = write_training_config(tmp_path / "asr", **changes)
    model = ASRTask.build_model(argparse.Namespace(**yaml.safe_load(config.read_text(encoding="utf-8"))))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    with pytest.raises(SystemExit, match=f"^export_onnx: .*{message}"):
        write_onnx(ModelFiles(config, tmp_path / "model.pth"), tmp_path / "onnx")
    assert not list(tmp_path.glob("onnx/*"))


def test_a_model_too_large_for_one_file(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_BYTES", 10_000)
    with pytest.raises(SystemExit, match="one ONNX file holds 2 GB; prune it to fewer languages"):
        write_onnx(tiny_model, tmp_path / "onnx")


def test_missing_files(tiny_model, tmp_path):
    missing = tmp_path / "missing"
    for model in (ModelFiles(missing, tiny_model.weights), ModelFiles(tiny_model.config, missing)):
        with pytest.raises(SystemExit, match="^export_onnx: .* does not exist"):
            write_onnx(model, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_model_is_not_overwritten(tiny_model, exported):
    before = exported.read_bytes()
    with pytest.raises(SystemExit, match="model.onnx exists already; remove it or choose another --output_dir"):
        write_onnx(tiny_model, exported.parent)
    assert exported.read_bytes() == before


def test_one_line_says_what_was_written(tiny_model, tmp_path, capfd):
    write_onnx(tiny_model, tmp_path, "--quantize")
    *_, line = capfd.readouterr().out.splitlines()
    assert line.startswith(f"3 languages, 7 tokens: {tmp_path}/model.onnx ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.int8.onnx", "model.onnx"]
