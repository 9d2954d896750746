"""The table `stretches` of a data directory: when which language is spoken in an utterance, as far as that is known.

    zh-en-1 0.00 1.32 zh-CN
    zh-en-1 1.50 2.04 en

A line is a stretch: utterance, start and end in seconds of the utterance, language. What is between stretches is in no
language. Stage 3, which knows how long utterances are, writes it into `utt2lang`.
"""

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from espnet_blrmoe.languages import LanguageStretch, format_label
from espnet_blrmoe.segments import OVERSHOOT
from shared.kaldi_tables import UserError, stream_table

Stretches = list[tuple[float, float, str]]  # start and end in seconds, language


def stream_stretches(table: Path) -> Iterator[tuple[str, Stretches, str]]:
    """Utterances, each with its stretches and the place of the last of them, "file:line".

    Raises:
        UserError: a line is no stretch, or begins before the utterance's last one ends (names the place).
    """
    lines = enumerate(stream_table(table, in_order=False), start=1)
    for key, group in groupby(lines, key=lambda line: line[1][0]):
        stretches: Stretches = []
        for number, (_, value) in group:
            place = f"{table}:{number}"
            stretches.append(_stretch(value, f"{place}: {key} {value}"))
            if len(stretches) > 1 and stretches[-1][0] < stretches[-2][1]:
                raise UserError(f"{place}: {key} {value}: this stretch begins before the one above it ends; the "
                                "stretches of an utterance follow one another")
        yield key, stretches, place


def _stretch(value: str, line: str) -> tuple[float, float, str]:
    try:
        start, end, language = value.split()
        if not 0 <= float(start) < float(end) < math.inf or ":" in language:
            raise ValueError
    except ValueError:
        raise UserError(f"{line}: expected 'utterance start end language', with times in seconds") from None
    return float(start), float(end), language


def timed_label(stretches: Stretches, seconds: float) -> str:
    """What `utt2lang` says of an utterance that is this long; as in `segments`, ends may be somewhat after it.

    Raises:
        ValueError: the last stretch is not in it.
    """
    start, end, language = stretches[-1]
    if start >= seconds or end > seconds + OVERSHOOT:
        raise ValueError(f"has {seconds:.2f} s, and no stretch in {language} from {start:g} to {end:g} s")
    return format_label(LanguageStretch(code, start / seconds, min(end / seconds, 1.0))
                        for start, end, code in stretches)
