"""The valid frames of a batch, packed without padding, and the layouts in which blocks need them.

Legend: B utterances, T frames of the longest utterance after subsampling, N valid (unpadded) frames of the
batch, D width, E experts. Masks are True for valid frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch

# No utterance of a GPU's attention group is shorter than this part of its longest: less padding, but more kernel calls.
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
        return packed.new_zeros(self.size, packed.size(1)).index_copy_(0, self.rows, packed)

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
        ends: (E,) int32, on the frames' device: the row where each span ends; None where nothing reads it: in a trace,
            and for blocks without experts.
    """

    counts: tuple[int, ...]
    ends: torch.Tensor | None

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device | str = "cpu") -> "Spans":
        """Spans of these numbers of frames."""
        return cls(tuple(counts), torch.tensor(list(accumulate(counts)), dtype=torch.int32).to(device))

    def split(self, size: int) -> list["Spans"]:
        """The spans of every `size` frames and of the rest: of the parts that torch.split makes of the frames."""
        bounds = list(accumulate(self.counts, initial=0))
        parts = range(0, bounds[-1], size)
        return [Spans.of([_overlap(*span, part, part + size) for span in pairwise(bounds)]) for part in parts]

    @property
    def have_one_expert(self) -> bool:
        """Whether all frames fall to the same expert."""
        return max(self.counts) == sum(self.counts)


def _overlap(start: int, end: int, other_start: int, other_end: int) -> int:
    return max(0, min(end, other_end) - max(start, other_start))


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
        groups: the batch's utterances, as they attend.
        in_groups: places in those groups, one after another.
        in_sequence: places in one sequence of all utterances, with enough zero rows between them that a convolution
            never reads a neighbour.
    """

    spans: Spans
    shape: tuple[int, int]
    in_batch: Places
    groups: tuple[AttentionGroup, ...]
    in_groups: Places
    in_sequence: Places

    @classmethod
    def in_time_order(cls, lengths: torch.Tensor, shape: tuple[int, int], gap: int = 0) -> "PackedFrames":
        """Pack a batch in time order.

        Args:
            lengths: (B,) int64, valid frames of each utterance, at least one.
            shape: (B, T) of the padded batch.
            gap: zero rows between utterances in the sequence: half a convolution's width.
        """
        device, lengths, time = lengths.device, lengths.tolist(), shape[1]
        batch_starts = [b * time for b in range(len(lengths))]
        sequence_starts = list(accumulate((length + gap for length in lengths), initial=0))
        groups, group_starts, rows = [], [0] * len(lengths), 0
        for group in attention_groups(lengths, device):
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

    @property
    def span(self) -> int:
        """The most frames that one frame attends to."""
        return self.shape[1]

    @property
    def before(self) -> torch.Tensor | None:
        """(B,) int64, frames of each utterance that came before this batch; None: none."""
        return None

    def to_groups(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """(N, D) -> (utterances, frames, D) of every attention group, zero where there is no frame."""
        parts = self.in_groups.spread(packed).split([group.shape[0] * group.shape[1] for group in self.groups])
        return [part.view(*group.shape, -1) for part, group in zip(parts, self.groups)]

    def to_contexts(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """(N, D) -> (utterances, frames, D), what each of those groups attends to, as far as its mask lets it."""
        return self.to_groups(packed)

    def from_groups(self, groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """What to_groups made -> (N, D)."""
        return self.in_groups.collect(torch.cat([group.flatten(0, 1) for group in groups]))

    def project_positions(self, projection: torch.nn.Module, pos_emb: torch.Tensor) -> torch.Tensor:
        """(1, P, D) relative positions -> (1, P, D), as an attention's own projection sees them."""
        return projection(pos_emb)

    def to_sequences(self, packed: torch.Tensor, reach: int) -> torch.Tensor:
        """(N, D) -> (sequences, frames, D), for a convolution that reads `reach` frames on each side of a frame."""
        return self.in_sequence.spread(packed).unsqueeze(0)

    def from_sequences(self, sequences: torch.Tensor) -> torch.Tensor:
        """What to_sequences made, convolved -> (N, D)."""
        return self.in_sequence.collect(sequences[0])


def valid_frames(lengths: torch.Tensor, time: int) -> torch.Tensor:
    """(B, T) bool, True for frames, of (B,) lengths and T."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)


def attention_groups(lengths: Sequence[int], device: torch.device) -> list[list[int]]:
    """The utterances that attend in one call: on a CPU, where a call costs next to nothing, each one alone."""
    return [[b] for b in range(len(lengths))] if device.type == "cpu" else group_by_length(lengths)


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Utterances in groups of similar length; groups, and utterances in a group, begin with the longest."""
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
    mask = valid_frames(torch.tensor(lengths), longest)
    return AttentionGroup((len(lengths), longest), mask[:, None, None, :].to(device))
