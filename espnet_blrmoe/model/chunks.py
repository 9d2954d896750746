"""Frames in chunks: none reads beyond the end of its own chunk, so that an encoder can follow people who speak.

Legend: as in packing.py; R chunks of C frames, the last one of an utterance with what is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional as F

from espnet_blrmoe.model.packing import AttentionGroup, PackedFrames, Places, Spans
from espnet_blrmoe.model.past import Past
from espnet_blrmoe.model.positions import LegacyRelativePositions


@dataclass(frozen=True)
class Chunking:
    """How far frames see.

    Attributes:
        size: C, frames of a chunk, which attend to each other.
        left: frames before the chunk that they attend to. Convolutions read as many as they want.
    """

    size: int
    left: int


def check_chunks(sizes: list[int | None] | None, left: int, positions: torch.nn.Module) -> None:
    """Check what a configuration says of chunks.

    Args:
        sizes, left: `chunk_sizes` and `left_context`.
        positions: the encoder's.

    Raises:
        ValueError: a number is out of its range, or attention with these positions cannot be chunked.
    """
    if sizes is None:
        return
    if not isinstance(sizes, list) or not sizes or not all(size is None or _is_count(size, 1) for size in sizes):
        raise ValueError(
            f"encoder_conf: chunk_sizes must be a list of numbers of frames, as in [4, 8, 16, null], not {sizes!r}"
        )
    if not _is_count(left, 0):
        raise ValueError(f"encoder_conf: left_context must be a number of frames, 0 or more, not {left!r}")
    if isinstance(positions, LegacyRelativePositions):
        raise ValueError("encoder_conf: chunk_sizes do not go with block_conf: rel_pos_type: legacy; make it latest")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True)
class ChunkedFrames(PackedFrames):
    """The frames of whole utterances, in chunks: each is one row of a batch that attends and is convolved.

    Attributes:
        chunking: how far frames see.
        first: (R,) int64, the first frame of each chunk, counted in its utterance.
    """

    chunking: Chunking
    first: torch.Tensor

    @classmethod
    def of(cls, lengths: torch.Tensor, shape: tuple[int, int], chunking: Chunking) -> "ChunkedFrames":
        """Pack a batch in time order; arguments as of `in_time_order`."""
        size, counts = chunking.size, lengths.tolist()
        chunks = [-(-count // size) for count in counts]
        starts = [size * before for before in accumulate(chunks, initial=0)]
        first = torch.cat([size * torch.arange(number) for number in chunks]).to(lengths.device)
        ends = lengths.repeat_interleave(torch.tensor(chunks, device=lengths.device))
        frame = first.unsqueeze(1) + torch.arange(-chunking.left, size, device=lengths.device)
        mask = (frame >= 0) & (frame < ends.unsqueeze(1))
        in_chunks = Places.of(starts[:-1], counts, starts[-1], lengths.device)
        in_batch = Places.of([b * shape[1] for b in range(len(counts))], counts, shape[0] * shape[1], lengths.device)
        groups = (AttentionGroup((len(first), size), mask[:, None, None]),)
        return cls(Spans((sum(counts),), None), shape, in_batch, groups, in_chunks, in_chunks, chunking, first)

    @property
    def span(self) -> int:
        """See PackedFrames."""
        return self.chunking.left + self.chunking.size

    def to_contexts(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """(N, D) -> (R, left + C, D)."""
        return [self._windows(packed, self.chunking.left)]

    def to_sequences(self, packed: torch.Tensor, reach: int) -> torch.Tensor:
        """(N, D) -> (R, reach + C, D), zero where there is no frame; a convolution pads their ends with zeros."""
        before = torch.arange(reach, 0, -1, device=packed.device) > self.first.unsqueeze(1)
        of_others = F.pad(before, (0, self.chunking.size)).unsqueeze(-1)
        return self._windows(packed, reach).masked_fill(of_others, 0)

    def from_sequences(self, sequences: torch.Tensor) -> torch.Tensor:
        """See PackedFrames."""
        return self.in_sequence.collect(sequences[:, -self.chunking.size :].flatten(0, 1))

    def _windows(self, packed: torch.Tensor, left: int) -> torch.Tensor:
        """(N, D) -> (R, left + C, D): every chunk behind what stands before it, maybe of another utterance; a view."""
        rows = F.pad(self.in_groups.spread(packed), (0, 0, left, 0))
        return rows.unfold(0, left + self.chunking.size, self.chunking.size).transpose(1, 2)


@dataclass(frozen=True)
class StreamedFrames(ChunkedFrames):
    """One chunk of each of B streams. All of its B x C rows are computed; those that are no frames change no others.

    Attributes:
        valid: (B, C) bool, True for frames: all of them, until a stream ends.
        past: what came before the chunk.
        positions: what projections make of the relative positions, which are the same in all chunks.
    """

    valid: torch.Tensor
    past: Past
    positions: Mapping[torch.nn.Module, torch.Tensor]

    @classmethod
    def next(
        cls,
        first: torch.Tensor,
        valid: torch.Tensor,
        chunking: Chunking,
        past: Past,
        positions: Mapping[torch.nn.Module, torch.Tensor],
    ) -> "StreamedFrames":
        """The next chunk of streams.

        Args:
            first: (B,) int64, frames that came before it.
            valid, chunking, past, positions: see above.
        """
        streams, size = valid.shape
        before = torch.arange(chunking.left, 0, -1, device=valid.device) <= first.unsqueeze(1)
        mask = torch.cat([before, valid], dim=1)
        rows = Places(streams * size, None)
        groups = (AttentionGroup((streams, size), mask[:, None, None]),)
        return cls(
            Spans((streams * size,), None), (streams, size), rows, groups, rows, rows, chunking, first,
            valid, past, positions,
        )  # fmt: skip

    @property
    def before(self) -> torch.Tensor:
        """See PackedFrames."""
        return self.first

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (B, C, D), zero where there is no frame."""
        return super().pad(packed).masked_fill(~self.valid.unsqueeze(-1), 0)

    def project_positions(self, projection: torch.nn.Module, pos_emb: torch.Tensor) -> torch.Tensor:
        """See PackedFrames."""
        known = self.positions.get(projection)
        return super().project_positions(projection, pos_emb) if known is None else known

    def to_sequences(self, packed: torch.Tensor, reach: int) -> torch.Tensor:
        """See ChunkedFrames."""
        return self._windows(packed, reach)

    def _windows(self, packed: torch.Tensor, left: int) -> torch.Tensor:
        return self.past.around(self.pad(packed), left, 0)
