"""The language labels of a batch, and what they say of each frame."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import torch

from espnet_blrmoe.languages import LanguageStretch

IGNORED = -100  # cross entropy's label of frames without one


class OrderedSpan(NamedTuple):
    """A span of an utterance in several languages whose order is known, but not when one follows the other.

    Attributes:
        utterance: its place in the batch.
        start, end: from 0 to 1 of its length.
        languages: at least two, as places in the model's list of languages; neighbours differ.
    """

    utterance: int
    start: float
    end: float
    languages: tuple[int, ...]

    def frames(self, number: int) -> slice:
        """Those of the utterance's frames, of which there are `number`, whose middles are in the span."""
        return slice(*(math.ceil(time * number - 0.5) for time in (self.start, self.end)))


@dataclass(frozen=True)
class LanguageLabels:
    """Which languages a batch's utterances are in, each throughout or stretch by stretch.

    Legend: B utterances, T frames of the longest, S stretches of the utterance that has the most. Utterances with fewer
    have their last language again, in stretches that never begin.

    Attributes:
        language: (B, S) int64, in time order, places in the model's list of languages.
        start: (B, S) float32, where each stretch begins, from 0 to 1 of the utterance's length.
        end: (B, S) float32, where it ends.
        ordered: the spans of which only the order of languages is known.
    """

    language: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    ordered: tuple[OrderedSpan, ...] = ()

    @classmethod
    def of(cls, stretches: Sequence[Sequence[LanguageStretch]], languages: Sequence[str]) -> "LanguageLabels":
        """Labels of utterances, on the CPU; `languages` are the model's."""
        longest = max(map(len, stretches))
        never = (torch.inf, torch.inf)
        rows = [[*own, *[LanguageStretch(own[-1].language, *never)] * (longest - len(own))] for own in stretches]
        return cls(
            torch.tensor([[languages.index(stretch.language) for stretch in row] for row in rows]),
            torch.tensor([[stretch.start for stretch in row] for row in rows]),
            torch.tensor([[stretch.end for stretch in row] for row in rows]),
            tuple(_ordered_spans(stretches, languages)),
        )

    @classmethod
    def throughout(cls, language: torch.Tensor) -> "LanguageLabels":
        """Labels of utterances in one language each, (B,) int64."""
        start = torch.zeros(len(language), 1, device=language.device)
        return cls(language.unsqueeze(1), start, start + 1)

    def to(self, device: torch.device) -> "LanguageLabels":
        """The same on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("language", "start", "end")}
        return replace(self, **moved)

    def routed(self, valid: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Each frame's language; a pause's is that of what it follows.

        Where only the order is known, it is the one of these languages that the router finds most probable.

        Args:
            valid: (B, T) bool, True for frames.
            logits: (B, T, E), the router's.

        Returns:
            (B, T) int64.
        """
        language = self.language.gather(1, self._latest(valid)[0])
        for (utterance, *_, languages), frames in self.ordered_frames(valid):
            own = torch.tensor(languages, device=logits.device)
            language[utterance, frames] = own[logits[utterance, frames, own].argmax(dim=-1)]
        return language

    def spoken(self, valid: torch.Tensor) -> torch.Tensor:
        """(B, T) bool, True for frames -> (B, T) int64, each frame's language, but IGNORED in pauses, in padding, and
        where only the order of languages is known."""
        latest, middle = self._latest(valid)
        is_spoken = valid & (middle >= self.start.gather(1, latest)) & (middle < self.end.gather(1, latest))
        spoken = self.language.gather(1, latest).masked_fill(~is_spoken, IGNORED)
        for span, frames in self.ordered_frames(valid):
            spoken[span.utterance, frames] = IGNORED
        return spoken

    def ordered_frames(self, valid: torch.Tensor) -> list[tuple[OrderedSpan, slice]]:
        """The spans of which only the order is known, each with its frames in the utterance; valid is (B, T) bool."""
        numbers = valid.sum(dim=1).tolist() if self.ordered else []  # which has to wait for a GPU
        return [(span, span.frames(numbers[span.utterance])) for span in self.ordered]

    def sequences(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The languages in their order, each once where it is that of several stretches in turn.

        Returns:
            Those of all utterances, one after the other, int64, and their number in each, (B,) int64.
        """
        is_new = self.language.diff(dim=1, prepend=self.language[:, :1] - 1) != 0
        return self.language[is_new], is_new.sum(dim=1)

    def _latest(self, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) int64, the last stretch that begins before the middle of a frame; (B, T), that middle, from 0 to 1.

        Frames are taken to divide an utterance evenly, which is true to less than a frame.
        """
        frames = valid.sum(dim=1, keepdim=True).clamp(min=1)
        middle = (torch.arange(valid.size(1), device=valid.device) + 0.5) / frames
        latest = torch.searchsorted(self.start, middle, right=True) - 1
        return latest.clamp(min=0), middle


def _ordered_spans(
    stretches: Sequence[Sequence[LanguageStretch]], languages: Sequence[str]
) -> Iterator[OrderedSpan]:
    """Spans with several stretches, in several languages."""
    for utterance, own in enumerate(stretches):
        for (start, end), group in groupby(own, key=lambda stretch: stretch[1:]):
            sequence = tuple(languages.index(language) for language, _ in groupby(group, key=lambda s: s.language))
            if len(sequence) > 1:
                yield OrderedSpan(utterance, start, end, sequence)
