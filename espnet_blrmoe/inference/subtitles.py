"""Subtitles: words in pieces as people read them.

At most two lines of 42 columns, as broadcasters ask for (a Chinese, Japanese or Korean character takes two columns),
and from 1 to 7 seconds. Of all ways to cut a text so, the one is taken whose cuts cost least: at pauses and punctuation
little, within a clause much.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from espnet_blrmoe.writing import join_texts, space_between

if TYPE_CHECKING:
    from espnet_blrmoe.inference.transcript import Word

COLUMNS, LINES = 42, 2
SHORTEST, LONGEST = 1.0, 7.0  # seconds
PAUSE, LONG_PAUSE = 0.3, 1.5  # seconds between words: heard as a pause; what no subtitle should bridge
SENTENCE_ENDS, CLAUSE_ENDS = tuple(".?!…。？！।؟۔።"), tuple(",;:、，；：،؛—–")
# What a cut costs; below nothing: even where more would fit. After a pause in another language, somebody else speaks.
AT_A_LONG_PAUSE, AT_ANOTHER_LANGUAGE, AT_A_SENTENCE_END, AT_A_PAUSE, WITHIN_A_CLAUSE = -2.0, -1.0, 0.3, 1.0, 3.0
TOO_SHORT = 4.0  # what a subtitle costs that must make room in less than SHORTEST


@dataclass(frozen=True)
class Subtitle:
    """What is shown at once.

    Attributes:
        start, end: seconds.
        lines: one or two.
    """

    start: float
    end: float
    lines: tuple[str, ...]


def subtitles_of(words: Sequence[Word]) -> list[Subtitle]:
    """Subtitles of words in time order; no two of them overlap.

    A word that alone is longer than a line is a subtitle of one line. Where the next word comes too soon, a subtitle is
    shown for less than a second.
    """
    costs = [_cost_of_cut(word, following) for word, following in pairwise(words)] + [0.0]
    least, cut_before = [0.0] + [math.inf] * len(words), [0] * (len(words) + 1)  # by how many words have a subtitle
    for start in range(len(words)):
        for end in _possible_ends(words, start):
            cost = least[start] + costs[end - 1]
            if end < len(words) and words[end].start - words[start].start < SHORTEST:
                cost += TOO_SHORT
            if cost < least[end]:
                least[end], cut_before[end] = cost, start
    cuts = [len(words)]
    while cuts[-1] > 0:
        cuts.append(cut_before[cuts[-1]])
    return [_subtitle(words, start, end) for start, end in pairwise(reversed(cuts))]


def as_srt(subtitles: Sequence[Subtitle]) -> str:
    """The text of a SubRip file."""
    return "".join(f"{number}\n{_shown(own, ',', own.lines)}\n\n" for number, own in enumerate(subtitles, start=1))


def as_vtt(subtitles: Sequence[Subtitle]) -> str:
    """The text of a WebVTT file."""
    lines = [[html.escape(line, quote=False) for line in own.lines] for own in subtitles]
    return "WEBVTT\n\n" + "".join(f"{_shown(own, '.', escaped)}\n\n" for own, escaped in zip(subtitles, lines))


def _shown(subtitle: Subtitle, point: str, lines: Sequence[str]) -> str:
    """Its times and these lines, as both formats have them."""
    return "\n".join((f"{_clock(subtitle.start, point)} --> {_clock(subtitle.end, point)}", *lines))


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"


def _cost_of_cut(word: Word, following: Word) -> float:
    """What it costs to begin a new subtitle between two words."""
    pause, changes = following.start - word.end, following.language != word.language
    if pause >= LONG_PAUSE:
        return AT_A_LONG_PAUSE
    if pause >= PAUSE and changes:
        return AT_ANOTHER_LANGUAGE
    if word.text.endswith(SENTENCE_ENDS):
        return AT_A_SENTENCE_END
    return AT_A_PAUSE if changes or pause >= PAUSE or word.text.endswith(CLAUSE_ENDS) else WITHIN_A_CLAUSE


def _possible_ends(words: Sequence[Word], start: int) -> Iterator[int]:
    """Before which words a subtitle may end that begins with this one; at least before the next."""
    lines, columns = 1, _columns(words[start].text)
    yield start + 1
    for end in range(start + 1, len(words)):
        if words[end].end - words[start].start > LONGEST:
            return
        width = _columns(words[end].text)
        with_space = columns + len(space_between(words[end - 1].text, words[end].text)) + width
        lines, columns = (lines, with_space) if with_space <= COLUMNS else (lines + 1, width)
        if lines > LINES or max(width, _columns(words[start].text)) > COLUMNS:
            return
        yield end + 1


def _subtitle(words: Sequence[Word], start: int, end: int) -> Subtitle:
    """The subtitle of the words from `start` to before `end`."""
    begin, shown = words[start].start, max(words[end - 1].end, words[start].start + SHORTEST)
    if end < len(words):
        shown = min(shown, words[end].start)
    return Subtitle(begin, round(min(shown, begin + LONGEST), 3), _lines(words[start:end]))


def _lines(words: Sequence[Word]) -> tuple[str, ...]:
    """Words in one line, or else in two that break at a pause or punctuation, if they can, and are about as long."""
    whole = _joined(words)
    if _columns(whole) <= COLUMNS or len(words) == 1:
        return (whole,)
    halves = {n: (_joined(words[:n]), _joined(words[n:])) for n in range(1, len(words))}
    fitting = (n for n, half in halves.items() if max(map(_columns, half)) <= COLUMNS)

    def badness(n: int) -> tuple[bool, int]:
        first, second = halves[n]
        return _cost_of_cut(words[n - 1], words[n]) == WITHIN_A_CLAUSE, abs(_columns(first) - _columns(second))

    return halves[min(fitting, key=badness)]


def _joined(words: Sequence[Word]) -> str:
    return join_texts(word.text for word in words)


def _columns(text: str) -> int:
    """How wide a text is; marks above and below letters take no room."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return wide + sum(unicodedata.category(character) not in ("Mn", "Me") for character in text)
