"""An exported model follows a stream with onnxruntime alone, as the recogniser does with PyTorch."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from streaming_model import CHUNK_MS, ENCODER, write_streaming_model
from test_export import SPEECHES, OnnxModel, assert_same, pytorch, write_onnx
from tiny import one_sentence, sound_of, write_model

from espnet_blrmoe import StreamingRecogniser
from espnet_blrmoe.bin import export_onnx, prune_experts
from espnet_blrmoe.files.export_streaming import StreamingGraph
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model

TDNN = {"channels": 8, "layers": 2}
ENCODERS = {
    "router reads ahead": {},
    "causal router": {"router_conf": {**TDNN, "causal": True}},
    "e_branchformer": {"block_type": "e_branchformer", "block_conf": {"cgmlp_linear_units": 12}},
    "transformer": {"block_type": "transformer", "block_conf": {}, "router_input": "shared"},
    "languages share an expert": {"experts": {"far": ["en", "zh-CN"]}},
    "no left context": {"left_context": 0, "router": "linear", "router_conf": {}},
}


def listen(path: Path, speech: np.ndarray, allowed: list[str]) -> tuple[str, list[str]]:
    """Text, and the language of every frame, by the file alone."""
    onnx_model = OnnxModel(path)
    about, session = onnx_model.metadata, onnx_model.session
    state = {name: np.zeros(how["shape"], how["dtype"]) for name, how in about["states"].items()}
    if len(about["languages"]) > 1:
        weights = [0.0 if code in allowed else -np.inf for code in about["languages"]]
        state["language_log_weights"] = np.array(weights, np.float32)
    shortest = about["chunk_samples"] - (about["chunk_frames"] - 1) * about["samples_per_frame"]
    total = (len(speech) - shortest) // about["samples_per_frame"] + 1
    ids, languages = [], []
    chunks = -(-total // about["chunk_frames"]) + about["delay_frames"] // about["chunk_frames"]
    for chunk in range(chunks):
        own = np.zeros(about["chunk_samples"], np.float32)
        heard = speech[chunk * about["chunk_step"] :][: about["chunk_samples"]]
        own[: len(heard)] = heard
        frames = min(about["chunk_frames"], max(0, total - chunk * about["chunk_frames"]))
        inputs = {**state, "speech": own[None], "frames": np.array([frames])}
        results = dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs)))
        state |= {name: results[f"next_{name}"] for name in about["states"]}
        ids += results["log_probs"].argmax(axis=1)[results["is_frame"]].tolist()
        languages += [about["languages"][language] for language in results["language"][results["is_frame"]]]
    text = "".join(about["tokens"][token] for token, _ in groupby(ids) if token != about["blank"])
    return " ".join(text.split()), languages


def export(model: ModelFiles, folder: Path, *options: str) -> Path:
    arguments = [f"--{name}={value}" for name, value in model.as_options().items()]
    export_onnx.main([*arguments, f"--output_dir={folder}", f"--chunk_ms={CHUNK_MS}", *options])
    return folder / "model.onnx"


@pytest.mark.parametrize("encoder_conf", ENCODERS.values(), ids=ENCODERS)
def test_a_stream_is_that_of_the_recogniser(tmp_path, encoder_conf):
    check(write_model(tmp_path / "model", encoder_conf={**ENCODER, **encoder_conf}), tmp_path)


def test_the_mean_of_the_features_runs(tmp_path):
    check(write_streaming_model(tmp_path / "model"), tmp_path)


def test_whole_utterances_of_any_length(tmp_path):
    model = write_streaming_model(tmp_path / "model")
    onnx_model = OnnxModel(write_onnx(model, tmp_path / "onnx"))
    for speech in SPEECHES:
        assert_same(onnx_model(speech), pytorch(model, speech))


def test_a_model_of_one_language_without_a_router(tmp_path):
    write_streaming_model(tmp_path / "model")
    prune_experts.main(["--model", str(tmp_path / "model"), "--languages", "en", "--output_dir", str(tmp_path / "en")])
    check(ModelFiles.of_folder(tmp_path / "en"), tmp_path)


def check(model: ModelFiles, folder: Path) -> None:
    path = export(model, folder / "onnx")
    recogniser = StreamingRecogniser(model.config, model.weights, CHUNK_MS)
    for seed, seconds in enumerate((1.9, 0.3, 2.5)):
        speech, allowed = sound_of(seconds, seed), list(recogniser.languages[: 1 + seed])
        session = recogniser.start(allowed)
        parts = [*session.feed(speech), session.finish()]
        expected = [span for part in parts for span in part.timeline]
        text, languages = listen(path, speech, allowed)
        assert text == parts[-1].text
        assert [language for language, _ in groupby(languages)] == [
            language for language, _ in groupby(span.language for span in expected)
        ]
        assert len(languages) == round(parts[-1].end / 0.032)


def test_what_cannot_be_exported(tmp_path):
    model = write_model(tmp_path / "model")
    with pytest.raises(SystemExit, match="^export_onnx: the model was not trained for streaming"):
        export(model, tmp_path / "onnx")
    model = write_streaming_model(tmp_path / "streaming")
    with pytest.raises(SystemExit, match="^export_onnx: chunk_ms must be a multiple of 32"):
        export(model, tmp_path / "onnx", "--chunk_ms=100")
    hybrid = write_streaming_model(tmp_path / "hybrid", model_conf={"ctc_weight": 0.3}, decoder="transformer",
                                   decoder_conf={"attention_heads": 2, "linear_units": 8, "num_blocks": 1})
    message = one_sentence(lambda: StreamingGraph(load_asr_model(hybrid).eval(), 4))
    assert message.startswith("a model with a decoder cannot be exported")


def test_an_int8_model_follows_a_stream_too(tmp_path):
    model = write_streaming_model(tmp_path / "model")
    path = export(model, tmp_path / "onnx", "--quantize").with_name("model.int8.onnx")
    _, languages = listen(path, sound_of(2.0, 0), ["en", "de"])
    assert len(languages) == 61 and set(languages) <= {"en", "de"}
