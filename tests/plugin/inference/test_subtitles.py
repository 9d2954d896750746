"""Subtitles: short lines, neither too long nor too short on the screen, cut where people pause."""

import itertools
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe import Word
from espnet_blrmoe.inference.subtitles import COLUMNS, Subtitle, as_srt, as_vtt, subtitles_of

ALPHABETS = [*("a", "bcd", "you", "therefore", "it's", "well,", "yes.", "Donaudampfschifffahrt"), *"你好吗。ไทยかな"]


def spoken(text: str, start: float = 0.0, pauses: dict[int, float] | None = None, seconds: float = 0.3) -> list[Word]:
    """A word every so many seconds, with pauses before some of them."""
    words = []
    for number, word in enumerate(text.split()):
        start += (pauses or {}).get(number, 0.0)
        words.append(Word(start, start + seconds, word, 0.9, "en"))
        start += seconds
    return words


@st.composite
def words_in_time_order(draw) -> list[Word]:
    words, start = [], 0.0
    for text in draw(st.lists(st.sampled_from(ALPHABETS), max_size=60)):
        start += draw(st.sampled_from([0.0, 0.0, 0.0, 0.4, 2.0]))
        end = start + draw(st.sampled_from([0.04, 0.2, 0.6]))
        words.append(Word(round(start, 3), round(end, 3), text, 0.5, "en"))
        start = end
    return words


def texts(subtitles: list[Subtitle]) -> list[str]:
    return [" / ".join(subtitle.lines) for subtitle in subtitles]


@given(words_in_time_order())
def test_subtitles_have_all_words_in_lines_that_fit(words):
    subtitles = subtitles_of(words)
    shown = "".join("".join(subtitle.lines) for subtitle in subtitles)
    assert shown.replace(" ", "") == "".join(word.text for word in words)
    for subtitle in subtitles:
        assert 1 <= len(subtitle.lines) <= 2
        wide = [sum(1 + (character in "你好吗。かな") for character in line) for line in subtitle.lines]
        assert max(wide) <= COLUMNS


@given(words_in_time_order())
def test_subtitles_are_shown_from_1_to_7_seconds_while_their_words_are_said(words):
    subtitles = subtitles_of(words)
    starts = {word.start for word in words}
    for subtitle, following in itertools.zip_longest(subtitles, subtitles[1:]):
        assert subtitle.start in starts
        assert subtitle.end - subtitle.start <= 7.0005
        if following is not None:
            assert subtitle.end <= following.start
        if following is None or following.start >= subtitle.start + 1:
            assert subtitle.end >= subtitle.start + 0.9995


def test_a_short_text_is_one_line():
    assert subtitles_of(spoken("good morning", start=2.0)) == [Subtitle(2.0, 3.0, ("good morning",))]


def test_cuts_are_made_at_pauses_and_punctuation():
    sentence = "we took the early train to the coast and then the ferry to the island where my sister lives with dogs"
    assert texts(subtitles_of(spoken(sentence, pauses={8: 0.5}, seconds=0.2))) == [
        "we took the early train to the coast",
        "and then the ferry to the island / where my sister lives with dogs",
    ]
    punctuated = sentence.replace("coast", "coast.")
    assert texts(subtitles_of(spoken(punctuated, seconds=0.2)))[0] == "we took the early train to the coast."


def test_no_subtitle_bridges_a_long_pause():
    assert texts(subtitles_of(spoken("yes no", pauses={1: 2.0}))) == ["yes", "no"]


def test_two_lines_break_at_punctuation_or_in_the_middle():
    assert texts(subtitles_of(spoken("if nobody objects to it today, the meeting is over now"))) == [
        "if nobody objects to it today, / the meeting is over now"
    ]
    assert texts(subtitles_of(spoken("ab " * 16, seconds=0.2))) == [" / ".join(2 * ["ab ab ab ab ab ab ab ab"])]


def test_lines_break_at_pauses():
    words = spoken("and here it goes on for long enough that two lines are needed", pauses={5: 0.4})
    assert texts(subtitles_of(words)) == ["and here it goes on / for long enough that two lines are needed"]


def test_after_a_pause_another_language_has_its_own_subtitle():
    def in_both(pause):
        german, spanish = spoken("guten tag"), spoken("buenos días amigos", start=0.6 + pause)
        return texts(subtitles_of([*german, *(replace(word, language="es") for word in spanish)]))

    assert in_both(0.5) == ["guten tag", "buenos días amigos"]
    assert in_both(0.1) == ["guten tag buenos días amigos"]


def test_a_word_longer_than_a_line_stands_alone():
    long = "x" * 50
    assert texts(subtitles_of(spoken(f"a {long} b", seconds=1.0))) == ["a", long, "b"]


def test_scripts_without_spaces_have_none_and_wide_characters():
    words = [Word(n * 0.1, n * 0.1 + 0.1, character, 0.9, "zh-CN") for n, character in enumerate("你好" * 20 + "a")]
    assert texts(subtitles_of(words)) == ["你好" * 10 + " / " + "你好" * 10 + " a"]


def test_srt_and_vtt():
    subtitles = [Subtitle(0.0, 1.5, ("1 < 2 & so", "on")), Subtitle(3661.5, 3662.0, ("ü",))]
    assert as_srt(subtitles) == (
        "1\n00:00:00,000 --> 00:00:01,500\n1 < 2 & so\non\n\n2\n01:01:01,500 --> 01:01:02,000\nü\n\n"
    )
    assert as_vtt(subtitles) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n1 &lt; 2 &amp; so\non\n\n01:01:01.500 --> 01:01:02.000\nü\n\n"
    )
    assert (as_srt([]), as_vtt([])) == ("", "WEBVTT\n\n")


def test_times_are_rounded_to_the_next_millisecond():
    assert re.findall(r"[\d:,]{12}", as_srt([Subtitle(59.9996, 3599.9999, ("a",))])) == ["00:01:00,000", "01:00:00,000"]
