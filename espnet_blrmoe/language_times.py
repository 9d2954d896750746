"""Tables of a data directory that say, in seconds, when which language is spoken; as parts of an utterance's length it
stands in `utt2lang`.

`stretches` has a line for each stretch: utterance, start and end in seconds of the utterance, language. What is between
stretches is in no language.

    zh-en-1 0.00 1.32 zh-CN
    zh-en-1 1.50 2.04 en

`timeline` has a line for each recording, a JSON list of such stretches, each with what is said in it.

    zh-en-1 [[0.0, 1.32, "zh-CN", "我想"], [1.5, 2.04, "en", "take a break"]]
"""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from espnet_blrmoe.languages import LanguageStretch, format_label
from espnet_blrmoe.segments import OVERSHOOT
from espnet_blrmoe.tables import numbered_lines, read_table

Stretches = list[tuple[float, float, str]]  # start and end in seconds, language


def read_times(data_dir: Path) -> tuple[Path, dict[str, Stretches]]:
    """When which language is spoken in the utterances of a data directory, as far as one of the two tables says it.

    Returns:
        The table, and utterance -> stretches, of which there is at least one.

    Raises:
        ValueError: a line makes no sense; names the table and the utterance.
    """
    stretches, timeline = data_dir / "stretches", data_dir / "timeline"
    if stretches.is_file():
        lines = [(f"{stretches}:{number}", key, value) for number, key, value in numbered_lines(stretches)]
        return stretches, {key: own for key, own, _ in gather_stretches(sorted(lines, key=lambda line: line[1]))}
    rows = read_table(timeline) if timeline.is_file() else {}
    parsed = {key: parse_timeline(value, f"{timeline}: {key}") for key, value in rows.items()}
    return timeline, {key: [(start, end, code) for start, end, code, _ in own] for key, own in parsed.items()}


def gather_stretches(lines: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, Stretches, str]]:
    """Utterances of `stretches`, each with its stretches and the place of the last of them.

    Args:
        lines: place ("file:line"), utterance and the rest of each line; those of an utterance are neighbours.

    Raises:
        ValueError: a line is no stretch, or begins before the utterance's last one ends (names the place).
    """
    for key, group in groupby(lines, key=lambda line: line[1]):
        stretches: Stretches = []
        for place, _, value in group:
            stretches.append(_stretch(value, f"{place}: {key} {value}"))
            if len(stretches) > 1 and stretches[-1][0] < stretches[-2][1]:
                raise ValueError(f"{place}: {key} {value}: this stretch begins before the one above it ends; the "
                                 "stretches of an utterance follow one another")
        yield key, stretches, place


def _stretch(value: str, line: str) -> tuple[float, float, str]:
    try:
        start, end, language = value.split()
        if not 0 <= float(start) < float(end) < math.inf or ":" in language:
            raise ValueError
    except ValueError:
        raise ValueError(f"{line}: expected 'utterance start end language', with times in seconds") from None
    return float(start), float(end), language


def parse_timeline(timeline: str, place: str) -> list[tuple[float, float, str, str]]:
    """What a line of the table `timeline` says: start and end in seconds, language, and what is said, in time order.

    Raises:
        ValueError: it is no such list (names the place).
    """
    try:
        rows = [(float(start), float(end), str(code), str(text)) for start, end, code, text in json.loads(timeline)]
        if not rows or any(not 0 <= start < end for start, end, *_ in rows) or rows != sorted(rows):
            raise ValueError
    except (ValueError, TypeError):
        raise ValueError(f"{place}: expected a JSON list of [start seconds, end seconds, language, what is said], "
                         f"found {timeline!r}") from None
    return rows


def as_parts(stretches: Stretches, seconds: float) -> list[LanguageStretch]:
    """The stretches as parts of an utterance that is this long; as in `segments`, ends may be somewhat after it.

    Raises:
        ValueError: the last stretch is not in it.
    """
    start, end, language = stretches[-1]
    if start >= seconds or end > seconds + OVERSHOOT:
        raise ValueError(f"has {seconds:.2f} s, and no stretch in {language} from {start:g} to {end:g} s")
    return [LanguageStretch(code, start / seconds, min(end / seconds, 1.0)) for start, end, code in stretches]


def timed_label(stretches: Stretches, seconds: float) -> str:
    """What `utt2lang` says of an utterance that is this long; otherwise as `as_parts`."""
    return format_label(as_parts(stretches, seconds))
