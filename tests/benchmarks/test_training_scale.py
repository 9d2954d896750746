"""What is worked out follows from what is measured."""

import argparse
from pathlib import Path

import pytest
import training_scale
import yaml
from tiny import CONFIG, LANGUAGES, write_data_dir
from training_scale import Loading, Pieces, step_table


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The tiny model; its tokens come from the program."""
    path = tmp_path_factory.mktemp("config") / "train.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "token_list": None, "batch_bins": 1_600_000}), encoding="utf-8")
    return path


def test_arithmetic_grows_with_the_speech_and_not_with_the_languages(config):
    measured = {n: training_scale.measure(training_scale.build_model(config, n, 20)[1], n, 20) for n in (2, 4)}
    assert measured[4].flops == pytest.approx(measured[2].flops, rel=0.1)
    assert measured[4].activations == pytest.approx(measured[2].activations, rel=0.1)
    # A router of 8 channels has 9 parameters more for each language.
    assert measured[4].parameters - measured[2].parameters == measured[2].expert_parameters + 2 * 9
    assert measured[4].expert_parameters == 2 * measured[2].expert_parameters


def test_an_all_reduce_that_the_backward_pass_does_not_hide_makes_the_step_longer(monkeypatch):
    monkeypatch.setattr(training_scale, "LINKS", {"fast": 1e15, "slow": 1e9})
    assumed = argparse.Namespace(hours=1, gpus=2, tflops=1, utilisation=0.5, launch_us=0, memory_gbs=1e9)
    pieces = Pieces(parameters=10**8, expert_parameters=0, flops=3e9, activations=0, weight_copies=0, operators=0)
    table = step_table(pieces, {"wav": Loading(processor=0.003, size=32000)}, speech=100, args=assumed)
    rows = [[cell.strip() for cell in line.split("|")[1:]] for line in table.splitlines() if "bits" in line]
    # 100 s at 3 GFLOP and 0.5 TFLOP/s: 600 ms, of which the backward pass is 400 ms; 400 and 200 MB at 1 GB/s.
    assert [row[:5] for row in rows] == [
        ["fast, 32 bits", "400 MB", "0 ms", "0 ms", "600 ms"],
        ["fast, 16 bits", "200 MB", "0 ms", "0 ms", "600 ms"],
        ["slow, 32 bits", "400 MB", "400 ms", "0 ms", "600 ms"],
        ["slow, 16 bits", "200 MB", "200 ms", "0 ms", "600 ms"],
    ]
    monkeypatch.setattr(training_scale, "LINKS", {"slower": 0.5e9})
    assert "| 800 ms     | 400 ms     | 1000 ms |" in step_table(pieces, {}, speech=100, args=assumed)


def test_every_table_is_printed(config, tmp_path, capsys):
    data = write_data_dir(tmp_path, list(LANGUAGES))
    (data / "text").write_text("".join(f"utt{n} abc\n" for n in range(3)), encoding="utf-8")
    training_scale.main([str(config), "--data_dir", str(data), "--languages", "2", "--vocab", "20"])
    printed = capsys.readouterr().out
    for words in ("operators of a step", "reading flac", "memory of each of 8 GPUs", "12 s of speech each",
                  "100 Gb/s Ethernet, 16 bits"):  # fmt: skip
        assert words in printed
