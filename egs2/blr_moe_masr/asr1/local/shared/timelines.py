"""Timelines of recordings in which the language changes: what is said when, what was recognised, and how right that is.

A word is where its letters are if all letters of a stretch take equally long. A change of language is in the middle of
the pause between two stretches; its error is the time to the nearest recognised change to the same language.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_blrmoe import LanguageSpan
from espnet_blrmoe.inference.timeline_scores import NEAR, boundary_errors, changes_of, is_right, right_seconds
from shared.alignments import mixed_tokens
from shared.data_dir import Utterance, parse_timeline
from shared.kaldi_tables import UserError, read_table
from shared.resampling import draws, interval
from shared.text_normalization import normalise


@dataclass(frozen=True)
class Stretch:
    """What is said in one language: when, in which, and which words (characters in scripts without spaces)."""

    span: LanguageSpan
    words: list[str]

    def times(self) -> list[float]:
        """The seconds at which its words are, in their middle."""
        letters = np.array([len(word) for word in self.words])
        middles = (letters.cumsum() - letters / 2) / max(letters.sum(), 1)
        return (self.span.start + middles * (self.span.end - self.span.start)).tolist()


@dataclass(frozen=True)
class Recording:
    """A recording in which the language changes: what is said, and the timeline that was recognised."""

    said: list[Stretch]
    recognised: list[LanguageSpan]

    @property
    def spans(self) -> list[LanguageSpan]:
        return [stretch.span for stretch in self.said]


def read_recordings(references: Sequence[Utterance], data: Path, decoding: Path) -> list[Recording]:
    """The recordings of a test set; one that was not decoded has an empty timeline.

    Args:
        references: the utterances, with timelines.
        data: their data directory, for messages.
        decoding: folder with the table `timeline` that recognition wrote.

    Raises:
        UserError: a timeline is not one (names table and utterance).
    """
    recognised = read_table(decoding / "timeline")
    return [
        Recording(read_said(u, data), _spans(recognised.get(u.id, "[]"), decoding / "timeline", u.id))
        for u in references
    ]


def read_said(u: Utterance, data: Path) -> list[Stretch]:
    """What is said in an utterance; see `read_recordings` for the errors."""
    rows = parse_timeline(u.timeline or "", f"{data / 'timeline'}: {u.id}")
    return [Stretch(LanguageSpan(start, end, code), mixed_tokens(normalise(text, code)))
            for start, end, code, text in rows]


def _spans(timeline: str, table: Path, utterance: str) -> list[LanguageSpan]:
    try:
        return [LanguageSpan(float(start), float(end), str(code)) for start, end, code in json.loads(timeline)]
    except (ValueError, TypeError) as error:
        raise UserError(f"{table}: {utterance}: expected a JSON list of [start seconds, end seconds, language], found "
                        f"{timeline!r}; decode again") from error


def score_timelines(recordings: list[Recording]) -> dict:
    """How right the recognised timelines are.

    Returns:
        recordings, changes (of language), recognised_changes: numbers.
        words, seconds: share of the words and of the seconds of speech whose language is right, in %.
        boundary_ms: median error of a change of language; None where over half of them were not recognised at all.
        near: share of the changes within 300 ms, in %.
        The last four have a `value` and a 95 % bootstrap `interval` over recordings.
    """
    counts = np.array([_counts(recording) for recording in recordings])
    errors = [np.array(boundary_errors(r.recognised, r.spans)) for r in recordings]
    whole = _measures(counts, errors)
    resampled = [_measures(counts[drawn], [errors[i] for i in drawn]) for drawn in draws(len(recordings))]
    return {
        "recordings": len(recordings),
        "changes": sum(len(own) for own in errors),
        "recognised_changes": sum(len(changes_of(r.recognised)) for r in recordings),
        **{name: {"value": _finite(value), "interval": _interval([row[name] for row in resampled])}
           for name, value in whole.items()},
    }


def _counts(recording: Recording) -> tuple[float, ...]:
    """Right words, words, right seconds, seconds."""
    words = [is_right(recording.recognised, time, stretch.span.language)
             for stretch in recording.said for time in stretch.times()]
    return (sum(words), len(words), sum(right_seconds(recording.recognised, span) for span in recording.spans),
            sum(span.end - span.start for span in recording.spans))


def _measures(counts: np.ndarray, errors: list[np.ndarray]) -> dict[str, float]:
    right_words, words, right, seconds = counts.sum(axis=0)
    missed = np.concatenate(errors)
    return {
        "words": 100 * right_words / max(words, 1),
        "seconds": 100 * right / max(seconds, 1e-9),
        "boundary_ms": 1000 * float(np.median(missed)) if len(missed) else np.inf,
        "near": 100 * float((missed <= NEAR).mean()) if len(missed) else 0.0,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(resampled: list[float]) -> list[float | None]:
    """As `interval`; between values that may be infinite, nothing is interpolated."""
    if np.isfinite(resampled).all():
        return interval(np.array(resampled))
    return [_finite(value) for value in np.percentile(resampled, [2.5, 97.5], method="nearest")]
