"""Transcripts from the pieces of recordings, once these are recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from espnet_blrmoe.espnet_internals import Hypothesis
from espnet_blrmoe.inference.pieces import Piece, RecognisedPiece
from espnet_blrmoe.inference.timeline import timeline_of
from espnet_blrmoe.inference.transcript import Chunk, NBest, Transcript
from espnet_blrmoe.inference.words import join_tokens

if TYPE_CHECKING:
    from espnet_blrmoe.inference.speech2text import Speech2Text


class Assembly:
    """Puts what was recognised in the pieces of an utterance together.

    Args:
        speech2text: the recogniser, whose tokens, languages and frames it needs.
    """

    def __init__(self, speech2text: Speech2Text) -> None:
        self._languages, self._fs = speech2text.languages, speech2text.fs
        self._seconds_per_frame = speech2text.seconds_per_frame
        self._tokens2ids = speech2text.converter.tokens2ids
        self._tokens: list[str] = speech2text.asr_model.token_list
        self._sos: int = speech2text.asr_model.sos

    def transcript(self, chunks: list[RecognisedPiece], return_timeline: bool) -> Transcript:
        """The transcript of an utterance from its recognised chunks."""
        number = len(self._languages)
        counts = torch.stack([torch.bincount(chunk.frame_languages, minlength=number) for chunk in chunks])
        share = counts.sum(dim=1, keepdim=True) / counts.sum().clamp(min=1)  # of the frames, by chunk
        probs = torch.stack([chunk.probs for chunk in chunks])
        language, probability = self.most_probable((share * probs).sum(dim=0))
        nbests = [chunk.hypotheses for chunk in chunks if chunk.has_speech] or [chunks[0].hypotheses]
        hypotheses = nbests[0] if len(nbests) == 1 else self._joined(nbests)
        timeline = timeline_of(chunks, self._languages, self._fs, self._seconds_per_frame) if return_timeline else ()
        return Transcript(
            text=best_text(hypotheses),
            language=language,
            language_probability=probability,
            timeline=timeline,
            frames=dict(zip(self._languages, counts.sum(dim=0).tolist())),
            hypotheses=hypotheses,
            chunks=tuple(self._chunk(chunk) for chunk in chunks),
            words=tuple(word for chunk in chunks for word in chunk.words),
        )

    def unspoken(self, piece: Piece) -> RecognisedPiece:
        """A piece in which there is nothing to recognise."""
        hypotheses: NBest = [("", [], [], self.hypothesis([], torch.zeros(())))]
        no_probs, no_frame = torch.zeros(len(self._languages)), torch.zeros(0, dtype=torch.int64)
        return RecognisedPiece(piece.utterance, piece.start, piece.end, hypotheses, no_probs, no_frame, ())

    def hypothesis(self, token_ids: list[int], score: torch.Tensor) -> Hypothesis:
        """ESPnet's, of a finished text."""
        return Hypothesis(yseq=torch.tensor([self._sos, *token_ids, self._sos]), score=score)

    def most_probable(self, probs: torch.Tensor) -> tuple[str | None, float]:
        """Language and its probability, from (E,); none where all are zero."""
        probability, language = probs.max(dim=-1)
        return self._languages[int(language)] if probability else None, float(probability)

    def _chunk(self, piece: RecognisedPiece) -> Chunk:
        start, end = (round(samples / self._fs, 3) for samples in (piece.start, piece.end))
        return Chunk(start, end, best_text(piece.hypotheses), *self.most_probable(piece.probs))

    def _joined(self, nbests: list[NBest]) -> NBest:
        """One hypothesis: the best of each chunk, one after another."""
        best = [nbest[0] for nbest in nbests if nbest]
        tokens = join_tokens((tokens for _, tokens, _, _ in best), self._tokens)
        token_ids = self._tokens2ids(tokens)
        score = sum((torch.as_tensor(hypothesis.score) for *_, hypothesis in best), torch.zeros(()))
        text = " ".join(text for text in map(best_text, nbests) if text)
        return [(text, tokens, token_ids, self.hypothesis(token_ids, score))]


def best_text(nbest: NBest) -> str:
    """The text of the first hypothesis; empty without any."""
    return nbest[0][0] if nbest else ""
