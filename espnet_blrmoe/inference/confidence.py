"""How sure a recogniser says that it is of words, and how often such words are right.

W words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from espnet_blrmoe.inference.transcript import Word
from espnet_blrmoe.writing import split_words

BINS = 10
LARGEST_LOGIT = 12.0  # of a probability that calibration tells from 1
OPTION = "word_confidence"  # of a model's configuration


@dataclass(frozen=True)
class Calibration:
    """Makes confidences of the probabilities that the CTC gives words (Platt, 1999).

    Attributes:
        slope, offset: of the line that leads from the logit of a probability to that of the confidence.
    """

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "Calibration":
        """That of a model's configuration; without one, probabilities stay as they are.

        Raises:
            ValueError: it is not a positive slope and an offset.
        """
        given = config.get(OPTION)
        if given is None:
            return cls()
        names = ("slope", "offset")
        values: list[Any] = [given.get(name) for name in names] if isinstance(given, dict) else [None]
        if not all(type(value) in (int, float) and math.isfinite(value) for value in values) or not values[0] > 0:
            example = "{slope: 0.8, offset: 1.5}"
            raise ValueError(f"{OPTION} must be a positive slope and an offset, as in {example}, not {given!r}")
        return cls(*map(float, values))

    @classmethod
    def fitted(cls, probabilities: np.ndarray, right: np.ndarray) -> "Calibration | None":
        """The one under which words are right as often as it says, by logistic regression.

        Args:
            probabilities: (W,), from 0 to 1.
            right: (W,) bool.

        Returns:
            None where the words are all right, all wrong, or no oftener right the more probable they are.
        """
        from sklearn.linear_model import LogisticRegression  # whose import takes a second

        if right.all() or not right.any():
            return None
        line = LogisticRegression().fit(logits(probabilities)[:, None], right)
        slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
        return cls(slope, offset) if slope > 0 else None

    def of(self, probability: float) -> float:
        """The confidence in a word of this probability; in one of probability 0, none."""
        if self == Calibration() or probability == 0:
            return probability
        return float(self.of_all(np.array([probability]))[0])

    def of_all(self, probabilities: np.ndarray) -> np.ndarray:
        """The confidences in words of these probabilities, (W,)."""
        return 1 / (1 + np.exp(-(self.slope * logits(probabilities) + self.offset)))

    def as_options(self) -> dict[str, dict[str, float]]:
        """The option of a model's configuration."""
        return {OPTION: asdict(self)}


def logits(probabilities: np.ndarray) -> np.ndarray:
    """(W,), bounded."""
    smallest = 1 / (1 + math.exp(LARGEST_LOGIT))
    bounded = np.clip(probabilities.astype(float), smallest, 1 - smallest)
    return np.log(bounded) - np.log1p(-bounded)


def right_words(text: str, words: Sequence[Word]) -> list[bool]:
    """Which recognised words are right: aligned, with the fewest errors, with the same word of what was said.

    In scripts without spaces, characters are aligned; a word of several is right if all of them are.
    """
    pieces = [(piece, n) for n, word in enumerate(words) for piece in split_words(word.text)]
    right = [True] * len(words)
    for part in Levenshtein.opcodes(split_words(text), [piece for piece, _ in pieces]):
        if part.tag != "equal":
            for _, n in pieces[part.dest_start : part.dest_end]:
                right[n] = False
    return right


def reliability(confidences: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """How often words of similar confidence, (W,), are right, (W,) bool.

    Returns:
        an entry for each tenth of confidence that has words: `words`, how many, and the means `confidence` and `right`.
    """
    number = np.minimum((BINS * confidences).astype(int), BINS - 1)
    return [
        {"words": int((number == n).sum()), "confidence": float(confidences[number == n].mean()),
         "right": float(right[number == n].mean())}
        for n in range(BINS) if (number == n).any()
    ]  # fmt: skip


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float:
    """How far confidence is, on average over the words, from the share of right ones: of what `reliability` gives."""
    total = sum(own["words"] for own in bins)
    return sum(own["words"] * abs(own["confidence"] - own["right"]) for own in bins) / total if total else math.nan
