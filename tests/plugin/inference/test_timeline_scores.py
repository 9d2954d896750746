"""What is counted as right in a timeline."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe import LanguageSpan
from espnet_blrmoe.inference.timeline_scores import boundary_errors, changes_of, is_right, right_seconds


def timeline(*spans: tuple[float, float, str]) -> tuple[LanguageSpan, ...]:
    return tuple(LanguageSpan(*span) for span in spans)


SAID = timeline((0, 2, "de"), (3, 5, "en"), (6, 8, "en"), (8, 9, "de"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (timeline((0, 2, "de"), (3, 5, "en"), (6, 8, "en"), (8, 9, "de")), [0.0, 0.0]),
        (timeline((0, 2.7, "de"), (2.7, 8.5, "en"), (8.5, 9, "de")), [0.2, 0.5]),
        (timeline((0, 1, "de"), (1, 1.2, "en"), (1.2, 2.4, "de"), (2.4, 9, "en")), [0.1, 6.8]),
        (timeline((0, 9, "de")), [math.inf, math.inf]),
        ((), [math.inf, math.inf]),
    ],
)
def test_boundaries_are_compared_with_the_nearest_change_to_the_same_language(found, expected):
    assert boundary_errors(found, SAID) == pytest.approx(expected)


def test_seconds_that_went_to_the_right_expert():
    found = timeline((-1, 1.5, "de"), (1.5, 3.5, "en"), (4, 7, "en"))
    assert [right_seconds(found, one) for one in SAID] == pytest.approx([1.5, 1.5, 1.0, 0.0])


@pytest.mark.parametrize(("seconds", "language", "expected"), [
    (1.99, "de", True), (2.0, "de", False), (2.5, "de", False), (3.0, "en", True), (3.0, "de", False),
])
def test_the_language_at_a_time(seconds, language, expected):
    assert is_right(SAID, seconds, language) == expected


@given(st.lists(st.tuples(st.floats(0.1, 3), st.floats(0, 1), st.sampled_from("abc")), max_size=6))
def test_the_right_timeline_has_no_error(stretches):
    spans, time = [], 0.0
    for length, pause, language in stretches:
        spans.append(LanguageSpan(time, time + length, language))
        time += length + pause
    assert boundary_errors(spans, spans) == [0.0] * len(changes_of(spans))
    assert all(right_seconds(spans, span) == pytest.approx(span.end - span.start) for span in spans)
