"""What hotwords add to the scores of ESPnet's beam search."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from espnet2.bin import asr_inference

from espnet_blrmoe.espnet_internals import takes_scorers
from espnet_blrmoe.inference.hotword_trie import BOUNDARY, Trie
from espnet_blrmoe.inference.hotwords import Hotwords, read_hotwords, split_languages
from espnet_blrmoe.inference.text_scorer import IS_BYTE, TextScorer, texts_of
from espnet_blrmoe.inference.words import ToText
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.writing import is_unspaced


class HotwordScorer(TextScorer[int]):
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
        self._letters = letters
        super().__init__(self._trie.start, len(letters), eos)

    def _begun(self, state: int) -> float:
        return self._trie.begun[state]

    def _walk(self, state: int, token: int) -> tuple[int, float]:
        """The node after one more token, and the weight of the hotwords that it completes."""
        complete = 0.0
        for letter in (BOUNDARY,) if token == self._eos else self._letters[token]:
            before, state = state, self._trie.step(state, letter)
            complete += self._trie.complete[state] if state != before else 0.0
        return state, complete


class HotwordScorers:
    """Makes the scorers of hotwords for a recogniser.

    Args:
        speech2text: ESPnet's, of which it needs the model, the tokenizer and the search.
    """

    def __init__(self, speech2text: asr_inference.Speech2Text) -> None:
        self._tokenizer, self._takes_scorers = speech2text.tokenizer, takes_scorers(speech2text)
        self._tokens: list[str] = speech2text.asr_model.token_list
        self._eos: int = speech2text.asr_model.eos
        self._languages: Sequence[str] = speech2text.asr_model.languages

    def of(self, given: Hotwords | None) -> dict[str, HotwordScorer]:
        """The scorer of each language that has hotwords, from hotwords as people write them; none without hotwords.

        Where a hotword is given for all languages and for some, the latter counts in these.

        Raises:
            ValueError: as `read_hotwords`; or a language is not the model's, the tokens cannot spell a hotword, or
                spell two of a language alike, or the recogniser's search is not one of tokens.
        """
        weights = read_hotwords(given or {})
        if weights and not self._takes_scorers:
            raise ValueError("hotwords need ESPnet's search token by token: leave time_sync and partial_ar out")
        general = self._spelled_weights({phrase: weights[phrase] for phrase in weights if "=" not in phrase})
        special: dict[str, dict[str, float]] = {}
        for phrase, weight in weights.items():
            codes, word = split_languages(phrase)
            for language in self._parsed(codes, phrase):
                if word in special.setdefault(language, {}):
                    raise ValueError(f"hotword {word!r} is there twice for {language}; remove one")
                special[language][word] = weight
        shared = self._scorer(general)
        own = {language: self._scorer(general | self._spelled_weights(words)) for language, words in special.items()}
        scorers = {language: own.get(language, shared) for language in self._languages}
        return {language: scorer for language, scorer in scorers.items() if scorer is not None}

    def _parsed(self, codes: str | None, phrase: str) -> tuple[str, ...]:
        """The languages before a hotword; none without any."""
        if codes is None:
            return ()
        try:
            return parse_languages(codes, self._languages)
        except ValueError as error:
            raise ValueError(f"hotword {phrase!r}: {error}") from error

    def _scorer(self, weights: dict[tuple[str, ...], float]) -> HotwordScorer | None:
        return HotwordScorer(weights, list(self._letters.values()), self._eos) if weights else None

    def _spelled_weights(self, words: Mapping[str, float]) -> dict[tuple[str, ...], float]:
        weights: dict[tuple[str, ...], float] = {}
        for phrase, weight in words.items():
            letters = self._spelled(phrase)
            if letters in weights:
                raise ValueError(f"hotword {phrase!r} is there twice: the model spells another one so; remove one")
            weights[letters] = weight
        return weights

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


def letters_of(tokens: Sequence[str], to_text: ToText) -> dict[str, tuple[str, ...]]:
    """The letters of each token, with the boundaries of words; a byte of a longer letter is one of its own."""
    texts = texts_of(tokens, to_text)
    return {token: (token,) if IS_BYTE(token) else _with_boundaries(text) for token, text in texts.items()}


def _with_boundaries(text: str) -> tuple[str, ...]:
    letters: list[str] = []
    for character in text:
        if character.isspace():
            letters.append(BOUNDARY)
        else:
            letters += [BOUNDARY, character, BOUNDARY] if is_unspaced(character) else [character]
    return tuple(letters)
