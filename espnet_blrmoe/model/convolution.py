"""Convolutions of packed frames, as ESPnet's are of padded ones: parameters have the same names and shapes."""

import torch
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.model.packing import PackedFrames


class PointwiseConv(nn.Conv1d):
    """A convolution of width 1: weight (C_out, C_in, 1), bias (C_out,)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C_in) -> (N, C_out)."""
        return F.linear(x, self.weight.squeeze(-1), self.bias)


class DepthwiseConv(nn.Conv1d):
    """A convolution over time of each channel by itself: weight (C, 1, kernel_size), bias (C,).

    It never reads padding or another utterance.

    Args:
        channels: C.
        kernel_size: odd number of frames.
        option: what a configuration calls that number.

    Raises:
        ValueError: the number is even.
    """

    def __init__(self, channels: int, kernel_size: int, option: str):
        if kernel_size % 2 == 0:
            raise ValueError(f"block_conf: {option} must be odd, not {kernel_size}")
        super().__init__(channels, channels, kernel_size, groups=channels)

    def forward(self, x: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(N, C) -> (N, C)."""
        # One image of height T and width 1, since the rows are its memory with channels last: that needs no copy, and
        # takes half the time on a CPU.
        image = frames.in_sequence.spread(x).t()[None, :, :, None]
        padding = self.kernel_size[0] // 2, 0
        y = F.conv2d(image, self.weight.unsqueeze(-1), self.bias, padding=padding, groups=self.groups)
        return frames.in_sequence.collect(y[0, :, :, 0].t())
