"""Dropout that does not wait for random numbers."""

import torch
from torch import nn


class SelectAndScale(torch.autograd.Function):
    """x * keep * scale, in two passes over memory each way, where autograd's own take three and a copy of the mask."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, keep: torch.Tensor, scale: float) -> torch.Tensor:
        """Any shape, and a bool tensor of it -> the same shape."""
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return torch.where(keep, x, x.new_zeros(())).mul_(scale)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return SelectAndScale.apply(grad, keep, ctx.scale), None, None


class Dropout(nn.Dropout):
    """torch.nn.Dropout, quicker on CPUs where PyTorch draws its random numbers one by one (benchmarks/NOTES.md).

    On a CPU one 64-bit draw decides four elements, each with 16 bits; so `p` is rounded to a multiple of 2 ** -16. The
    mask kept for the backward pass takes one byte per element. Elsewhere, and when compiled, it is torch.nn.Dropout.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape; the same shape."""
        # Dynamo does not see that SelectAndScale's result is new, and compiled code draws in its own way.
        is_torchs = x.device.type != "cpu" or torch.compiler.is_compiling()
        if not self.training or self.p in (0.0, 1.0) or is_torchs:
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        dropped = round(self.p * 2**16)  # of the 2 ** 16 values that 16 bits have
        keep = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
        return SelectAndScale.apply(x, keep, 2**16 / (2**16 - dropped))
