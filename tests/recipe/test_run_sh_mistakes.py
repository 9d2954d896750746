"""Where the recipe cannot go on: it says why, and what was there stays."""

import re
import shutil
import sys

import pytest
from recipe_run import TINY_TRAINING, run_recipe


@pytest.fixture
def failing_python(tmp_path) -> str:
    """A Python that runs what run.sh needs for its checks, and fails without a word at all else."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\n[ "$1" = local/corpus_settings.py ] && exec {sys.executable} "$@"\nexit 1\n')
    program.chmod(0o755)
    return str(program)


def test_a_program_that_could_not_even_write_its_log(tmp_path, failing_python):
    for table in ("train/text", "train/wav.scp", "valid/wav.scp", "test_in/wav.scp"):
        for folder in (tmp_path / "data", tmp_path / "dump/raw"):
            (folder / table).parent.mkdir(parents=True, exist_ok=True)
            (folder / table).touch()
    run = run_recipe(tmp_path, "--stage", "5", "--stop_stage", "5", "--python", failing_python)
    assert run.exit_code != 0
    assert "tokenize_text.log is empty, though its program failed: no room?" in run.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stage", "17", "--allowed_languages", "es,xx"], "--allowed_languages: language xx is not among those of"),
        (["--stage", "17", "--prune", "es,pt es"], "language es is in two groups"),
        (["--stage", "12", "--stop_stage", "12", "--inference_args", "--beam_sizee 3"], "--beam_sizee"),
    ],
)
def test_a_failed_decoding_leaves_the_result_that_was_there(tiny_demo, options, message):
    text = tiny_demo.asr_exp / "decode_asr/test_in/text"
    before = text.read_text()
    run = run_recipe(tiny_demo.folder, *options)
    assert run.exit_code != 0
    assert message in run.output
    assert "Traceback" not in run.output
    assert text.read_text() == before


def test_a_model_of_other_data_is_neither_resumed_nor_overwritten(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    scp = folder / "dump/raw/train/wav.scp"
    scp.write_text("".join(scp.read_text().splitlines(keepends=True)[1:]))
    model = folder / "exp/asr_train_asr_raw_char/valid.cer_ctc.ave.pth"
    before = model.read_bytes()
    run = run_recipe(folder, "--stage", "11", "--stop_stage", "11")
    assert run.exit_code != 0
    assert "is a model of other data, languages or tokens" in run.output
    assert model.read_bytes() == before


def test_what_a_full_disk_left_is_no_model_of_other_data(tmp_path, failing_python):
    made = ["dump/raw/train/utt2lang", "dump/raw/train/wav.scp", "data/token_list/char/tokens.txt",
            "exp/asr_stats_raw_char/train/speech_shape", "exp/asr_train_asr_raw_char/trained_on"]
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run = run_recipe(tmp_path, "--stage", "11", "--stop_stage", "11", "--python", failing_python)
    assert run.exit_code != 0
    assert "is a model of other data" not in run.output
    assert (tmp_path / made[-1]).read_text()


def test_a_language_that_only_the_validation_set_has_is_told_before_the_training(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    utt2lang = folder / "dump/raw/valid/utt2lang"
    utt2lang.write_text(utt2lang.read_text().replace(" pt\n", " fr\n"))
    for stage, message in (("10", "has language fr, which .* lacks"), ("11", "has language 'fr', but this training")):
        run = run_recipe(folder, "--stage", stage, "--stop_stage", stage, "--asr_tag", "new", *TINY_TRAINING)
        assert run.exit_code != 0
        assert re.search(rf"valid/utt2lang: utterance \S+ {message}", run.output), run.output
        assert "epoch" not in run.output and "Traceback" not in run.output


def test_a_test_set_of_another_language_is_not_decoded(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    utt2lang = folder / "dump/raw/test_in/utt2lang"
    utt2lang.write_text(utt2lang.read_text().replace(" pt\n", " fr\n"))
    run = run_recipe(folder, "--stage", "12", "--stop_stage", "12")
    assert run.exit_code != 0
    assert re.search(r"test_in/utt2lang: utterance \S+ has language fr, .*lacks \(es, pt\)", run.output)
