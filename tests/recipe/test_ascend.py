"""ASCEND: its languages, and its audio inside of Parquet files."""

import re
import sys

import corpus_folders
import prepare_corpora
import pytest
from corpora import ascend
from corpus_folders import ascend_rows, noise, prepare
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError, read_table

TEXTS = {("zh-CN", "嗯我觉得"), ("en", "yeah it's fine"), ("zh-CN en zh-CN", "然后我take a vacation呃")}


def parquet_row(row: dict) -> dict:
    """A row of the hub's table: the same, with its audio in it."""
    name = row["file_name"].removeprefix("waves/")
    audio = {"bytes": noise("wav", 0.3), "path": name}
    return {"id": "00644", "path": f"/cache/waves/{name}", "audio": audio, **row}


def write_parquet(path, rows):
    """A Parquet file in the hub's columns."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow, which reads ASCEND's Parquet files")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows).drop_columns(["file_name"]), path)


@pytest.fixture
def hub(root):
    """The hub's folder, with the training set in two files."""
    for split, number in (("train", 2), ("validation", 1), ("test", 1)):
        rows = [parquet_row(row) for row in ascend_rows(split)]
        for n in range(number):
            write_parquet(root / "main" / f"{split}-{n:05d}-of-{number:05d}.parquet", rows[n::number])
    return root


def said(folder) -> set[tuple[str, str | None]]:
    return {(u.label, u.text) for u in read_data_dir(folder)}


def test_what_mixes_languages_has_their_sequence(root):
    data = prepare(corpus_folders.ascend(root), "ascend")
    assert said(data / "train") == said(data / "valid") == said(data / "test_in") == TEXTS


def test_one_language_leaves_the_mixed_utterances_out(root):
    data = prepare(corpus_folders.ascend(root), "ascend", "--langs", "en")
    assert said(data / "train") == {("en", "yeah it's fine")}


def test_words_that_nobody_wrote_down(root):
    table = corpus_folders.ascend(root) / "train_metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("嗯我", "[UNK]我", 1), encoding="utf-8")
    data = prepare(root, "ascend")
    assert list(read_table(data / "train" / "skipped").values()) == ["partly not transcribed: '[UNK]我觉得'"]
    assert len(read_data_dir(data / "train")) == 5


@pytest.mark.parametrize("old, new, message", [
    ("transcription", "text", "train_metadata.csv:1: there is no column 'transcription', only file_name, text"),
    (",zh,", ",yue,", "train_metadata.csv:2: 'language' must be zh, en, mixed, not 'yue'"),
    ("嗯我觉得", '"嗯我觉得', "train_metadata.csv:.* is a quotation mark not closed"),
])  # fmt: skip
def test_what_is_wrong_with_a_table(old, new, message, root):
    table = corpus_folders.ascend(root) / "train_metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        prepare(root, "ascend")


def test_a_row_with_other_columns_is_left_out(root):
    table = corpus_folders.ascend(root) / "train_metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",persona", "", 1), encoding="utf-8")
    (reason,) = read_table(prepare(root, "ascend") / "train" / "skipped").values()
    assert reason == "not a row of ASCEND: other columns than the first line"


@pytest.mark.parametrize("folder", [".", "main"])
def test_audio_inside_of_parquet_files(folder, hub):
    data = prepare(hub / folder, "ascend")
    assert said(data / "train") == said(data / "valid") == said(data / "test_in") == TEXTS
    utterances = read_data_dir(data / "train")
    assert len(utterances) == 6 and len({u.speaker for u in utterances}) == 2
    waves = hub / folder / "unpacked" / "waves"
    assert {u.audio for u in utterances} < {str(path) for path in waves.iterdir()}
    assert len(list(waves.iterdir())) == 18
    made = {path: path.stat().st_mtime_ns for path in waves.iterdir()}
    prepare(hub / folder, "ascend")
    assert {path: path.stat().st_mtime_ns for path in waves.iterdir()} == made  # it is there already


def test_as_the_hub_converts_it(root):
    write_parquet(root / "main" / "test" / "0000.parquet", [parquet_row(row) for row in ascend_rows("test")])
    corpus_folders.fleurs(root.parent / "fleurs", ("en_us", "cmn_hans_cn"))
    prepare_corpora.main(["--corpus", f"fleurs={root.parent}/fleurs", "--out_of_domain", f"ascend={root}",
                          "--data_dir", str(root.parent / "data")])
    assert said(root.parent / "data" / "test_out") == TEXTS


def test_the_documents_command(root):
    section = corpus_folders.CORPORA_PAGE.read_text(encoding="utf-8").partition("\nASCEND ")[2]
    (command,) = re.findall(r"^\./run\.sh (.*?) --allowed_languages", section, flags=re.MULTILINE)
    corpus_folders.ascend(root)
    prepare_corpora.main([*command.replace("/data/ascend", str(root)).split(), "--data_dir", str(root.parent / "data")])
    assert said(root.parent / "data" / "train") == TEXTS


def lose_a_file(hub):
    (hub / "main" / "train-00001-of-00002.parquet").unlink()


def leave_a_note_of_it(hub):
    (hub / "main" / "test-00000-of-00001.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")


def lose_a_column(hub):
    rows = [parquet_row(row) for row in ascend_rows("train")]
    for row in rows:
        del row["language"]
    write_parquet(hub / "main" / "train-00000-of-00002.parquet", rows)


def lose_the_audio(hub):
    rows = [{**parquet_row(row), "audio": {"bytes": None, "path": "a.wav"}} for row in ascend_rows("train")]
    write_parquet(hub / "main" / "train-00000-of-00002.parquet", rows)


@pytest.mark.parametrize("spoil, message", [
    (lose_a_file, "main has 1 of the 2 Parquet files that train-00000-of-00002.parquet is one of; download the others"),
    (leave_a_note_of_it, "test-00000-of-00001.parquet cannot be read: .*; download it again"),
    (lose_a_column, "train-00000-of-00002.parquet:1: there is no column 'language', only id, path, audio"),
    (lose_the_audio, "train-00000-of-00002.parquet has a clip without its audio; download the file again"),
])
def test_what_is_wrong_with_parquet_files(spoil, message, hub):
    spoil(hub)
    with pytest.raises(UserError, match=message) as error:
        prepare(hub, "ascend")
    assert "\n" not in str(error.value) and not (hub.parent / "data").exists()


def test_without_pyarrow(root, monkeypatch):
    (root / "main").mkdir(parents=True)
    (root / "main" / "train-00000-of-00001.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="is read by pyarrow, which is not installed: pip install pyarrow$"):
        ascend.unpack(root)


def test_no_room(hub, fill_disk):
    fill_disk("validation_metadata.csv")
    with pytest.raises(UserError, match="unpacked/validation_metadata.csv cannot be written: No space left"):
        prepare(hub, "ascend")
    assert {path.name for path in (hub / "unpacked").iterdir()} == {"train_metadata.csv", "waves"}
