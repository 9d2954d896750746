"""What recognition works on: chunks of recordings, and the pauses between them."""

from dataclasses import dataclass

import torch

from espnet_blrmoe.inference.transcript import NBest, Word


@dataclass(frozen=True)
class Piece:
    """A chunk to recognise, or a pause.

    Attributes:
        utterance: position of its utterance in the batch.
        start, end: samples.
        wave: (samples,).
        has_speech: whether there is anything to recognise.
    """

    utterance: int
    start: int
    end: int
    wave: torch.Tensor
    has_speech: bool


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
