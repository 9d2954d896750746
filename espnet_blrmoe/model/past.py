"""What came before: nothing, where a whole utterance is there; in a stream, what modules remember of earlier chunks.

B utterances, T frames, of a chunk in a stream; `...` stands for any further dimensions.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


class Whole:
    """Of utterances that are there from their beginning to their end. Silence, zeros, is around them."""

    def around(self, x: torch.Tensor, left: int, right: int) -> torch.Tensor:
        """(B, T, D) -> (B, left + T + right, D), with the frames before and after."""
        return F.pad(x, (0, 0, left, right))

    def delayed(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """(B, T, ...), as far behind as what `around` gave has become by reading `frames` frames ahead: not at all."""
        return x

    def recalled(self, nothing: torch.Tensor) -> torch.Tensor:
        """What was given to `remember` before: `nothing`."""
        return nothing

    def remember(self, summary: torch.Tensor) -> None:
        """Keep (B, ...) of all frames so far."""


class Past(Whole):
    """Of streams, during one chunk. The modules of an encoder ask in the same order in every chunk.

    Frames that a chunk lacks on its right come with the next one: what a module computes with `right` frames ahead is
    of frames so many earlier, and what it is put together with has to be delayed by as many.

    Args:
        before: `after` of the chunk before, (B, frames, ...) each; empty at the beginning of streams.

    Attributes:
        after: what the modules want to know in the next chunk.
    """

    def __init__(self, before: Sequence[torch.Tensor] = ()):
        self._before = iter(before)
        self.after: list[torch.Tensor] = []

    def around(self, x: torch.Tensor, left: int, right: int) -> torch.Tensor:
        """(B, T, ...) -> (B, left + right + T, ...): the frames before, then x."""
        frames = left + right
        if not frames:
            return x
        before = next(self._before, None)
        if before is None:
            before = x.new_zeros(len(x), frames, *x.shape[2:])
        together = torch.cat([before, x], dim=1)
        self.after.append(together[:, -frames:])
        return together

    def delayed(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        """(B, T, ...) -> (B, T, ...), `frames` frames earlier."""
        return self.around(x, frames, 0)[:, : x.size(1)]

    def recalled(self, nothing: torch.Tensor) -> torch.Tensor:
        """What was given to `remember` in the chunk before; at the beginning of streams `nothing`."""
        return next(self._before, nothing)

    def remember(self, summary: torch.Tensor) -> None:
        """Keep (B, ...) of all frames so far, for the next chunk."""
        self.after.append(summary)


WHOLE = Whole()
