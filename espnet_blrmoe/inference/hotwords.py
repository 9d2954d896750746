"""Hotwords: words and phrases that are likely to be said, as people write them, and a weight for each."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DEFAULT_WEIGHT = 1.0  # nats for each letter: benchmarks/NOTES.md

Hotwords = str | Path | Sequence[str] | Mapping[str, float | None]  # see read_hotwords


def read_hotwords(given: Hotwords) -> dict[str, float]:
    """Read what people write.

    Args:
        given: "Zamenhof:2.0 Esperanto New_York": words, each with its weight behind a colon, or with the default; a
            phrase's words are joined by "_". A file has a word or phrase on each line, a list one in each string:
            New York:2.0. Or {"New York": 2.0, "Esperanto": None}.

    Returns:
        weights by hotword, in nats for each letter.

    Raises:
        ValueError: a weight is not a positive number, a hotword is empty or there twice, or the file is missing or not
            in UTF-8.
    """
    if isinstance(given, Mapping):
        return _checked((f"hotword {phrase!r}: ", phrase, weight) for phrase, weight in given.items())
    if isinstance(given, Path):
        lines = enumerate(_text(given).splitlines(), start=1)
        return _checked((f"{given}, line {n}: ", *_split(line)) for n, line in lines if line.strip())
    entries = [entry.replace("_", " ") for entry in given.split()] if isinstance(given, str) else given
    return _checked((f"hotword {entry!r}: ", *_split(entry)) for entry in entries)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ValueError(f"the file of hotwords {file} does not exist") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the file of hotwords {file} is not in UTF-8; convert it") from error
    except OSError as error:
        raise ValueError(f"the file of hotwords {file} cannot be read: {error.strerror}") from error


def _split(entry: str) -> tuple[str, str | None]:
    """A word or phrase, and its weight if there is one."""
    phrase, colon, weight = entry.rpartition(":")
    return (phrase, weight) if colon else (entry, None)


def _checked(entries: Iterable[tuple[str, str, str | float | None]]) -> dict[str, float]:
    """Weights by hotword, from where each entry stands, as the beginning of a sentence, its words and its weight."""
    weights: dict[str, float] = {}
    for place, phrase, weight in entries:
        phrase = unicodedata.normalize("NFC", " ".join(phrase.split()))
        if not phrase:
            raise ValueError(f"{place}there is no word")
        if phrase in weights:
            raise ValueError(f"{place}{phrase!r} is there twice; remove one")
        weights[phrase] = DEFAULT_WEIGHT if weight is None else _number(place, weight)
    return weights


def _number(place: str, weight: str | float) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{place}the weight must be a positive number of nats, as in Zamenhof:2.0, not {weight!r}")
    return number
