"""The Routing of a batch: the language of every frame, and so its expert, decided once and handed to every MLE layer.

Legend: B utterances, T frames of the longest utterance after subsampling, N valid (unpadded) frames of the
batch, D width, E languages. Masks are True for valid frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet_blrmoe.model.packing import PackedFrames


@dataclass(frozen=True)
class Routing:
    """What the router decided for a batch.

    Attributes:
        logits: (B, T, E) float32, the router's under the language prior; the prior's own where it leaves one language.
        language: (B, T) int64, the language of each frame, whose expert it goes to; meaningless where not valid.
        valid: (B, T) bool, True for frames, False for padding.
        frames: the valid frames, sorted by expert.
        permutation: (N,) int64, for each of them its row in time order; None where that is the same order.
    """

    logits: torch.Tensor
    language: torch.Tensor
    valid: torch.Tensor
    frames: PackedFrames
    permutation: torch.Tensor | None

    @classmethod
    def of(
        cls,
        logits: torch.Tensor,
        language: torch.Tensor,
        valid: torch.Tensor,
        frames: PackedFrames,
        expert_of: Sequence[int] | None = None,
    ) -> "Routing":
        """Sort the batch's frames by expert, once for all layers.

        Args:
            logits, language, valid: see above.
            frames: the valid frames in time order.
            expert_of: the expert of each of the E languages; None: each has its own, and they have the same order.
        """
        expert, num_experts = frames.pack(language.unsqueeze(-1)).squeeze(-1), logits.size(-1)
        if expert_of is not None:
            expert, num_experts = torch.tensor(expert_of, device=expert.device)[expert], max(expert_of) + 1
        permutation, spans = frames.sort_order(expert, num_experts)
        return cls(logits, language, valid, frames.by_expert(permutation, spans), permutation)

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
