"""The command for people: espnet-blrmoe transcribe."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sound_files import with_wav_length
from tiny import CONFIG, RATE, speech_of, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference, transcribe
from espnet_blrmoe.inference.subtitles import as_srt, as_vtt, subtitles_of
from espnet_blrmoe.model.prior import SWITCH_COST

ONE_MODEL = "give --model FOLDER, or --asr_train_config FILE and --asr_model_file FILE, or --model_tag MODEL; only one"


@pytest.fixture(scope="module")
def speech2text(tiny_model) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights)


@pytest.fixture
def model(tiny_model) -> list[str]:
    return ["--asr_train_config", str(tiny_model.config), "--asr_model_file", str(tiny_model.weights)]


@pytest.fixture
def files(tmp_path) -> list[str]:
    """A short recording, and a long one of two channels at another sampling rate."""
    long = speech_of(40.0, seed=1)
    soundfile.write(tmp_path / "short.wav", speech_of(1.3, seed=0), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "long.flac", np.stack([long, long], axis=1), 2 * RATE)
    return [str(tmp_path / "short.wav"), str(tmp_path / "long.flac")]


# ------------------------------------------------------------------------------------------------------------- results


def test_a_line_for_each_file(files, model, speech2text, capsys):
    transcribe.main([*files, *model])
    for line, file in zip(capsys.readouterr().out.splitlines(), files, strict=True):
        transcript = speech2text(file)
        percent = round(100 * transcript.language_probability)
        assert line == f"{file} ({transcript.language}, {percent}%): {transcript.text}"


def test_a_file_without_speech_is_told_so(tmp_path, model, capsys):
    generator = np.random.default_rng(0)
    files = [str(tmp_path / name) for name in ("silence.wav", "noise\n.wav")]
    for file, wave in zip(files, (np.zeros(RATE), 0.05 * generator.standard_normal(3 * RATE))):
        soundfile.write(file, wave, RATE)
    transcribe.main([*files, *model, "--languages", "de"])
    assert capsys.readouterr().out.splitlines() == [f"{file} (no speech): ".replace("\n", "\\n") for file in files]
    transcribe.main([*files, *model, "--json"])
    for line, file, seconds in zip(capsys.readouterr().out.splitlines(), files, (1.0, 3.0), strict=True):
        assert json.loads(line) == {
            "file": file, "duration": seconds, "language": None, "language_probability": 0.0, "text": "",
            "chunks": [{"start": 0.0, "end": seconds, "text": "", "language": None, "language_probability": 0.0}],
            "timeline": [], "words": [],
        }  # fmt: skip


def test_json(files, model, tiny_model, capsys):
    transcribe.main([*files, *model, "--json", "--languages", "en,zh-CN", "--chunk_seconds", "5"])
    speech2text = Speech2Text(
        tiny_model.config, tiny_model.weights, languages="en,zh-CN", beam_size=1, chunk_seconds=5
    )
    for line, file, seconds in zip(capsys.readouterr().out.splitlines(), files, (1.3, 20.0), strict=True):
        transcript, result = speech2text(file), json.loads(line)
        for key in ("language", "language_probability", "text"):
            assert result[key] == getattr(transcript, key)
        assert (result["file"], result["duration"]) == (file, seconds)
        assert result["chunks"] == [asdict(chunk) for chunk in transcript.chunks]
        assert result["timeline"] == [asdict(span) for span in transcript.timeline]
        assert result["words"] == [asdict(word) for word in transcript.words] != []
        assert {span["language"] for span in result["timeline"]} <= {"en", "zh-CN"}


def test_json_is_a_format(files, model, capsys):
    printed = []
    for options in (["--json"], ["--format", "json"]):
        transcribe.main([*files, *model, *options])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.parametrize(("name", "write"), [("srt", as_srt), ("vtt", as_vtt)])
def test_subtitles(files, model, speech2text, capsys, name, write):
    transcribe.main([files[1], *model, "--format", name])
    subtitles = subtitles_of(speech2text(files[1]).words)
    assert len(subtitles) > 2
    assert capsys.readouterr().out == write(subtitles)


def test_a_table_of_words(files, model, speech2text, capsys):
    transcribe.main([*files, *model, "--format", "tsv"])
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["file", "start", "end", "language", "confidence", "word"]
    assert rows == [
        [file, f"{word.start:.3f}", f"{word.end:.3f}", word.language, f"{word.confidence:.3f}", word.text]
        for file in files
        for word in speech2text(file).words
    ]


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        (["--languages", "de", "--language_penalty", "0"], {}),
        (["--languages", "de", "--language_escape", "1e-9"], {}),
        (["--language_smoothing", "utterance"], {"language_smoothing": "utterance"}),
        (["--language_smoothing", "viterbi"], {}),
        (["--language_smoothing", "frame"], {"language_smoothing": "frame"}),
        (["--language_switch_cost", str(SWITCH_COST)], {}),
        (
            ["--language_smoothing", "viterbi", "--language_switch_cost", "0.5"],
            {"language_smoothing": "viterbi", "language_switch_cost": 0.5},
        ),
        (["--beam_size", "3"], {"beam_size": 3}),
        (["--vad", "none"], {"vad": "none"}),
        (["--hotwords", "BB:9 c_a"], {"hotwords": {"bb": 9.0, "c a": None}}),
    ],
    ids=" ".join,
)
def test_options_of_the_model(files, model, tiny_model, capsys, options, same_as):
    transcribe.main([files[0], *model, *options, "--json"])
    expected = Speech2Text(tiny_model.config, tiny_model.weights, **{"beam_size": 1, **same_as})(files[0])
    result = json.loads(capsys.readouterr().out)
    assert (result["text"], result["language"]) == (expected.text, expected.language)
    assert result["timeline"] == [asdict(span) for span in expected.timeline]


def test_standard_output_is_only_json_and_nobody_warns(files, tiny_model):
    model = ["--model", str(tiny_model.config.parent)]
    command = [sys.executable, "-m", "espnet_blrmoe.bin.transcribe", *files, *model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == files


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_from_a_pipe(name, files, model, speech2text, capsys):
    """As `ffmpeg -i video.mp4 -f wav - | espnet-blrmoe transcribe -` writes it, which cannot know the length."""
    wav = with_wav_length(Path(files[0]).read_bytes(), 2**32 - 1)
    read_end, write_end = os.pipe()
    writer = threading.Thread(target=lambda: open(write_end, "wb").write(wav))
    own = os.dup(0)
    os.dup2(read_end, 0)
    try:
        writer.start()
        transcribe.main([name, *model])
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(read_end)
    writer.join()
    transcript = speech2text(files[0])
    line = f"{name} ({transcript.language}, {transcript.language_probability:.0%}): {transcript.text}\n"
    assert capsys.readouterr().out == line


def test_channels_that_cancel_each_other_are_told(files, tiny_model, tmp_path):
    speech = speech_of(1.3, seed=0)
    soundfile.write(tmp_path / "inverted.wav", np.stack([speech, -speech], axis=1), RATE, subtype="FLOAT")
    command = [sys.executable, "-m", "espnet_blrmoe.bin.transcribe", str(tmp_path / "inverted.wav"), files[0]]
    done = subprocess.run([*command, "--model", str(tiny_model.config.parent)], capture_output=True, text=True)
    inverted, plain = done.stdout.splitlines()
    assert done.returncode == 0 and inverted.partition(" (")[2] == plain.partition(" (")[2]
    assert done.stderr.startswith(f"transcribe: {tmp_path / 'inverted.wav'}: of its 2 channels only 1 is used: ")


# ------------------------------------------------------------------------------------------------------------ mistakes


def test_a_file_that_cannot_be_transcribed_is_named_and_the_others_are_done(tmp_path, files, model, capsys):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    (tmp_path / "cut.wav").write_bytes(Path(files[0]).read_bytes()[:-1000])
    bad = {
        "missing.wav": "does not exist",
        "cut.wav": "is cut off: it has ",
        "text.wav": "cannot be read as audio",
        "empty.wav": "is empty",
        "nan.wav": "holds NaN or infinite samples",
        "": "is a folder",
    }
    names = [str(tmp_path / name) for name in bad]
    with pytest.raises(SystemExit) as ended:
        transcribe.main([*names[:3], files[0], *names[3:], files[1], *model])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert [line.partition(" ")[0] for line in out.splitlines()] == files
    sentences = [line for line in err.splitlines() if line.startswith("transcribe:")]
    for sentence, name, message in zip(sentences, names, bad.values(), strict=True):
        assert sentence.startswith(f"transcribe: {name} {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--languages", "fr"], "unknown language 'fr'; this model knows en, de, zh-CN"),
        (["--languages", ""], "the list of languages is empty"),
        (["--languages", ","], "the list of languages is empty"),
        (["--languages", "en", "--language_escape", "2"], "the escape threshold is a probability"),
        (["--languages", "en", "--language_penalty", "nan"], "the language penalty must be a number of nats"),
        (["--language_smoothing", "word"], "language smoothing must be frame, utterance, viterbi or milliseconds"),
        (["--language_smoothing", "frame", "--language_switch_cost", "3"], "the cost of a language switch needs "),
        (["--language_smoothing", "viterbi", "--language_switch_cost", "nan"], "the cost of a language switch is a "),
        (["--ngram_weight", "0.3"], "--ngram_weight needs --ngram FOLDER"),
        (["--beam_size", "0"], "beam_size must be at least 1, not 0"),
        (["--device", "abacus"], "cannot use device 'abacus'"),
        (["--asr_model_file", "missing.pth"], "missing.pth does not exist"),
        (["--asr_train_config", "missing.yaml"], "missing.yaml does not exist"),
    ],
)
def test_mistakes_in_the_options(files, model, options, message):
    with pytest.raises(SystemExit, match=f"^transcribe: {message}"):
        transcribe.main([*files, *model, *options])


def test_one_format(files, model, capsys):
    with pytest.raises(SystemExit, match="2"):
        transcribe.main([*files, *model, "--json", "--format", "srt"])
    assert "argument --format: not allowed with argument --json" in capsys.readouterr().err


def test_a_checkpoint_of_another_architecture(files, model, tmp_path):
    encoder_conf = {**CONFIG["encoder_conf"], "linear_units": 30}
    config = write_training_config(tmp_path, encoder_conf=encoder_conf)
    with pytest.raises(SystemExit, match="^transcribe: .* does not fit the training configuration"):
        transcribe.main([*files, *model, "--asr_train_config", str(config)])


def test_a_packed_model_that_is_not_there(files):
    with pytest.raises(SystemExit, match="^transcribe: model missing.zip: no such file"):
        transcribe.main([*files, "--model_tag", "missing.zip"])


@pytest.mark.parametrize("program", [transcribe, asr_inference])
@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", b"<!DOCTYPE html>", b""])
def test_a_damaged_packed_model(tmp_path, program, content):
    (tmp_path / "model.zip").write_bytes(content)
    (tmp_path / "wav.scp").write_text("utt0 speech.wav\n")
    data = f"{tmp_path / 'wav.scp'},speech,sound"
    own = {
        transcribe: ["speech.wav"],
        asr_inference: ["--output_dir", str(tmp_path / "out"), "--data_path_and_name_and_type", data],
    }
    with pytest.raises(SystemExit, match=f"^[a-z_]+: model {tmp_path / 'model.zip'}: it is neither zip nor tar"):
        program.main([*own[program], "--model_tag", str(tmp_path / "model.zip")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav"], ONE_MODEL),
        (["a.wav", "--asr_train_config", "c"], ONE_MODEL),
        (["a.wav", "--asr_model_file", "m", "--model_tag", "m"], ONE_MODEL),
        (["a.wav", "--model", "m", "--model_tag", "m"], ONE_MODEL),
        (["a.wav", "--model_tag", "m", "--language_penalty", "3"], "--language_escape need --languages"),
        (["a.wav", "b.wav", "--model_tag", "m", "--format", "srt"], "--format srt is for one file at a time"),
    ],
)
def test_options_that_do_not_fit_each_other(arguments, message, capsys):
    with pytest.raises(SystemExit, match=f"^transcribe: .*{message}"):
        transcribe.main(arguments)
    assert capsys.readouterr().err == ""  # not its usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a.wav", "--model_tag", "m", "--format", "ass"], "invalid choice: 'ass'"), ([], "required: FILE")],
)
def test_options_that_there_are_not(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        transcribe.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(SystemExit, match="^transcribe: cannot use device 'cuda'"):
        transcribe.main(["a.wav", "--model_tag", "m", "--device", "cuda"])
