"""What hotwords add to the scores of ESPnet's beam search."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache

import torch
from espnet2.bin import asr_inference

from espnet_blrmoe.espnet_internals import BatchScorerInterface, takes_scorers
from espnet_blrmoe.inference.hotword_trie import BOUNDARY, Trie
from espnet_blrmoe.inference.hotwords import Hotwords, read_hotwords
from espnet_blrmoe.writing import is_unspaced

CACHED_NODES = 2048  # of which the scores of all tokens are kept
IS_BYTE = re.compile("<0x[0-9A-F]{2}>").fullmatch  # a token of sentencepiece's byte fallback


class HotwordScorer(BatchScorerInterface):
    """Scores a text by the hotwords in it, and by the beginning of one at its end.

    A hotword brings its weight, an equal share with each of its letters. When the text goes on otherwise, or ends, what
    was given for a beginning is taken back. Only whole words count: what stands between spaces, or any characters of a
    script that writes none. It does not matter which tokens spell them.

    Args:
        weights: nats of each hotword, a sequence of letters.
        letters: of each token; see `letters_of`.
        eos: id of the token that ends a text.
    """

    def __init__(
        self, weights: Mapping[tuple[str, ...], float], letters: Sequence[tuple[str, ...]], eos: int
    ) -> None:
        self._trie = Trie(weights)
        self._letters, self._eos = letters, eos
        self._scores_after = lru_cache(CACHED_NODES)(self._compute_scores)

    def batch_score(
        self, ys: torch.Tensor, states: list[int | None], xs: torch.Tensor
    ) -> tuple[torch.Tensor, list[int]]:
        """Scores of every next token, (B, V), after texts (B, L), each with the node before its last token."""
        nodes = [
            self._trie.start if node is None else self._walk(node, token)[0]
            for node, token in zip(states, ys[:, -1].tolist())
        ]
        return torch.stack([self._scores_after(node) for node in nodes]).to(xs), nodes

    def score(self, y: torch.Tensor, state: int | None, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        """As `batch_score`, of one text: (V,) after (L,)."""
        scores, nodes = self.batch_score(y.unsqueeze(0), [state], x)
        return scores[0], nodes[0]

    def _compute_scores(self, node: int) -> torch.Tensor:
        """(V,) scores of the tokens after a text that has led to a node."""
        given = self._trie.begun[node]
        scores = []
        for token in range(len(self._letters)):
            after, complete = self._walk(node, token)
            scores.append(complete + (0.0 if token == self._eos else self._trie.begun[after]) - given)
        return torch.tensor(scores)

    def _walk(self, node: int, token: int) -> tuple[int, float]:
        """The node after one more token, and the weight of the hotwords that it completes."""
        complete = 0.0
        for letter in (BOUNDARY,) if token == self._eos else self._letters[token]:
            before, node = node, self._trie.step(node, letter)
            complete += self._trie.complete[node] if node != before else 0.0
        return node, complete


class HotwordScorers:
    """Makes the scorers of hotwords for a recogniser.

    Args:
        speech2text: ESPnet's, of which it needs the model, the tokenizer and the search.
    """

    def __init__(self, speech2text: asr_inference.Speech2Text) -> None:
        self._tokenizer, self._takes_scorers = speech2text.tokenizer, takes_scorers(speech2text)
        self._tokens: list[str] = speech2text.asr_model.token_list
        self._eos: int = speech2text.asr_model.eos

    def of(self, given: Hotwords | None) -> HotwordScorer | None:
        """The scorer of hotwords as people write them; none without hotwords.

        Raises:
            ValueError: as `read_hotwords`; or the tokens cannot spell a hotword, or spell two of them alike, or the
                recogniser's search is not one of tokens.
        """
        weights: dict[tuple[str, ...], float] = {}
        for phrase, weight in read_hotwords(given or {}).items():
            letters = self._spelled(phrase)
            if letters in weights:
                raise ValueError(f"hotword {phrase!r} is there twice: the model spells another one so; remove one")
            weights[letters] = weight
        if weights and not self._takes_scorers:
            raise ValueError("hotwords need ESPnet's search token by token: leave time_sync and partial_ar out")
        return HotwordScorer(weights, list(self._letters.values()), self._eos) if weights else None

    @cached_property
    def _letters(self) -> dict[str, tuple[str, ...]]:
        return letters_of(self._tokens, self._tokenizer.tokens2text)

    def _spelled(self, phrase: str) -> tuple[str, ...]:
        """The letters of a phrase, small or capital ones where those of the phrase are not among the model's."""
        forms = (phrase, phrase.lower(), phrase.upper())
        spellings: list[list[str]] = [self._tokenizer.text2tokens(form) for form in forms]
        known = [tokens for tokens in spellings if self._letters.keys() >= set(tokens)]
        tokens = min(known, key=lambda tokens: sum(IS_BYTE(token) is not None for token in tokens), default=[])
        letters = tuple(letter for token in tokens for letter in self._letters[token])
        if not set(letters) - {BOUNDARY}:
            raise ValueError(f"the model's tokens cannot spell the hotword {phrase!r}; write it as transcripts are")
        return letters


def letters_of(tokens: Sequence[str], to_text: Callable[[Sequence[str]], str]) -> dict[str, tuple[str, ...]]:
    """The letters of each token, with the boundaries of words; a byte of a longer letter is one of its own.

    Args:
        tokens: the model's, each of them.
        to_text: makes text of tokens.
    """
    return {
        token: (token,) if IS_BYTE(token) else _with_boundaries(to_text(["a", token, "a"])[1:-1]) for token in tokens
    }


def _with_boundaries(text: str) -> tuple[str, ...]:
    letters: list[str] = []
    for character in text:
        if character.isspace():
            letters.append(BOUNDARY)
        else:
            letters += [BOUNDARY, character, BOUNDARY] if is_unspaced(character) else [character]
    return tuple(letters)
