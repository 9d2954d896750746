"""How well a timeline says which language is spoken when."""

import math
from collections.abc import Sequence
from itertools import pairwise

from espnet_blrmoe.inference.transcript import LanguageSpan

NEAR = 0.3  # seconds from a change of language to where it is recognised


def right_seconds(timeline: Sequence[LanguageSpan], said: LanguageSpan) -> float:
    """Seconds of what is said in one language that a timeline gives to that language."""
    overlaps = (
        min(said.end, span.end) - max(said.start, span.start) for span in timeline if span.language == said.language
    )
    return sum(overlap for overlap in overlaps if overlap > 0)


def is_right(timeline: Sequence[LanguageSpan], seconds: float, language: str) -> bool:
    """Whether a timeline has this language at this time."""
    return any(span.start <= seconds < span.end and span.language == language for span in timeline)


def changes_of(spans: Sequence[LanguageSpan]) -> list[tuple[float, str]]:
    """When the language changes, in the middle of the pause if there is one, and to which."""
    return [((one.end + following.start) / 2, following.language)
            for one, following in pairwise(spans) if one.language != following.language]


def boundary_errors(timeline: Sequence[LanguageSpan], said: Sequence[LanguageSpan]) -> list[float]:
    """Seconds from each change of language to the nearest one to the same language that was recognised; infinite where
    there is none.
    """
    found = changes_of(timeline)
    return [min((abs(time - when) for time, other in found if other == language), default=math.inf)
            for when, language in changes_of(said)]
