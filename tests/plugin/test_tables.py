"""Tables that programs print."""

import pytest

from espnet_blrmoe.tables import text_table


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
