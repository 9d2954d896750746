"""What word n-grams, one for each language, add to the scores of ESPnet's beam search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet2.bin import asr_inference

from espnet_blrmoe.espnet_internals import takes_scorers
from espnet_blrmoe.inference.ngram import Ngram
from espnet_blrmoe.inference.text_scorer import TextScorer, texts_of
from espnet_blrmoe.writing import belong_together

if TYPE_CHECKING:
    import kenlm

NAME = "word_ngram"  # among the scorers of a search; "ngram" is ESPnet's, of tokens
SUFFIX = ".arpa"


class NgramScorer(TextScorer["tuple[kenlm.State, str]"]):
    """Scores a text by the log-probabilities of its words, and of the beginning of one at its end.

    The beginning of a word has the log-probability of all words that begin so (Ortmanns, Ney and Eiden, 1996), so that
    the search does not find out at a word's end only that there is no such word. It does not matter which tokens spell
    a word; what a word is, `split_words` says.

    Args:
        ngram: of the text's language.
        texts: the letters and spaces of each token; see `texts_of`.
        eos: id of the token that ends a text.
        weight: of the log-probabilities.
    """

    def __init__(self, ngram: Ngram, texts: Sequence[str], eos: int, weight: float) -> None:
        self._ngram, self._texts, self._weight = ngram, texts, weight
        super().__init__((ngram.start, ""), len(texts), eos)

    def _begun(self, state: tuple[kenlm.State, str]) -> float:
        return self._weight * self._ngram.begun(state[1])

    def _walk(self, state: tuple[kenlm.State, str], token: int) -> tuple[tuple[kenlm.State, str], float]:
        """The history and the letters of the word that is not finished after one more token, and what words add."""
        history, word = state
        complete = 0.0
        for letter in " " if token == self._eos else self._texts[token]:
            if word and (letter.isspace() or not belong_together(word[-1], letter)):
                history, score = self._ngram.after(history, word)
                complete, word = complete + score, ""
            word += letter.strip()
        if token == self._eos:
            complete += self._ngram.end(history)
        return (history, word), self._weight * complete


class NgramScorers:
    """The scorers of a recogniser's languages.

    Args:
        speech2text: ESPnet's, of which it needs the model, the tokenizer and the search.
        folder: with a file LANGUAGE.arpa for each language that has an n-gram; None: no language has.
        weight: of the log-probabilities.

    Raises:
        ValueError: the folder has no file for any of the languages, one cannot be read, kenlm is not installed, the
            weight is not a positive number, or the recogniser's search is not one of tokens.
    """

    def __init__(self, speech2text: asr_inference.Speech2Text, folder: str | Path | None, weight: float) -> None:
        self._scorers: dict[str, NgramScorer] = {}
        if folder is None:
            return
        if not 0 < weight < math.inf:
            raise ValueError(f"ngram_weight must be a positive number, not {weight}; without ngram, there is none")
        if not takes_scorers(speech2text):
            raise ValueError("ngram needs ESPnet's search token by token: leave time_sync and partial_ar out")
        model = speech2text.asr_model
        texts = list(texts_of(model.token_list, speech2text.tokenizer.tokens2text).values())
        for language, file in files_in(Path(folder), model.languages).items():
            self._scorers[language] = NgramScorer(Ngram(file), texts, model.eos, weight)

    def of(self, language: str | None) -> dict[str, NgramScorer]:
        """The scorer of a language by its name in the search; none where there is no n-gram, or no language."""
        return {NAME: self._scorers[language]} if language in self._scorers else {}


def files_in(folder: Path, languages: Sequence[str]) -> dict[str, Path]:
    """The n-grams in a folder, by language.

    Raises:
        ValueError: there is no such folder, or no file in it for any of the languages.
    """
    files = {language: folder / f"{language}{SUFFIX}" for language in languages}
    if not folder.is_dir():
        raise ValueError(f"ngram {folder} is not a folder; give one with a file LANGUAGE{SUFFIX} for each language")
    found = {language: file for language, file in files.items() if file.exists()}
    if not found:
        names = ", ".join(file.name for file in files.values())
        raise ValueError(f"ngram {folder} has none of the files {names}")
    return found
