"""What recognition works on: chunks of recordings, and the pauses between them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from espnet_blrmoe import audio
from espnet_blrmoe.inference.transcript import NBest, Word


@dataclass(frozen=True)
class Piece:
    """A chunk to recognise, or a pause.

    Attributes:
        utterance: position of its utterance in the batch.
        wave: (samples,).
        start, end: samples.
        has_speech: whether there is anything to recognise.
        parts: start and end of what is said between its short pauses; none, or more than one.
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

    def in_parts(self) -> list["Piece"]:
        """Its parts and the pauses between them, in time order; none without parts."""
        edges = [edge for part in self.parts for edge in part]
        return [self.between(a, b, n % 2 == 0) for n, (a, b) in enumerate(pairwise(edges)) if a < b]


@dataclass(frozen=True)
class EncodedPiece:
    """A chunk after the encoder.

    Attributes:
        piece: the chunk.
        out: (T, D) encoder output.
        probs: (E,) probability of each language, averaged over the frames.
        frame_languages: (T,) int64, language of each frame.
        allowed: languages that it may be in.
    """

    piece: Piece
    out: torch.Tensor
    probs: torch.Tensor
    frame_languages: torch.Tensor
    allowed: Sequence[str]


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
