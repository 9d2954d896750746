"""Language codes: the ordered list of a model's languages, which is also the order of its router's classes, and lists
of those that are allowed."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

LABEL_PADDING = -1  # of a batch of labels; characters have no negative code points


def parse_languages(codes: str | Iterable[str], known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Parse "en,de" or ["en", "de"] into codes.

    Args:
        codes: language codes, as one comma-separated string or several strings.
        known: the languages of the model; None accepts every code.

    Raises:
        ValueError: no code, a code that is not a string or has a space in it, a code twice, or one that is not among
            `known` (the message lists those).
    """
    codes = codes.split(",") if isinstance(codes, str) else list(codes)
    for code in codes:
        if not isinstance(code, str):  # YAML reads Norwegian's no as false
            raise ValueError(f"language {code!r} is not a string; put the code in quotation marks, as in ['no', 'en']")
    codes = tuple(code.strip() for code in codes if code.strip())
    if not codes:
        raise ValueError("the list of languages is empty; name at least one, for example 'en,de'")
    for code in codes:
        if len(code.split()) > 1:
            raise ValueError(f"language {code!r} has a space in it; separate languages by commas, as in 'en,de'")
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"language {twice[0]!r} is listed twice in {','.join(codes)!r}")
    if known is not None:
        for code in codes:
            if code not in known:
                raise ValueError(f"unknown language {code!r}; this model knows {', '.join(known)}")
    return codes


@dataclass(frozen=True)
class AllowedLanguages:
    """The languages that an utterance may be in, throughout or changing over time.

    Attributes:
        starts: seconds at which each list begins to hold, ascending; the first is 0.
        codes: the lists, one for each start.
    """

    starts: tuple[float, ...]
    codes: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls,
        given: "str | Sequence[str] | Mapping[float, str | Sequence[str]] | AllowedLanguages",
        known: Sequence[str],
    ) -> "AllowedLanguages":
        """Read what people write.

        Args:
            given: "en,de" or ["en", "de"]: these languages; "en,de 12:fr" or {0: ["en", "de"], 12: "fr"}: English or
                German, and from second 12 on French. Before the first start every language is allowed.
            known: the languages of the model.

        Raises:
            ValueError: as `parse_languages`, for each list; or a start is not a number of seconds, or comes twice.
        """
        if isinstance(given, AllowedLanguages):
            return given
        if not isinstance(given, str | Sequence | Mapping):
            raise ValueError(f"languages must be codes, as in 'en,de' or ['en', 'de'], not {given!r}")
        lists = {}
        for start, codes in given.items() if isinstance(given, Mapping) else _by_start(given):
            if _seconds(start) in lists:
                raise ValueError(
                    f"{given!r} has two lists of languages from second {start} on; "
                    "write codes with commas and no spaces, as in 'en,de 12:fr'"
                )
            lists[_seconds(start)] = parse_languages(codes, known)
        lists.setdefault(0.0, tuple(known))
        return cls(*zip(*sorted(lists.items())))

    def span_at(self, seconds: np.ndarray) -> np.ndarray:
        """Which of the lists holds at these times: (T,) -> (T,) int64."""
        return np.searchsorted(self.starts, seconds, side="right") - 1


def _by_start(given: str | Sequence[str]) -> list[tuple[str, str | Sequence[str]]]:
    """Lists, each with the second, as text, at which it begins."""
    if not isinstance(given, str):
        return [("0", given)]
    parts = re.sub(r"\s*,\s*", ",", given).split() or [""]
    return [(start if colon else "0", codes) for start, colon, codes in (part.rpartition(":") for part in parts)]


def _seconds(start: str | float) -> float:
    try:
        seconds = float(start)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"a list of languages begins at a number of seconds, as in 12:fr, not at {start!r}")
    return seconds


class LanguageStretch(NamedTuple):
    """A stretch of an utterance in one language; start and end are parts of the utterance's length, from 0 to 1.

    Of neighbours with the same start and end only the order is known: one follows the other at some time in between.
    """

    language: str
    start: float = 0.0
    end: float = 1.0

    def within(self, start: float, end: float) -> "LanguageStretch":
        """The stretch as one of a longer utterance, of which its own utterance is the part from `start` to `end`."""
        return LanguageStretch(self.language, *(start * (1 - time) + end * time for time in self[1:]))


def parse_label(label: str) -> list[LanguageStretch]:
    """What a line of `utt2lang` says after the utterance's id.

        parse_label("en") == [LanguageStretch("en")]
        parse_label("zh-CN en zh-CN")  # in this order, nobody knows when
        parse_label("zh-CN:0:0.4 en:0.45:1") == [LanguageStretch("zh-CN", 0.0, 0.4), LanguageStretch("en", 0.45, 1.0)]

    Raises:
        ValueError: it is empty, or its stretches are not parts of the utterance, one after the other.
    """
    stretches = [_stretch(word) for word in label.split()]
    if not stretches:
        raise ValueError("there is no language")
    for before, after in pairwise(stretches):
        if after.start < before.end and after[1:] != before[1:]:
            raise ValueError(f"stretches of {label!r} overlap or are not in the order of time")
    return stretches


def has_times(stretches: Iterable[LanguageStretch]) -> bool:
    """Whether the language of any part of an utterance is known, and not only the order of its languages."""
    return 1 in Counter(stretch[1:] for stretch in set(stretches)).values()


@lru_cache(maxsize=1000)  # a corpus has few different ones, unless times are known
def label_languages(label: str) -> tuple[str, ...]:
    """The languages of a line of `utt2lang`, each once, in the order in which they come."""
    return tuple(dict.fromkeys(word.partition(":")[0] for word in label.split()))


def main_language(label: str) -> str:
    """The language that an utterance counts as, of a line of `utt2lang`: the first."""
    return label_languages(label)[0]


def encode_label(label: str | Sequence[LanguageStretch]) -> np.ndarray:
    """A label as an array, which is what ESPnet's loaders carry: its characters' code points, (L,) int64.

    The label itself says which language it is, so no second list of languages has to agree with the encoder's in its
    order.

    Args:
        label: as in `utt2lang`, or stretches in time order.
    """
    if not isinstance(label, str):
        label = format_label(label)
    return np.array([ord(character) for character in label], dtype=np.int64)


def decode_label(label: list[int]) -> list[LanguageStretch]:
    """The stretches of one row of a collated batch, padded with LABEL_PADDING."""
    return parse_label("".join(chr(character) for character in label if character != LABEL_PADDING))


def format_label(stretches: Iterable[LanguageStretch]) -> str:
    """Stretches as `parse_label` reads them."""
    return " ".join(f"{language}:{start:.7f}:{end:.7f}" for language, start, end in stretches)


def _stretch(word: str) -> LanguageStretch:
    language, *times = word.rsplit(":", 2)
    try:
        start, end = map(float, times or (0, 1))
        if not 0 <= start <= end <= 1:
            raise ValueError
    except ValueError:
        expected = "expected language:start:end, from 0 to 1 of the utterance's length"
        raise ValueError(f"{expected}, found {word!r}") from None
    return LanguageStretch(language, start, end)
