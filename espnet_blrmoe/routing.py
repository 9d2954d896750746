"""The Routing of a batch: which expert every frame goes to, decided once and handed to every MLE layer.

Legend: B utterances, T frames of the longest utterance after subsampling, N valid (unpadded) frames of the
batch, D width, E experts = languages. Masks are True for valid frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet_blrmoe.languages import parse_languages


@dataclass(frozen=True)
class PackedFrames:
    """The valid frames of a padded batch, packed into a matrix (N, D) without padding.

    The order of the rows is free: in time order for shared blocks, sorted by expert for MLE blocks, where
    each expert's frames are one contiguous span.

    Attributes:
        shape: (B, T) of the padded batch.
        order: (N,) int64, flat index b * T + t of each packed row.
        spans: number of frames of each expert, in expert order; (N,), one span, where frames are in time order.
    """

    shape: tuple[int, int]
    order: torch.Tensor
    spans: tuple[int, ...]

    @classmethod
    def in_time_order(cls, valid: torch.Tensor) -> "PackedFrames":
        """Args: valid (B, T) bool."""
        order = valid.flatten().nonzero().squeeze(1)
        return cls(tuple(valid.shape), order, (len(order),))

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (N, D)."""
        return padded.flatten(0, 1).index_select(0, self.order)

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (B, T, D), zero where there is no frame."""
        batch, time = self.shape
        padded = packed.new_zeros(batch * time, packed.size(1))
        return padded.index_copy(0, self.order, packed).view(batch, time, -1)


@dataclass(frozen=True)
class Routing:
    """What the router decided for a batch.

    Attributes:
        logits: (B, T, E) float32, the router's, with the language prior added.
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
        expert_of_frame = expert.flatten()[frames.order]
        spans = tuple(torch.bincount(expert_of_frame, minlength=logits.size(-1)).tolist())
        if max(spans) == len(expert_of_frame):  # one language in the batch: nothing to gather
            return cls(logits, expert, valid, PackedFrames(frames.shape, frames.order, spans), None)
        permutation = expert_of_frame.argsort(stable=True)
        by_expert = PackedFrames(frames.shape, frames.order[permutation], spans)
        return cls(logits, expert, valid, by_expert, permutation)

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

    def frame_counts(self) -> torch.Tensor:
        """(B, E) int64: how many frames of each utterance went to each expert."""
        chosen = torch.nn.functional.one_hot(self.expert, self.logits.size(-1))
        return (chosen * self.valid.unsqueeze(-1)).sum(1)


@dataclass(frozen=True)
class LanguagePrior:
    """What is known of an utterance's language before it is heard; added to the router's logits.

    Attributes:
        log_weights: (B, E) or (1, E) float32; minus infinity excludes a language (expert pruning, paper
            section "Expert pruning").
    """

    log_weights: torch.Tensor

    @classmethod
    def allow(cls, allowed: Sequence[Sequence[str]], languages: Sequence[str]) -> "LanguagePrior":
        """Only the listed languages can be chosen.

        Args:
            allowed: one list for the whole batch, or one list per utterance.
            languages: all languages of the model, in expert order.

        Raises:
            ValueError: a list is empty or names an unknown language.
        """
        allowed = [parse_languages(codes, languages) for codes in allowed]
        weights = [[0.0 if language in codes else float("-inf") for language in languages] for codes in allowed]
        return cls(torch.tensor(weights))

    def only_expert(self) -> torch.Tensor | None:
        """(B,) int64 or (1,): the one expert that is left to each utterance; None if any has a choice."""
        allowed = self.log_weights.isfinite()
        return allowed.int().argmax(dim=1) if bool((allowed.sum(dim=1) == 1).all()) else None

    def to(self, device: torch.device) -> "LanguagePrior":
        return LanguagePrior(self.log_weights.to(device))
