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

    It never reads padding, another utterance, or beyond the end of a chunk.

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
        # Images of height T and width 1, since the rows are their memory with channels last: that needs no copy, and
        # takes half the time on a CPU.
        reach = self.kernel_size[0] // 2
        images = frames.to_sequences(x, reach).transpose(1, 2).unsqueeze(-1)
        y = F.conv2d(images, self.weight.unsqueeze(-1), self.bias, padding=(reach, 0), groups=self.groups)
        return frames.from_sequences(y.squeeze(-1).transpose(1, 2))
