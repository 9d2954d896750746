"""What recognition works on: chunks of recordings, and the pauses between them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import torch

from espnet_blrmoe import audio
from espnet_blrmoe.inference.transcript import NBest, Word
from espnet_blrmoe.model.prior import best_sequence

CHANGE_COST = 40.0  # nats, between parts; benchmarks/NOTES.md, "Short pauses at which the language changes"


@dataclass(frozen=True)
class Piece:
    """A chunk to recognise, or a pause.

    Attributes:
        utterance: position of its utterance in the batch.
        wave: (samples,).
        start, end: samples.
        has_speech: whether there is anything to recognise.
        parts: start and end of what is said between its short pauses, at which the language may change; none, or more
            than one.
    """

    utterance: int
    wave: torch.Tensor
    start: int
    end: int
    has_speech: bool
    parts: tuple[tuple[int, int], ...] = ()

    def between(self, start: int, end: int, has_speech: bool = True) -> "Piece":
        """What is between these samples of its recording."""
        return Piece(self.utterance, self.wave[start - self.start : end - self.start], start, end, has_speech)

    def cut_at_changes(self, heard: Mapping[tuple[int, int], torch.Tensor]) -> list["Piece"]:
        """The piece, cut at the pauses between parts in different languages.

        The languages are the most probable sequence, if every change costs CHANGE_COST.

        Args:
            heard: by utterance and start of each part, (E,) log-probability of each language, added up over the part's
                frames; minus infinity where it is excluded. Without its parts, the piece stays whole.
        """
        log_probs = [heard[self.utterance, start] for start, _ in self.parts if (self.utterance, start) in heard]
        if not log_probs:
            return [self]
        of_parts, every = torch.stack(log_probs), torch.ones(1, len(log_probs), dtype=torch.bool)
        # A list of languages that changes within a part may leave it none; it then goes with its neighbours.
        of_parts[of_parts.isneginf().all(dim=1)] = 0.0
        languages = best_sequence(of_parts.unsqueeze(0), every, CHANGE_COST)[0].tolist()
        runs = [[part for part, _ in run] for _, run in groupby(zip(self.parts, languages), key=itemgetter(1))]
        inner = [edge for one, following in pairwise(runs) for edge in (one[-1][1], following[0][0])]
        edges = [self.start, *inner, self.end]
        return [self.between(a, b, n % 2 == 0) for n, (a, b) in enumerate(pairwise(edges)) if a < b]


@dataclass(frozen=True)
class RecognisedPiece:
    """A chunk after its recognition, or a pause.

    Attributes:
        utterance, start, end: as before.
        hypotheses: what was recognised.
        probs: (E,) probability of each language, averaged over the chunk's frames; zeros without speech.
        frame_languages: (T,) int64, language of each frame; no frame without speech.
        words: of the best hypothesis, with the times of the whole recording.
    """

    utterance: int
    start: int
    end: int
    hypotheses: NBest
    probs: torch.Tensor
    frame_languages: torch.Tensor
    words: tuple[Word, ...]

    @property
    def has_speech(self) -> bool:
        """Whether there was anything to recognise."""
        return len(self.frame_languages) > 0


def in_batches(pieces: Iterable[Piece], most: float) -> Iterator[list[Piece]]:
    """Pieces in order of length, so that batches, of at most `most` samples, have little padding."""
    pieces = sorted(pieces, key=lambda piece: len(piece.wave))
    for positions in audio.in_batches([piece.wave for piece in pieces], most):
        yield [pieces[position] for position in positions]


def padded(batch: Sequence[Piece], device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, samples) and (B,) the pieces' lengths."""
    lengths = torch.tensor([len(piece.wave) for piece in batch], device=device)
    return torch.nn.utils.rnn.pad_sequence([piece.wave for piece in batch], batch_first=True).to(device), lengths
