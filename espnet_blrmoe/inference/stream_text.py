"""The text of a stream, which grows token by token; the CTC's best path never takes back what it has said."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from espnet_blrmoe.inference.transcript import Word
from espnet_blrmoe.writing import split_words

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
        self._space = ""  # between `final` and the word that may go on
        self._tokens: list[int] = []  # of that word
        self._word = NOTHING
        self._languages: Counter[str] = Counter()  # of the frames since it began
        self._last = blank
        self.frames = 0

    @property
    def text(self) -> str:
        """All words."""
        return self.final + self._space + self._word.text

    def add(self, ids: Sequence[int], scores: Sequence[float], languages: Sequence[str]) -> list[Word]:
        """The next frames: the token of each, its log-probability, and the frame's language.

        Returns:
            the words that they have brought to an end.
        """
        words = []
        for token, score, language in zip(ids, scores, languages, strict=True):
            self.frames += 1
            self._languages[language] += 1
            if token not in (self._last, self._blank):
                words += self._add(token, score, language)
            self._last = token
        return words

    def finish(self) -> list[Word]:
        """Nothing more comes; returns the last word, if there is one."""
        words = [self._word] if self._word.text else []
        self.final, self._space, self._tokens, self._word = self.text, "", [], NOTHING
        return words

    def _add(self, token: int, score: float, language: str) -> list[Word]:
        """A token goes on with the word if both together are not more words than that alone; see positions_of_words."""
        words = []
        text = self._text_of([*self._tokens, token]).strip()
        if len(split_words(text)) > max(1, len(split_words(self._word.text))):
            is_apart = text.removeprefix(self._word.text)[:1].isspace()
            words = self.finish()
            self._space, text = " " if is_apart else "", self._text_of([token]).strip()
        self._tokens.append(token)
        if text != self._word.text:  # a space says nothing
            self._go_on(text, score, language)
        return words

    def _go_on(self, text: str, score: float, language: str) -> None:
        """The word has become `text` in the frame that was heard last."""
        before, end = self._word, round(self.frames * self._seconds_per_frame, 3)
        start = before.start
        if not before.text:
            start, self._languages = round((self.frames - 1) * self._seconds_per_frame, 3), Counter([language])
        ((most, _),) = self._languages.most_common(1)
        self._word = Word(start, end, text, before.confidence * math.exp(score), most)
