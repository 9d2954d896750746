"""What scorers of texts have in common: they follow a text token by token, and count the beginning of a word, too.

B texts, L tokens of each, V tokens of the model.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, TypeVar

import torch

from espnet_blrmoe.espnet_internals import BatchScorerInterface
from espnet_blrmoe.inference.words import ToText

CACHED_STATES = 2048  # of which the scores of all tokens are kept
IS_BYTE = re.compile("<0x[0-9A-F]{2}>").fullmatch  # a token of sentencepiece's byte fallback

State = TypeVar("State")


class TextScorer(BatchScorerInterface, ABC, Generic[State]):
    """A scorer for ESPnet's beam search that remembers of a text only a state, which must be hashable.

    Args:
        start: state of the empty text.
        tokens: how many the model has.
        eos: id of the token that ends a text.
    """

    def __init__(self, start: State, tokens: int, eos: int) -> None:
        self._start, self._tokens, self._eos = start, tokens, eos
        self._scores_after = lru_cache(CACHED_STATES)(self._compute_scores)

    @abstractmethod
    def _walk(self, state: State, token: int) -> tuple[State, float]:
        """The state after one more token, and what the words that it completes add to the score."""

    @abstractmethod
    def _begun(self, state: State) -> float:
        """What the beginning of a word at a text's end has been given; it is taken back when the text goes on."""

    def batch_score(
        self, ys: torch.Tensor, states: list[State | None], xs: torch.Tensor
    ) -> tuple[torch.Tensor, list[State]]:
        """Scores of every next token, (B, V), after texts (B, L), each with the state before its last token."""
        after = [
            self._start if state is None else self._walk(state, token)[0]
            for state, token in zip(states, ys[:, -1].tolist())
        ]
        return torch.stack([self._scores_after(state) for state in after]).to(xs), after

    def score(self, y: torch.Tensor, state: State | None, x: torch.Tensor) -> tuple[torch.Tensor, State]:
        """As `batch_score`, of one text: (V,) after (L,)."""
        scores, states = self.batch_score(y.unsqueeze(0), [state], x)
        return scores[0], states[0]

    def _compute_scores(self, state: State) -> torch.Tensor:
        """(V,) scores of the tokens after a text that has led to a state."""
        given = self._begun(state)
        scores = []
        for token in range(self._tokens):
            after, complete = self._walk(state, token)
            scores.append(complete + (0.0 if token == self._eos else self._begun(after)) - given)
        return torch.tensor(scores)


def texts_of(tokens: Sequence[str], to_text: ToText) -> dict[str, str]:
    """The letters and spaces of each token inside a text; those of bytes are the tokens themselves.

    Args:
        tokens: the model's, each of them.
        to_text: makes text of tokens.
    """
    return {token: token if IS_BYTE(token) else to_text(["a", token, "a"])[1:-1] for token in tokens}
