"""What benchmarks measure with: the tables of a data directory."""

import pytest
from measuring import read_data_dir
from tiny import write_data_dir

from espnet_blrmoe import audio


def test_a_data_directory_in_the_order_of_its_audio(tmp_path):
    data = write_data_dir(tmp_path, ["en", "de"])
    (data / "text").write_text("utt1 b\nutt0 a a\nutt2 c\n", encoding="utf-8")
    files, texts, languages = read_data_dir(data, "text", "utt2lang")
    assert list(texts.items()) == [("utt0", "a a"), ("utt1", "b")]
    assert languages == {"utt0": "en", "utt1": "de"}
    (data / "wav.scp").write_text(f"rec {files['utt1']}\n", encoding="utf-8")
    (data / "segments").write_text("utt1 rec 0 0.25\nutt0 rec 0.25 0.5\n", encoding="utf-8")
    stretches, _ = read_data_dir(data, "text")
    assert [(utterance, len(audio.load(own, 8000))) for utterance, own in stretches.items()] == [
        ("utt1", 2000), ("utt0", 2000)
    ]  # fmt: skip


def test_tables_that_do_not_fit_end_in_one_sentence(tmp_path):
    data = write_data_dir(tmp_path, ["en", "de"])
    with pytest.raises(SystemExit, match="text cannot be read: No such file or directory"):
        read_data_dir(data, "text")
    (data / "text").write_text("utt0 a\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="text has no line for utterance utt1; add it, or take it out of wav.scp"):
        read_data_dir(data, "text")
