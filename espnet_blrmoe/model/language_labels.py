"""The language labels of a batch, and what they say of each frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet_blrmoe.languages import LanguageStretch

IGNORED = -100  # cross entropy's label of frames without one


@dataclass(frozen=True)
class LanguageLabels:
    """Which languages a batch's utterances are in, each throughout or stretch by stretch.

    Legend: B utterances, T frames of the longest, S stretches of the utterance that has the most. Utterances with fewer
    have their last language again, in stretches that never begin.

    Attributes:
        language: (B, S) int64, in time order, places in the model's list of languages.
        start: (B, S) float32, where each stretch begins, from 0 to 1 of the utterance's length.
        end: (B, S) float32, where it ends.
    """

    language: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor

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
        )

    @classmethod
    def throughout(cls, language: torch.Tensor) -> "LanguageLabels":
        """Labels of utterances in one language each, (B,) int64."""
        start = torch.zeros(len(language), 1, device=language.device)
        return cls(language.unsqueeze(1), start, start + 1)

    def to(self, device: torch.device) -> "LanguageLabels":
        """The same on a device."""
        return LanguageLabels(self.language.to(device), self.start.to(device), self.end.to(device))

    def routed(self, valid: torch.Tensor) -> torch.Tensor:
        """(B, T) bool, True for frames -> (B, T) int64, each frame's language; a pause's is that of what it follows."""
        return self.language.gather(1, self._latest(valid)[0])

    def spoken(self, valid: torch.Tensor) -> torch.Tensor:
        """The same, but IGNORED in pauses and padding."""
        latest, middle = self._latest(valid)
        is_spoken = valid & (middle >= self.start.gather(1, latest)) & (middle < self.end.gather(1, latest))
        return self.language.gather(1, latest).masked_fill(~is_spoken, IGNORED)

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
