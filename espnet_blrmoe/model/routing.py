"""The Routing of a batch: which expert every frame goes to, decided once and handed to every MLE layer.

Legend: B utterances, T frames of the longest utterance after subsampling, N valid (unpadded) frames of the
batch, D width, E experts = languages. Masks are True for valid frames.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet_blrmoe.model.packing import PackedFrames


@dataclass(frozen=True)
class Routing:
    """What the router decided for a batch.

    Attributes:
        logits: (B, T, E) float32, the router's under the language prior; the prior's own where it leaves one language.
        expert: (B, T) int64, the expert of each frame; meaningless where not valid.
        valid: (B, T) bool, True for frames, False for padding.
        frames: the valid frames, sorted by expert.
        permutation: (N,) int64, for each of them its row in time order; None where that is the same order.
    """

    logits: torch.Tensor
    expert: torch.Tensor
    valid: torch.Tensor
    frames: PackedFrames
    permutation: torch.Tensor | None

    @classmethod
    def of(cls, logits: torch.Tensor, expert: torch.Tensor, valid: torch.Tensor, frames: PackedFrames) -> "Routing":
        """Sort the batch's frames by expert, once for all layers.

        Args:
            logits, expert, valid: see above.
            frames: the valid frames in time order.
        """
        expert_of_frame = frames.pack(expert.unsqueeze(-1)).squeeze(-1)
        permutation, spans = frames.sort_order(expert_of_frame, logits.size(-1))
        return cls(logits, expert, valid, frames.by_expert(permutation, spans), permutation)

    def sort(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, D) in time order -> (N, D) sorted by expert."""
        return packed if self.permutation is None else packed.index_select(0, self.permutation)

    @property
    def log_probs(self) -> torch.Tensor:
        """(B, T, E) log-probability of each language at each frame."""
        return self.logits.log_softmax(dim=-1)

    @property
    def utterance_probs(self) -> torch.Tensor:
        """(B, E) probability of each language over the utterance: the mean over its frames."""
        probs = self.logits.softmax(dim=-1).masked_fill(~self.valid.unsqueeze(-1), 0.0)
        return probs.sum(1) / self.valid.sum(1, keepdim=True).clamp(min=1)

    @property
    def excluded(self) -> torch.Tensor:
        """(B, E) bool, True for languages that the prior made impossible for the utterance."""
        return self.logits.isneginf().all(dim=1)

    def frame_counts(self) -> torch.Tensor:
        """(B, E) int64: how many frames of each utterance went to each expert."""
        chosen = F.one_hot(self.expert, self.logits.size(-1))
        return (chosen * self.valid.unsqueeze(-1)).sum(1)
