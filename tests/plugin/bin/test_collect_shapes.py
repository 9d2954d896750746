"""Shapes without audio: the same files as ESPnet's own program writes, which reads it."""

import re

import numpy as np
import pytest
import soundfile
import yaml
from tiny import CONFIG, RATE

from espnet_blrmoe.bin import asr_train, collect_shapes

WORDS = {"anna-1": "abc", "anna-2": "a b ccc", "bert-1": "c", "bert-2": "xyz b"}
LANGUAGES = {"anna-1": "en", "anna-2": "zh-CN", "bert-1": "de", "bert-2": "en"}


@pytest.fixture
def options(tmp_path):
    """Options of a training on four utterances; training and validation set are the same."""
    tables = {"wav.scp": {}, "utt2num_samples": {}, "text": WORDS, "utt2lang": LANGUAGES}
    for number, key in enumerate(WORDS):
        samples = 0.1 * np.random.default_rng(number).standard_normal(2000 + 100 * number)
        soundfile.write(tmp_path / f"{key}.wav", samples, RATE)
        tables["wav.scp"][key] = f"{tmp_path / key}.wav"
        tables["utt2num_samples"][key] = len(samples)
    for name, table in tables.items():
        (tmp_path / name).write_text("".join(f"{key} {value}".rstrip() + "\n" for key, value in table.items()))
    config = CONFIG | {"token_list": [*CONFIG["token_list"]]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    data = [f"--{mode}_data_path_and_name_and_type={tmp_path / table}" for mode in ("train", "valid")
            for table in ("wav.scp,speech,sound", "text,text,text", "utt2lang,lid,text")]
    return ["--config", str(tmp_path / "config.yaml"), "--allow_variable_data_keys", "true", *data]


def run(program, options, output_dir, shape_file):
    program.main([*options, "--output_dir", str(output_dir), "--train_shape_file", str(shape_file),
                  "--valid_shape_file", str(shape_file)])


def test_the_files_are_those_of_espnet(tmp_path, options):
    run(asr_train, [*options, "--collect_stats", "true"], tmp_path / "espnet", tmp_path / "wav.scp")
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    run(collect_shapes, options, tmp_path / "ours", tmp_path / "utt2num_samples")
    names = ("speech_shape", "text_shape", "lid_shape", "batch_keys")
    for mode in ("train", "valid"):
        for name in names:
            expected = (tmp_path / "espnet" / mode / name).read_text()
            assert (tmp_path / "ours" / mode / name).read_text() == expected and expected


@pytest.mark.parametrize("table, text, message", [
    ("text", "anna-1 abc\n", "text:2: expected utterance anna-2, as in .*utt2num_samples, found the end"),
    ("utt2num_samples", "anna-1 2000\n", "text:2: expected the end, as in .*, found anna-2"),
    ("utt2lang", None, "No such file or directory: .*utt2lang"),
])
def test_tables_that_do_not_fit(tmp_path, options, table, text, message):
    (tmp_path / table).unlink()
    if text:
        (tmp_path / table).write_text(text)
    with pytest.raises(SystemExit, match=re.compile(message)):
        run(collect_shapes, options, tmp_path / "ours", tmp_path / "utt2num_samples")
