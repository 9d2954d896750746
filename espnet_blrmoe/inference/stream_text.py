"""The text of a stream, which grows token by token; the CTC's best path never takes back what it has said."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from espnet_blrmoe.inference.transcript import Word

NOTHING = Word(0.0, 0.0, "", 1.0, "")


class StreamText:
    """Words from the most probable token of every frame.

    Args:
        text_of: token ids -> text.
        blank: id of the CTC's blank.
        seconds_per_frame: of a frame.

    Attributes:
        final: the words to which nothing will be added; one string that grows, since a stream may last for hours.
        frames: that were heard.
    """

    def __init__(self, text_of: Callable[[list[int]], str], blank: int, seconds_per_frame: float):
        self._text_of, self._blank, self._seconds_per_frame = text_of, blank, seconds_per_frame
        self.final = ""
        self._tokens: list[int] = []  # of the word that may go on
        self._word = NOTHING
        self._last = blank
        self.frames = 0

    @property
    def text(self) -> str:
        """All words."""
        return f"{self.final} {self._word.text}".strip()

    def add(self, ids: Sequence[int], scores: Sequence[float], languages: Sequence[str]) -> list[Word]:
        """The next frames: the token of each, its log-probability, and the frame's language.

        Returns:
            the words that they have brought to an end.
        """
        words = []
        for token, score, language in zip(ids, scores, languages, strict=True):
            self.frames += 1
            if token not in (self._last, self._blank):
                words += self._add(token, score, language)
            self._last = token
        return words

    def finish(self) -> list[Word]:
        """Nothing more comes; returns the last word, if there is one."""
        words = [self._word] if self._word.text else []
        self.final, self._tokens, self._word = self.text, [], NOTHING
        return words

    def _add(self, token: int, score: float, language: str) -> list[Word]:
        start, end = (round((self.frames - n) * self._seconds_per_frame, 3) for n in (1, 0))
        *before, current = self._text_of([*self._tokens, token]).split() or [""]
        words = self.finish() if before else []
        self._tokens.append(token)
        if not self._word.text:
            self._word = Word(start, end, "", 1.0, language)
        confidence = self._word.confidence * math.exp(score)
        self._word = replace(self._word, end=end, text=current, confidence=confidence)
        return words
