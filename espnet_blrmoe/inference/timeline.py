"""Which language is spoken when."""

from collections.abc import Sequence
from itertools import groupby

from espnet_blrmoe.inference.pieces import RecognisedPiece
from espnet_blrmoe.inference.transcript import LanguageSpan


def timeline_of(
    pieces: Sequence[RecognisedPiece], languages: Sequence[str], fs: int, seconds_per_frame: float
) -> tuple[LanguageSpan, ...]:
    """The language of every stretch of speech in an utterance's pieces; those without speech leave gaps.

    Args:
        pieces: in time order.
        languages: of the model.
        fs: sampling rate in Hz.
        seconds_per_frame: of an encoder frame.
    """
    spans: list[LanguageSpan] = []
    for is_spoken, run in groupby(pieces, lambda piece: piece.has_speech):
        if is_spoken:
            spans += joined([span for piece in run for span in _spans_of(piece, languages, fs, seconds_per_frame)])
    return tuple(spans)


def _spans_of(
    piece: RecognisedPiece, languages: Sequence[str], fs: int, seconds_per_frame: float
) -> list[LanguageSpan]:
    """Runs of a piece's frames in the same language."""
    spans, frame = [], 0
    for language, run in groupby(piece.frame_languages.tolist()):
        first, frame = frame, frame + len(list(run))
        start, end = (round(piece.start / fs + n * seconds_per_frame, 3) for n in (first, frame))
        spans.append(LanguageSpan(start, end, languages[language]))
    return spans


def joined(spans: list[LanguageSpan]) -> list[LanguageSpan]:
    """One span where several in the same language follow each other; what is left of a piece belongs to its last."""
    runs = [list(run) for _, run in groupby(spans, key=lambda span: span.language)]
    ends = [run[0].start for run in runs[1:]] + [spans[-1].end]
    return [LanguageSpan(run[0].start, end, run[0].language) for run, end in zip(runs, ends)]
