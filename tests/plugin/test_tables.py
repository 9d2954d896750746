"""Tables of Kaldi, and those that programs print."""

import pytest

from espnet_blrmoe.tables import read_table, text_table


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [
        (
            [("en", "1,000", "1.50"), ("zh-CN", "20", "07.5")],
            1,
            ["language  utterances  hours", "en             1,000   1.50", "zh-CN             20   07.5"],
        ),
        ([("en", "1e3", "-")], 2, ["language  utterances  hours", "en        1e3             -"]),  # cells as they are
        ([], 1, ["language  utterances  hours"]),
    ],
    ids=["one column of names", "two", "no row"],
)
def test_names_are_flush_left_and_figures_right(rows, names, expected):
    lines = text_table(("language", "utterances", "hours"), rows, names).splitlines()
    assert [line.rstrip() for line in lines] == expected


def test_a_table_is_read_as_it_is_meant(tmp_path):
    text = "\ufeffa  one  two \r\nb\n\ufeffc\tthree\n"  # from Windows, and put together of two
    (tmp_path / "text").write_text(text, encoding="utf-8", newline="")
    assert read_table(tmp_path / "text") == {"a": "one  two", "b": "", "c": "three"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a one\n\n", "text has an empty line; remove it .line 2."),
        (b"a one\na two\n", "text: a is duplicated .line 2."),
        ("a été\n".encode("latin-1"), "text is not text in UTF-8: invalid continuation byte"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "text")
    with pytest.raises(ValueError, match="missing cannot be read: No such file or directory"):
        read_table(tmp_path / "missing")
