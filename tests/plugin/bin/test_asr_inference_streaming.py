"""Decoding as streams: what comes out is what a StreamingRecogniser hears, in ESPnet's layout."""

import json
from pathlib import Path

import pytest
import soundfile
from streaming_model import CHUNK_MS, write_streaming_model
from test_asr_inference import write_other_model
from tiny import RATE, speech_of

from espnet_blrmoe import StreamingRecogniser
from espnet_blrmoe.bin import asr_inference_streaming
from espnet_blrmoe.tables import read_table

SECONDS = (1.3, 0.01, 2.0)
DENSE = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A model, utterances, and a list of languages for each."""
    folder = tmp_path_factory.mktemp("data")
    write_streaming_model(folder / "model")
    for n, seconds in enumerate(SECONDS):
        soundfile.write(folder / f"utt{n}.wav", speech_of(seconds, seed=n), RATE, subtype="FLOAT")
    lines = [f"utt{n} {folder}/utt{n}.wav\n" for n in range(len(SECONDS))]
    (folder / "wav.scp").write_text("".join(lines), encoding="utf-8")
    (folder / "langs").write_text("utt0 en,de\nutt1 de\nutt2 zh-CN\n", encoding="utf-8")
    return folder


def decode(model: Path, data: Path, *options: str) -> dict[str, dict[str, str]]:
    arguments = ["--model", str(model), "--output_dir", str(data / "out"), "--batch_size", "2", *options]
    speech = f"{data / 'wav.scp'},speech,sound"
    asr_inference_streaming.main([*arguments, f"--chunk_ms={CHUNK_MS}", "--data_path_and_name_and_type", speech])
    return {name: read_table(data / "out/1best_recog" / name) for name in ("text", "lang", "timeline")}


def test_tables_say_what_was_heard(data):
    tables = decode(data / "model", data, "--utt2langs", str(data / "langs"))
    recogniser = StreamingRecogniser(data / "model/config.yaml", data / "model/model.pth", CHUNK_MS)
    for utterance, allowed in read_table(data / "langs").items():
        session = recogniser.start(allowed)
        parts = session.feed(soundfile.read(data / f"{utterance}.wav", dtype="float32")[0])
        parts.append(session.finish())
        assert tables["text"][utterance] == parts[-1].text
        spans = json.loads(tables["timeline"][utterance])
        assert (spans[0][0], spans[-1][1]) == (0.0, parts[-1].end)
        assert [end for _, end, _ in spans[:-1]] == [start for start, *_ in spans[1:]]
        assert all(one[2] != other[2] for one, other in zip(spans, spans[1:]))
        language, share = tables["lang"][utterance].split()
        assert language in allowed.split(",") and 1 / 3 <= float(share) <= 1.0


def test_languages_for_all(data):
    tables = decode(data / "model", data, "--languages", "de")
    assert set(tables["lang"].values()) == {"de 1.0000"}


def test_mistakes(data, tmp_path):
    for option, value in ("beam_size", "5"), ("nbest", "2"), ("ctc_weight", "0.3"), ("word_lm_file", "lm.pth"):
        message = f"^asr_inference_streaming: a stream's text is the CTC's best path: leave {option} out"
        with pytest.raises(SystemExit, match=message):
            decode(data / "model", data, f"--{option}", value)
    dense = write_other_model(tmp_path / "dense", encoder="transformer", encoder_conf=DENSE, model="espnet",
                              preprocessor="default")
    with pytest.raises(SystemExit, match="ESPnet streams models with a contextual-block encoder only"):
        decode(dense, data)


def test_models_that_espnet_streams_are_left_to_it(data, tmp_path, monkeypatch):
    options = {**DENSE, "block_size": 8, "hop_size": 4, "look_ahead": 2}
    folder = write_other_model(tmp_path / "espnet", encoder="contextual_block_transformer", encoder_conf=options,
                               model="espnet", preprocessor="default")
    given = {}
    monkeypatch.setattr(asr_inference_streaming.asr_inference_streaming, "inference", lambda **own: given.update(own))
    (data / "out/1best_recog").mkdir(parents=True, exist_ok=True)
    for name in ("text", "lang", "timeline"):
        (data / "out/1best_recog" / name).write_text("utt0 a\n", encoding="utf-8")
    decode(folder, data)
    assert (given["asr_train_config"], given["batch_size"], given["beam_size"]) == (str(folder / "config.yaml"), 1, 20)
    with pytest.raises(SystemExit, match="--languages needs a BLR-MoE model"):
        decode(folder, data, "--languages", "de")
