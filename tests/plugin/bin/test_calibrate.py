"""The program that calibrates confidences: what it writes, and what it leaves as it is."""

import itertools
import json
import os
import shutil
from statistics import median

import numpy as np
import pytest
from tiny import write_data_dir

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import calibrate
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.yaml_files import read_mapping
from espnet_blrmoe.inference.confidence import Calibration


@pytest.fixture
def model(tiny_model, tmp_path):
    return ModelFiles.of_folder(shutil.copytree(tiny_model.config.parent, tmp_path / "model"))


@pytest.fixture
def data(tmp_path, speech2text):
    """Sets in which the more probable half of the words that the model recognises are said, and some of the others."""

    def write(name: str, utterances: int, seed: int):
        folder = write_data_dir(tmp_path / name, ["en", "de"] * (utterances // 2), seed)
        recognised = [speech2text(folder / f"utt{n}.wav").words for n in range(utterances)]
        middle = median(word.confidence for words in recognised for word in words)
        lines, counted = [], itertools.count()
        for n, words in enumerate(recognised):
            said = [w.text if w.confidence > middle or next(counted) % 3 == 0 else "cccc" for w in words]
            lines.append(f"utt{n} {' '.join(said) or 'a'}\n")
        (folder / "text").write_text("".join(lines), encoding="utf-8")
        return folder

    return write("valid", 20, seed=0), write("test", 6, seed=50)


def run(model, valid, *options) -> None:
    calibrate.main(["--model", str(model.config.parent), "--data_dir", str(valid), *map(str, options)])


def test_the_model_gets_a_calibration(model, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibrate, "FEWEST_WORDS", 10)
    valid, test = data
    before = read_mapping(model.config)
    run(model, valid, "--eval_dir", test, "--output", tmp_path / "confidence.json")
    results = json.loads((tmp_path / "confidence.json").read_text(encoding="utf-8"))
    config = read_mapping(model.config)
    assert config == before | {"word_confidence": results["calibration"]}
    assert [entry["name"] for entry in results["data"]] == ["valid", "test"]
    for entry in results["data"]:
        for bins in (entry["before"], entry["after"]):
            assert sum(own["words"] for own in bins) == entry["words"] > 0
    assert Speech2Text(model.config, model.weights).calibration == Calibration(**results["calibration"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:2] == ["data", "words"] and [line.split()[0] for line in shown[1:]] == ["valid", "test"]
    assert {path.name for path in model.config.parent.iterdir()} >= {"config.yaml", "model.pth"}


def test_it_is_fitted_to_the_probabilities_whatever_the_model_has(model, data, monkeypatch):
    monkeypatch.setattr(calibrate, "FEWEST_WORDS", 10)
    run(model, data[0])
    first = read_mapping(model.config)["word_confidence"]
    run(model, data[0])
    assert read_mapping(model.config)["word_confidence"] == pytest.approx(first)


def test_a_linked_configuration_is_written_where_it_is(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "FEWEST_WORDS", 10)
    (tmp_path / "linked").mkdir()
    for file in (model.config, model.weights):
        (tmp_path / "linked" / file.name).symlink_to(file)
    run(ModelFiles.of_folder(tmp_path / "linked"), data[0])
    assert (tmp_path / "linked/config.yaml").is_symlink()
    assert "word_confidence" in read_mapping(model.config)


def test_an_output_that_cannot_be_written_leaves_the_model_as_it_is(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "FEWEST_WORDS", 10)
    before = model.config.read_bytes()
    for output in (tmp_path, tmp_path / "nowhere/confidence.json"):
        with pytest.raises(SystemExit, match=f"^calibrate: {output} cannot be written: .*; choose another --output$"):
            run(model, data[0], "--output", output)
    assert model.config.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_model_in_somebody_elses_folder_is_told_before_anything_is_heard(model, tmp_path):
    model.config.parent.chmod(0o555)
    with pytest.raises(SystemExit, match="model cannot be written: Permission denied; calibrate a copy of the model"):
        run(model, tmp_path / "no data")


def test_too_few_words_leave_the_model_as_it_is(model, data, capsys):
    before = model.config.read_bytes()
    (data[1] / "text").write_text("".join(f"utt{n} cccc\n" for n in range(6)), encoding="utf-8")
    run(model, data[1])
    assert model.config.read_bytes() == before
    assert "the model stays as it is: its words are all right or all wrong, or fewer than 50" in capsys.readouterr().out


def test_the_validation_set_is_scored_by_fits_to_other_utterances(monkeypatch):
    seen = []
    fitted = Calibration(1.0, 0.5)
    monkeypatch.setattr(Calibration, "fitted", classmethod(lambda cls, p, right: seen.append(len(p)) or None))
    probabilities, utterances = np.linspace(0.1, 0.9, 20), np.arange(20) // 2
    confidences = calibrate.left_out(fitted, probabilities, np.ones(20, bool), utterances)
    assert seen == [16] * 5
    assert confidences == pytest.approx(fitted.of_all(probabilities))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: (data / "text").unlink(), "text"),
        (lambda data: (data / "text").write_text("utt0 a\n"), "text has no line for utterance utt1; add it"),
        (lambda data: (data / "utt1.wav").write_bytes(b"RIFF"), "utt1.wav cannot be read as audio"),
    ],
)
def test_bad_data(model, tmp_path, spoil, message):
    data = write_data_dir(tmp_path / "data", ["en", "de"])
    (data / "text").write_text("utt0 a\nutt1 b\n", encoding="utf-8")
    before = model.config.read_bytes()
    spoil(data)
    with pytest.raises(SystemExit, match=f"^calibrate: .*{message}"):
        run(model, data)
    assert model.config.read_bytes() == before
