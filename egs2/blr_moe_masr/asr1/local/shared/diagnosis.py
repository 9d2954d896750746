"""Failure signatures: which of three faults a recogniser has, each of which has another cure (docs/recipe.md).

cross_language   recognised words that are another language's: the router sends speech to wrong experts
weak_experts     wrong words where the language is right: the experts are not good enough
out_of_domain    more errors out of domain, a good part of which goes away when the languages are given: the router does
                 not know how other audio sounds

Each is a figure in % with a limit. A fault is told where even the lower end of the figure's 95 % interval is above its
limit, so a small test set cannot make one up. Experts are judged in domain only, since no expert is to blame for audio
that it never heard. So is the router by its words, unless there is no decoding with the languages given: out of domain,
the comparison with that decoding tells the router's part exactly.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jiwer
import numpy as np

from shared.alignments import counted_words
from shared.data_dir import Utterance, stream_data_dir
from shared.decodings import Decoding
from shared.resampling import SEED, draws, interval
from shared.scripts import foreign_script

IN_DOMAIN = "test_in"  # the recipe's name; where there is none, every test set counts as in domain
GIVEN = "_router_pruned"  # ending of the decoding in which every utterance is allowed its own language only
ROUTER_PART = 0.1  # of a loss out of domain; where less of it goes away with the languages given, it is the audio's
SHOWN = 3  # utterances for each fault of a decoding


@dataclass(frozen=True)
class Signature:
    """A fault: what people call it, and the limit of its figure in % (docs/recipe.md has the reasons)."""

    title: str
    limit: float


SIGNATURES = {
    "cross_language": Signature("words of other languages (router)", 2.0),
    "weak_experts": Signature("wrong words though the language is right (experts)", 30.0),
    "out_of_domain": Signature("loss out of domain that goes away with the languages given (router)", 20.0),
}


@dataclass(frozen=True)
class Heard:
    """What a decoding made of a test set, utterance by utterance, words being those of the word error rate.

    Attributes:
        decoding: where it is from.
        words, errors, recognised: (utterances,) int64; words of the reference, errors in them, recognised words.
        foreign: for each utterance its words of other languages, with the languages or the script that they are of.
        is_right: (utterances,) bool, whether the language that was detected or given is right; None: nothing is known.
    """

    decoding: Decoding
    words: np.ndarray
    errors: np.ndarray
    recognised: np.ndarray
    foreign: list[list[tuple[str, str]]]
    is_right: np.ndarray | None

    @classmethod
    def of(
        cls, decoding: Decoding, alignments: list[jiwer.WordOutput], languages_of: Mapping[str, set[str]]
    ) -> "Heard":
        """From the alignments of a decoding's utterances, and what languages_of_words says of all its words."""
        found = [alignment.hypotheses[0] for alignment in alignments]
        languages = decoding.given if decoding.detected is None else decoding.detected
        return cls(
            decoding,
            np.array([a.hits + a.substitutions + a.deletions for a in alignments]),
            np.array([a.substitutions + a.deletions + a.insertions for a in alignments]),
            np.array([len(words) for words in found]),
            [foreign_words(words, u.language, languages_of) if u.has_one_language else []
             for words, u in zip(found, decoding.references)],
            None if languages is None else np.array([u.has_one_language and languages.get(u.id) == u.language
                                                     for u in decoding.references]),
        )

    @cached_property
    def languages(self) -> list[str]:
        """Those that utterances are in whose language is right."""
        return sorted({u.language for u, right in zip(self.decoding.references, self._rightly) if right})

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        """(utterances,) int64 each: `words`, `errors`, `recognised` and `foreign` ones, and, for each of `languages`,
        `words de` and `errors de`: those of its utterances whose language is right."""
        counts = {"words": self.words, "errors": self.errors, "recognised": self.recognised,
                  "foreign": np.array([len(words) for words in self.foreign])}
        own = np.array([u.language for u in self.decoding.references])
        for language in self.languages:
            mask = self._rightly & (own == language)
            counts |= {f"words {language}": self.words * mask, f"errors {language}": self.errors * mask}
        return counts

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """(1 + RESAMPLES,) int64 each of `counts`: of all utterances, then of those of every resample; decodings of one
        test set have the same resamples, of two test sets others."""
        columns = np.stack([*self.counts.values()], axis=1)
        seed = SEED if self.test_set == IN_DOMAIN else SEED + 1
        drawn = (np.bincount(rows, minlength=len(columns)) for rows in draws(len(columns), seed))
        return dict(zip(self.counts, np.stack([columns.sum(axis=0), *(times @ columns for times in drawn)], axis=1)))

    def rates(self, part: str, whole: str) -> np.ndarray:
        """(1 + RESAMPLES,) of `sums`, in %."""
        return 100 * self.sums[part] / np.maximum(self.sums[whole], 1)

    @property
    def _rightly(self) -> np.ndarray:
        return np.zeros(len(self.words), bool) if self.is_right is None else self.is_right

    @property
    def tag(self) -> str:
        return self.decoding.tag

    @property
    def test_set(self) -> str:
        return self.decoding.test_set


def languages_of_words(decodings: Iterable[Decoding], data: Path) -> dict[str, set[str]]:
    """In which languages' transcripts each recognised word occurs.

    Transcripts are the references and those of all data directories in `data`, the training set's among them. Of their
    words only those that were recognised are kept, so that memory does not grow with the training set.

    Raises:
        UserError: a data directory is broken.
    """
    references = {d.test_set: d.references for d in decodings}
    texts = {text for d in decodings for text in d.hypotheses.values()}
    languages = {word: set() for text in texts for word in counted_words(text)}
    for utterance in _transcripts(references, data):
        for word in counted_words(utterance.text):
            if word in languages:
                languages[word].add(utterance.language)
    return languages


def _transcripts(references: Mapping[str, list[Utterance]], data: Path) -> Iterator[Utterance]:
    """All utterances that have a transcript and are in one language."""
    folders = (path.parent for path in sorted(data.glob("*/text")))
    others = (stream_data_dir(folder) for folder in folders if folder.name not in references)
    return (u for utterances in (*references.values(), *others) for u in utterances if u.has_one_language)


def foreign_words(words: list[str], language: str, languages_of: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The words that are in another language's transcripts or in a foreign script, and not in the language's own.

    Digits are of no language.
    """
    found = []
    for word in words:
        others = languages_of[word]
        if language in others or not re.search(r"[^\W\d_]", word):
            continue
        if whose := "/".join(sorted(others)) or foreign_script(word, language):
            found.append((word, whose))
    return found


def diagnose(heard: list[Heard]) -> list[dict]:
    """The figure of every signature and decoding that has what is needed for it.

    Returns:
        signature: one of SIGNATURES. decoding, test_set: names. value: the figure in %. interval: its 95 % bootstrap
        interval over utterances. basis: in words, of what it is a share. is_present: whether the decoding has the
        fault; None where it is not judged by this figure. utterances: [id, what it shows] of those that show it best,
        if it has.
    """
    by_name = {(h.tag, h.test_set): h for h in heard}
    return [finding for h in heard for finding in (_cross_language(h, by_name), _weak_experts(h, by_name),
                                                   _out_of_domain(h, by_name)) if finding]


Decodings = Mapping[tuple[str, str], Heard]


def _cross_language(h: Heard, by_name: Decodings) -> dict:
    foreign, rates = h.counts["foreign"], h.rates("foreign", "recognised")
    is_judged = h.decoding.detected is not None and (_is_in_domain(h, by_name) or _needed(h, by_name) is None)
    shown = {n: ", ".join(f"{word} ({whose})" for word, whose in dict.fromkeys(h.foreign[n]))
             for n in np.flatnonzero(foreign)}
    return _finding("cross_language", h, rates, _is_above("cross_language", rates) if is_judged else None,
                    f"{foreign.sum():,} of {h.recognised.sum():,} recognised words", foreign, shown)


def _weak_experts(h: Heard, by_name: Decodings) -> dict | None:
    """By language, since an expert is: the one whose figure is the most surely high."""
    if not h.languages:
        return None
    rates = {language: h.rates(f"errors {language}", f"words {language}") for language in h.languages}
    surest = max(rates, key=lambda language: interval(rates[language][1:])[0])
    also = [other for other, its in rates.items() if other != surest and _is_above("weak_experts", its)]
    errors, words = h.counts[f"errors {surest}"], h.counts[f"words {surest}"]
    basis = f"{surest}: {errors.sum():,} errors in {words.sum():,} words"
    basis += f"; above the limit too: {', '.join(also)}" if also else ""
    share = errors / np.maximum(words, 1)
    shown = {n: f"{errors[n]} errors in {words[n]} words" for n in np.flatnonzero(share)}
    is_present = _is_above("weak_experts", rates[surest]) if _is_in_domain(h, by_name) else None
    return _finding("weak_experts", h, rates[surest], is_present, basis, share, shown)


def _out_of_domain(h: Heard, by_name: Decodings) -> dict | None:
    needed = _needed(h, by_name)
    if needed is None:
        return None
    inside, _, outside_given = needed
    wer, wer_given, wer_in, wer_in_given = (its.rates("errors", "words") for its in (h, outside_given, *needed[:2]))
    one_error = 100 / max(inside.words.sum(), 1)
    loss, routers = wer - wer_in, (wer - wer_given) - (wer_in - wer_in_given)
    relative = 100 * loss / np.maximum(wer_in, one_error)
    is_present = _is_above("out_of_domain", relative) and interval((routers - ROUTER_PART * loss)[1:])[0] > 0
    basis = (f"WER {wer_in[0]:.1f} in domain, {wer[0]:.1f} here; "
             f"with the languages given {wer_in_given[0]:.1f} and {wer_given[0]:.1f}")
    saved = h.errors - outside_given.errors
    shown = {n: f"{h.errors[n]} errors, {outside_given.errors[n]} with the language given"
             for n in np.flatnonzero(saved)}
    return _finding("out_of_domain", h, relative, is_present, basis, saved, shown)


def _is_in_domain(h: Heard, by_name: Decodings) -> bool:
    return h.test_set == IN_DOMAIN or (h.tag, IN_DOMAIN) not in by_name


def _needed(h: Heard, by_name: Decodings) -> tuple[Heard, ...] | None:
    """What a decoding out of domain is compared with: the same in domain, then both with the languages given, to which
    the router does not matter; None if it is not out of domain, has no router, or one of them is missing."""
    given = re.sub("_router.*$", "", h.tag) + GIVEN
    names = (h.tag, IN_DOMAIN), (given, IN_DOMAIN), (given, h.test_set)
    has_all = h.decoding.detected is not None and all(name in by_name for name in names)
    return None if h.test_set == IN_DOMAIN or not has_all else tuple(by_name[name] for name in names)


def _is_above(signature: str, rates: np.ndarray) -> bool:
    return interval(rates[1:])[0] > SIGNATURES[signature].limit


def _finding(
    signature: str,
    h: Heard,
    rates: np.ndarray,
    is_present: bool | None,
    basis: str,
    weight: np.ndarray,
    shown: dict[int, str],
) -> dict:
    """An entry of `diagnose`; the utterances that it may show are those of `shown`, the heaviest first."""
    heaviest = sorted((n for n in shown if weight[n] > 0), key=lambda n: -weight[n])[: SHOWN if is_present else 0]
    return {
        "signature": signature, "decoding": h.tag, "test_set": h.test_set, "value": float(rates[0]),
        "interval": interval(rates[1:]), "basis": basis, "is_present": is_present,
        "utterances": [[h.decoding.references[n].id, shown[n]] for n in heaviest],
    }
