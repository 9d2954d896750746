"""The table of tokens by language."""

import pytest
import token_table
import train_sentencepiece
from shared.kaldi_tables import UserError


def write_data(folder, rows):
    """A data directory of utterances (language, seconds, text)."""
    folder.mkdir()
    tables = {"utt2lang": [], "text": [], "utt2num_samples": []}
    for n, (language, seconds, text) in enumerate(rows):
        for table, value in zip(tables.values(), (language, text, round(seconds * 16000))):
            table.append(f"utt{n} {value}\n")
    for name, lines in tables.items():
        (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def characters(tmp_path):
    (tmp_path / "tokens.txt").write_text("<blank>\n<unk>\na\nb\n<space>\n<sos/eos>\n", encoding="utf-8")
    return tmp_path / "tokens.txt"


def table_of(token_list, *arguments):
    token_table.main(["--token_list", str(token_list), *map(str, arguments)])
    head, *rows = (token_list.parent / "tokens_by_language.tsv").read_text(encoding="utf-8").splitlines()
    return {tuple(row.split("\t")[:2]): dict(zip(head.split("\t")[2:], row.split("\t")[2:])) for row in rows}


def test_characters(tmp_path, characters, capsys):
    train = write_data(tmp_path / "train", [("de", 1, "ab ab"), ("de", 1, "a"), ("fr", 2, "bbb")])
    test = write_data(tmp_path / "test", [("fr", 1, "aço")])
    table = table_of(characters, train, test)
    assert table["train", "de"] == {
        "sentences": "2", "characters": "6", "vocabulary": "3", "per character": "1.00", "per second": "3.0",
        "bytes %": "0.00", "unknown %": "0.00", "too dense": "0",
    }  # fmt: skip
    assert (table["train", "fr"]["vocabulary"], table["train", "fr"]["per second"]) == ("1", "1.5")
    assert table["test", "fr"]["unknown %"] == "66.67"
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["train", "de", "2", "6", "3", "1.00", "3.0", "0.00", "0.00", "0"]
    assert len(printed) == 4  # and no warning


def test_bytes_take_the_place_of_unknown_tokens(tmp_path):
    train = write_data(tmp_path / "train", [("de", 1, "ab ab")])
    test = write_data(tmp_path / "test", [("de", 1, "ab"), ("fr", 1, "ç")])
    train_sentencepiece.main([str(train), str(tmp_path / "tokens")])
    table = table_of(tmp_path / "tokens/tokens.txt", "--bpemodel", tmp_path / "tokens/bpe.model", train, test)
    assert {row["unknown %"] for row in table.values()} == {"0.00"}
    assert table["test", "de"]["bytes %"] == "0.00"
    assert table["test", "fr"]["bytes %"] == "66.67"  # two bytes after the mark of a space


@pytest.mark.parametrize(
    ("text", "seconds", "too_dense"),
    [("abab", 0.16, "0"), ("abab", 0.15, "1"), ("aabb", 0.16, "1"), ("aabb", 0.24, "0")],
)
def test_tokens_that_do_not_fit_their_frames(tmp_path, characters, capsys, text, seconds, too_dense):
    table = table_of(characters, write_data(tmp_path / "train", [("de", seconds, text)]))
    assert table["train", "de"]["too dense"] == too_dense
    assert ("1 utterances have more tokens" in capsys.readouterr().out) == (too_dense == "1")


def test_mistakes(tmp_path, characters):
    data = write_data(tmp_path / "train", [("de", 1, "ab")])
    (data / "utt2num_samples").write_text("utt0 long\n")
    with pytest.raises(UserError, match="utt2num_samples: utterance utt0 has 'long' for its number of samples"):
        table_of(characters, data)
    (data / "utt2num_samples").unlink()
    with pytest.raises(UserError, match="utt2num_samples does not exist: run the stage that makes it first"):
        table_of(characters, data)
    with pytest.raises(UserError, match="none/tokens.txt does not exist"):
        table_of(tmp_path / "none/tokens.txt", data)
    assert not (tmp_path / "tokens_by_language.tsv").exists()
