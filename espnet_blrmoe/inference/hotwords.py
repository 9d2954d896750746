"""Hotwords: words and phrases that are likely to be said, as people write them, each with a weight."""

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

DEFAULT_WEIGHT = 7.0  # benchmarks/NOTES.md
HIGHEST_WEIGHT = 50.0  # with more, even a single hotword is heard all the time: docs/hotwords.md

Hotwords = str | Path | Sequence[str] | Mapping[str, float | None]  # see read_hotwords


def read_hotwords(given: Hotwords) -> dict[str, float]:
    """Read what people write.

    Args:
        given: "Zamenhof:9.5 Esperanto New_York": words, each with its weight behind a colon, or with DEFAULT_WEIGHT;
            the words of a phrase are joined by "_". A file has a word or phrase on each line, and a list in each
            string: New York:9.5. Or {"New York": 9.5, "Esperanto": None}. Any may begin with the languages in which it
            is likely to be said: "de,en=Zug:9.5".

    Returns:
        weight of each hotword, in nats; those of some languages have them before them still, see `split_languages`.

    Raises:
        ValueError: a weight is no positive number or above HIGHEST_WEIGHT, a hotword is empty, no string or there
            twice, or the file is missing or not in UTF-8.
    """
    weights: dict[str, float] = {}
    for place, phrase, weight in _entries(given):
        if not isinstance(phrase, str):  # YAML reads a bare no as false
            raise ValueError(f"{place}: {phrase!r} is not a string; put it in quotation marks")
        phrase = unicodedata.normalize("NFC", " ".join(phrase.split()))
        if not split_languages(phrase)[1]:
            raise ValueError(f"{place}: there is no word in it")
        if phrase in weights:
            raise ValueError(f"{place}: {phrase!r} is there twice; remove one")
        weights[phrase] = DEFAULT_WEIGHT if weight is None else _number(place, weight)
    return weights


def split_languages(phrase: str) -> tuple[str | None, str]:
    """The languages before a hotword, as one text, and the hotword: "de,en=Zug" is ("de,en", "Zug"); None: any."""
    languages, is_for_some, rest = phrase.partition("=")
    return (languages.strip(), rest.strip()) if is_for_some else (None, phrase)


def _entries(given: Hotwords) -> Iterator[tuple[str, str, str | float | None]]:
    """Where each hotword stands, for messages, the hotword, and its weight if there is one."""
    if isinstance(given, Path):
        lines = enumerate(_text(given).splitlines(), start=1)
        yield from ((f"{given}, line {n}", *_split(line)) for n, line in lines if line.strip())
    elif isinstance(given, str):
        yield from ((f"hotword {entry!r}", *_split(entry.replace("_", " "))) for entry in given.split())
    elif isinstance(given, Mapping):
        yield from ((f"hotword {phrase!r}", phrase, weight) for phrase, weight in given.items())
    elif isinstance(given, Sequence):
        yield from ((f"hotword {entry!r}", *_split(entry)) for entry in given)
    else:
        raise ValueError(f"hotwords must be words, as in 'Zamenhof:9.5 Esperanto', or a Path of a file, not {given!r}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the file of hotwords {file} is not in UTF-8; convert it") from error
    except OSError as error:
        raise ValueError(f"the file of hotwords {file} cannot be read: {error.strerror}") from error


def _split(entry: str) -> tuple[str, str | None]:
    """A word or phrase, and its weight if there is one."""
    if not isinstance(entry, str) or ":" not in entry:
        return entry, None
    phrase, _, weight = entry.rpartition(":")
    return phrase, weight


def _number(place: str, weight: str | float) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{place}: the weight must be a positive number, as in Zamenhof:9.5, not {weight!r}")
    if number > HIGHEST_WEIGHT:
        most = f"{HIGHEST_WEIGHT:g} nats"
        raise ValueError(f"{place}: a weight of more than {most} outweighs what is said; give less, as in Zamenhof:9.5")
    return number
