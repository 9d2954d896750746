"""Word n-grams of a language, from files in the ARPA format, which KenLM, SRILM and others write."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import kenlm

NGRAM_WEIGHT = 0.5  # of the log-probabilities, by default
KENLM = "kenlm, which is not installed: pip install ufal.kenlm"
UNKNOWN_COST = 3.0  # nats by which a word that the n-gram does not know counts less than the rarest that it knows
MARKS = ("<s>", "</s>", "<unk>")
CACHED_WORDS = 65536  # after a history, of which the probability is kept


class Ngram:
    """Probabilities of words after others, and of the beginnings of words.

    Args:
        path: the file.

    Attributes:
        order: how many words a probability is of.

    Raises:
        ValueError: it is missing or not such a file, or kenlm is not installed.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("kenlm") is None:
            raise ValueError(f"ngram {path} needs {KENLM}")
        import kenlm

        unigrams = read_unigrams(path)
        config = kenlm.Config()
        config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        try:
            with _without_messages():
                self._model: kenlm.Model = kenlm.Model(str(path), config)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"ngram {path} is not a complete ARPA file; make it again") from error
        self._new_state: type[kenlm.State] = kenlm.State
        self.order: int = self._model.order
        self._unknown = min(unigrams.values()) - UNKNOWN_COST
        self._begun = beginnings(unigrams)
        self.after = lru_cache(CACHED_WORDS)(self._after)

    @property
    def start(self) -> kenlm.State:
        """The history at the beginning of a text."""
        state = self._new_state()
        self._model.BeginSentenceWrite(state)
        return state

    def _after(self, history: kenlm.State, word: str) -> tuple[kenlm.State, float]:
        """The history with one more word, and its log-probability in nats; unknown words have one for all."""
        state = self._new_state()
        score = self._model.BaseScore(history, word, state) * math.log(10)
        return state, score if self.knows(word) else self._unknown

    def end(self, history: kenlm.State) -> float:
        """The log-probability of the text's end after these words, in nats."""
        return self.after(history, "</s>")[1]

    def begun(self, letters: str) -> float:
        """The log-probability, without history, of all words that begin so; that of an unknown word without any."""
        return self._begun.get(letters, self._unknown) if letters else 0.0

    def knows(self, word: str) -> bool:
        """Whether the word is in the file."""
        return word in self._model


@contextmanager
def _without_messages() -> Iterator[None]:
    """Without KenLM's message that a file has no <unk>, which goes past Python."""
    try:
        kept = os.dup(2)
    except OSError:  # nothing can be written there
        yield
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_unigrams(path: Path) -> dict[str, float]:
    """The words of an ARPA file, and the log-probability of each without history, in nats.

    Raises:
        ValueError: it is missing, has no words, or a line of them cannot be read.
    """
    words: dict[str, float] = {}
    is_inside, number = False, 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if is_inside and line.startswith("\\"):
                    break
                if is_inside and line.strip():
                    log10, word = line.split("\t" if "\t" in line else None)[:2]
                    words[word.strip()] = float(log10) * math.log(10)
                is_inside = is_inside or line.strip() == "\\1-grams:"
    except OSError as error:
        raise ValueError(f"ngram {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError, too
        raise ValueError(f"ngram {path}, line {number}: not a line of an ARPA file in UTF-8 ({error})") from error
    if not (words := {word: nats for word, nats in words.items() if word not in MARKS}):
        raise ValueError(f"ngram {path} has no words; give an ARPA file, as stage 7 of the recipe and lmplz write it")
    return words


def beginnings(unigrams: dict[str, float]) -> dict[str, float]:
    """The log-probability of all words that begin with some letters, from those of the words, in nats."""
    masses: defaultdict[str, float] = defaultdict(float)
    for word, nats in unigrams.items():
        for length in range(1, len(word) + 1):
            masses[word[:length]] += math.exp(nats)
    return {letters: math.log(mass) for letters, mass in masses.items() if mass > 0}
