"""The Routing of a batch: which expert every frame goes to, decided once and handed to every MLE layer.

Legend: B utterances, T frames of the longest utterance after subsampling, N valid (unpadded) frames of the
batch, D width, E experts = languages. Masks are True for valid frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch.nn import functional as F

from espnet_blrmoe.languages import parse_languages

# No utterance of an attention group is shorter than this part of its longest: less padding, but more kernel calls.
GROUP_RATIO = 0.75


@dataclass(frozen=True)
class Places:
    """Where the packed frames lie among the rows of a matrix that has zero rows between them.

    Attributes:
        size: number of rows of that matrix.
        rows: (N,) int64, the row of each packed frame; None where the matrices are the same, row for row.
    """

    size: int
    rows: torch.Tensor | None

    @classmethod
    def of(cls, starts: Sequence[int], lengths: Sequence[int], size: int, device: torch.device) -> "Places":
        """Utterance b's `lengths[b]` frames, packed in time order, lie from row `starts[b]` on."""
        packed_starts = list(accumulate(lengths, initial=0))
        if list(starts) == packed_starts[:-1] and size == packed_starts[-1]:
            return cls(size, None)
        shifts = torch.tensor(starts) - torch.tensor(packed_starts[:-1])
        rows = torch.arange(packed_starts[-1]) + shifts.repeat_interleave(torch.tensor(lengths))
        return cls(size, rows.to(device))

    def spread(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (size, D), zero where there is no frame."""
        if self.rows is None:
            return packed
        return packed.new_zeros(self.size, packed.size(1)).index_copy(0, self.rows, packed)

    def collect(self, spread: torch.Tensor) -> torch.Tensor:
        """(size, D) -> (N, D)."""
        return spread if self.rows is None else spread.index_select(0, self.rows)

    def permuted(self, permutation: torch.Tensor) -> "Places":
        """The places of packed frames of which row i was row `permutation[i]`."""
        return Places(self.size, permutation if self.rows is None else self.rows[permutation])


@dataclass(frozen=True)
class Spans:
    """How packed frames that are sorted by expert fall to the experts: one contiguous span each, in expert order.

    Attributes:
        counts: number of frames of each expert.
        ends: (E,) int32, on the frames' device: the row where each span ends; None where nobody reads it: in a trace,
            and for blocks without experts.
    """

    counts: tuple[int, ...]
    ends: torch.Tensor | None

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device | str = "cpu") -> "Spans":
        """Spans of so many frames."""
        return cls(tuple(counts), torch.tensor(list(accumulate(counts)), dtype=torch.int32).to(device))

    @property
    def have_one_expert(self) -> bool:
        """Whether all frames fall to the same expert."""
        return max(self.counts) == sum(self.counts)


@dataclass(frozen=True)
class AttentionGroup:
    """Utterances of similar length, padded to the longest of them, for attention.

    Attributes:
        shape: (utterances, frames of the longest).
        mask: (utterances, 1, 1, frames) bool, True for frames that may be attended to; None without padding.
    """

    shape: tuple[int, int]
    mask: torch.Tensor | None


@dataclass(frozen=True)
class PackedFrames:
    """The valid frames of a batch, packed into a matrix (N, D) without padding.

    The order of the rows is free: in time order for shared blocks, sorted by expert for MLE blocks, where
    each expert's frames are one contiguous span. What needs time order finds it in three other layouts.

    Attributes:
        spans: the frames of each expert; all of them in one span where frames are in time order.
        shape: (B, T) of the padded batch.
        in_batch: places in the padded batch, (B * T, D).
        groups: the batch's utterances, by length.
        in_groups: places in those groups, one after another.
        in_sequence: places in one sequence of all utterances, with so many zero rows between them that a convolution
            reads none of its neighbours.
    """

    spans: Spans
    shape: tuple[int, int]
    in_batch: Places
    groups: tuple[AttentionGroup, ...]
    in_groups: Places
    in_sequence: Places

    @classmethod
    def in_time_order(cls, lengths: torch.Tensor, shape: tuple[int, int], gap: int = 0) -> "PackedFrames":
        """Args:
        lengths: (B,) int64, valid frames of each utterance, at least one.
        shape: (B, T) of the padded batch.
        gap: zero rows between utterances in the sequence: half a convolution's width.
        """
        device, lengths, time = lengths.device, lengths.tolist(), shape[1]
        batch_starts = [b * time for b in range(len(lengths))]
        sequence_starts = list(accumulate((length + gap for length in lengths), initial=0))
        groups, group_starts, rows = [], [0] * len(lengths), 0
        for group in group_by_length(lengths):
            longest = lengths[group[0]]
            for b in group:
                group_starts[b] = rows
                rows += longest
            groups.append(_attention_group([lengths[b] for b in group], device))
        return cls(
            Spans((sum(lengths),), None),
            shape,
            Places.of(batch_starts, lengths, shape[0] * time, device),
            tuple(groups),
            Places.of(group_starts, lengths, rows, device),
            Places.of(sequence_starts[:-1], lengths, sequence_starts[-1] - gap, device),
        )

    def sort_order(self, expert: torch.Tensor, num_experts: int) -> tuple[torch.Tensor | None, Spans]:
        """How to sort frames by expert.

        Args:
            expert: (N,) int64, of frames in time order.
            num_experts: E.

        Returns:
            (N,) int64, the row that each sorted frame had, None for the same order; the sorted frames' spans.
        """
        spans = Spans.of(torch.bincount(expert, minlength=num_experts).tolist(), expert.device)
        return None if spans.have_one_expert else expert.argsort(stable=True), spans  # None: nothing to gather

    def by_expert(self, permutation: torch.Tensor | None, spans: Spans) -> "PackedFrames":
        """The same frames in another order: row i was row `permutation[i]`; None for the same order."""
        if permutation is None:
            return replace(self, spans=spans)
        layouts = {name: getattr(self, name).permuted(permutation) for name in ("in_batch", "in_groups", "in_sequence")}
        return replace(self, spans=spans, **layouts)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (N, D)."""
        return self.in_batch.collect(padded.flatten(0, 1))

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (B, T, D), zero where there is no frame."""
        return self.in_batch.spread(packed).view(*self.shape, -1)

    def to_groups(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """(N, D) -> (utterances, frames, D) of every attention group, zero where there is no frame."""
        parts = self.in_groups.spread(packed).split([group.shape[0] * group.shape[1] for group in self.groups])
        return [part.view(*group.shape, -1) for part, group in zip(parts, self.groups)]

    def from_groups(self, groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """What to_groups made -> (N, D)."""
        return self.in_groups.collect(torch.cat([group.flatten(0, 1) for group in groups]))


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Utterances in groups of similar length, the longest first, in the groups too."""
    groups: list[list[int]] = []
    for utterance in sorted(range(len(lengths)), key=lambda b: -lengths[b]):
        if not groups or lengths[utterance] < GROUP_RATIO * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(utterance)
    return groups


def _attention_group(lengths: list[int], device: torch.device) -> AttentionGroup:
    longest = lengths[0]
    if lengths[-1] == longest:
        return AttentionGroup((len(lengths), longest), None)
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    return AttentionGroup((len(lengths), longest), mask[:, None, None, :].to(device))


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


@dataclass(frozen=True)
class LanguagePrior:
    """What is known of the utterances' languages before they are heard; shapes the router's logits before its choice.

    Attributes:
        log_weights: (B, E) or (1, E) float32, added to the log-probabilities of every frame; minus infinity excludes a
            language (expert pruning, paper section "Expert pruning"), a finite penalty makes it less likely.
        escape: an utterance escapes its prior where the languages that the prior weighs down have more than this
            probability without it, averaged over the utterance; None: no escape.
        window: frames over which log-probabilities are averaged around each frame before the choice: 1 (every frame for
            itself) or another odd number; None: the whole utterance, which so gets one language.
    """

    log_weights: torch.Tensor
    escape: float | None = None
    window: int | None = 1

    def __post_init__(self):
        if self.log_weights.isnan().any() or self.log_weights.isposinf().any():
            raise ValueError("the language prior's log-weights must be numbers or minus infinity")
        if not self.log_weights.isfinite().any(dim=1).all():
            raise ValueError("the language prior excludes every language; allow at least one")
        if self.escape is not None and not 0.0 < self.escape < 1.0:
            raise ValueError(f"the escape threshold is a probability between 0 and 1, not {self.escape}")
        if self.window is not None and (self.window < 1 or self.window % 2 == 0):
            raise ValueError(f"the smoothing window must be an odd number of frames, not {self.window}")

    @classmethod
    def allow(
        cls,
        allowed: Sequence[str | Sequence[str]],
        languages: Sequence[str],
        penalty: float = math.inf,
        escape: float | None = None,
        window: int | None = 1,
    ) -> "LanguagePrior":
        """The listed languages, or, with a finite penalty, rather the listed ones.

        Args:
            allowed: one list per utterance, or, alone in it, one list for the whole batch: [["en", "de"]] or ["en,de"].
            languages: all languages of the model, in expert order.
            penalty: nats taken off the log-probability of every language that is not listed.
            escape, window: see above.

        Raises:
            ValueError: a list is empty or names an unknown language, or an option is out of its range.
        """
        if isinstance(allowed, str):
            raise ValueError(f"allowed languages come as a list of lists; write [{allowed!r}] for the whole batch")
        if not penalty >= 0.0:
            raise ValueError(f"the language penalty must be a number of nats from 0 on, not {penalty}")
        lists = [parse_languages(codes, languages) for codes in allowed]
        weights = [[0.0 if language in codes else -penalty for language in languages] for codes in lists]
        return cls(torch.tensor(weights), escape, window)

    def only_expert(self) -> torch.Tensor | None:
        """(B,) int64 or (1,): the one expert that is left to each utterance; None if any has a choice."""
        allowed = self.log_weights.isfinite()
        if self.escape is not None or bool((allowed.sum(dim=1) > 1).any()):
            return None
        return allowed.int().argmax(dim=1)

    def apply(self, logits: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """The router's (B, T, E) logits, smoothed and weighed; valid is (B, T) bool, True for frames."""
        smoothed = logits if self.window == 1 else smooth(logits.log_softmax(dim=-1), valid, self.window)
        weighed = smoothed + self.log_weights.unsqueeze(1)
        if self.escape is None:
            return weighed
        probs = (logits.softmax(dim=-1) * valid.unsqueeze(-1)).sum(1) / valid.sum(1, keepdim=True)
        weighed_down = self.log_weights < self.log_weights.amax(dim=1, keepdim=True)
        escapes = (probs * weighed_down).sum(1) > self.escape
        return torch.where(escapes[:, None, None], smoothed, weighed)

    def to(self, device: torch.device) -> "LanguagePrior":
        return replace(self, log_weights=self.log_weights.to(device))


def smooth(log_probs: torch.Tensor, valid: torch.Tensor, window: int | None) -> torch.Tensor:
    """Average over time, within each utterance: (B, T, E) -> (B, T, E).

    Args:
        log_probs: (B, T, E).
        valid: (B, T) bool, True for frames.
        window: odd number of frames around each frame; None: all of the utterance.
    """
    weights = valid.unsqueeze(-1).to(log_probs)
    if window is None:
        return ((log_probs * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)).expand_as(log_probs)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool1d(x.transpose(1, 2), window, stride=1, padding=window // 2).transpose(1, 2)

    return mean(log_probs * weights) / mean(weights).clamp(min=1 / (2 * window))
