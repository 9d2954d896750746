"""Dropout that does not wait for random numbers."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

BLOCK = 2**17  # elements that are worked on at a time, so that what is computed between them stays in the cache


class SelectAndScale(torch.autograd.Function):
    """x * keep * scale, in one pass over memory each way; autograd's own takes several, and a float copy of keep."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, keep: torch.Tensor, scale: float) -> torch.Tensor:
        """Any shape, int8 (elements,) of 1 or 0 -> the same shape."""
        ctx.save_for_backward(keep)
        ctx.scale = scale
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        for own, out, factor in blocks(x.contiguous(), y, keep):
            torch.mul(own, factor.to(x.dtype), out=out).mul_(scale)
        return y

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return SelectAndScale.apply(grad, keep, ctx.scale), None, None


class SelectAndScaleReLU(torch.autograd.Function):
    """relu(x) * keep * scale, in place; from the result alone the backward pass knows which gradients pass."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, keep: torch.Tensor, scale: float) -> torch.Tensor:
        """Any shape, int8 (elements,) of 1 or 0 -> x, changed."""
        ctx.scale = scale
        for own, factor in blocks(x, keep):
            own.relu_().mul_(factor.to(x.dtype)).mul_(scale)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, y, 0).mul_(ctx.scale), None, None


class Dropout(nn.Dropout):
    """torch.nn.Dropout, quicker on CPUs where PyTorch draws its random numbers one by one (benchmarks/NOTES.md).

    On a CPU one 64-bit draw decides four elements, each with 16 bits; so `p` is rounded to a multiple of 2 ** -16. The
    mask kept for the backward pass takes one byte per element. Elsewhere, when compiled, and where `p` would be rounded
    to 0 or 1, it is torch.nn.Dropout.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape; the same shape."""
        return SelectAndScale.apply(x, *self._draw(x)) if self._is_ours(x) else super().forward(x)

    def of_relu(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout of relu(x), which is computed in place. Any shape, contiguous; the same shape."""
        return SelectAndScaleReLU.apply(x, *self._draw(x)) if self._is_ours(x) else super().forward(F.relu_(x))

    def _is_ours(self, x: torch.Tensor) -> bool:
        # Dynamo does not see that SelectAndScale's result is new, and compiled code draws in its own way.
        is_torchs = x.device.type != "cpu" or torch.compiler.is_compiling()
        return self.training and 0 < self._dropped < 2**16 and not is_torchs

    @property
    def _dropped(self) -> int:
        """How many of the 2 ** 16 values of 16 bits stand for elements that are dropped."""
        return round(self.p * 2**16)

    def _draw(self, x: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Which elements are kept, (elements,) int8, and what they are multiplied with."""
        keep = torch.empty(x.numel(), dtype=torch.int8)
        for own in keep.split(BLOCK):
            draws = torch.empty(-(-len(own) // 4), dtype=torch.int64).random_(-(2**63), None)
            # Compared as floats, and not to bool, since those kernels are vectorised.
            own.copy_(draws.view(torch.int16)[: len(own)].float().ge_(self._dropped - 2**15))
        return keep, 2**16 / (2**16 - self._dropped)


def blocks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same blocks of contiguous tensors with equally many elements."""
    return zip(*(tensor.view(-1).split(BLOCK) for tensor in tensors))
