"""Transformer and Conformer layers over packed frames; with experts they are MLE (mixture of language experts) layers.

Parameter names and mathematics are those of ESPnet's encoder layers with normalize_before=True.
"""

import torch
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.experts import FeedForward
from espnet_blrmoe.model.routing import PackedFrames


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with ESPnet's epsilon."""

    def __init__(self, size: int):
        super().__init__(size, eps=1e-12)


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual connection (ESPnet: transformer EncoderLayer)."""

    def __init__(self, size: int, self_attn: nn.Module, feed_forward: FeedForward, dropout_rate: float):
        super().__init__()
        self.self_attn = self_attn
        self.feed_forward = feed_forward
        self.norm1 = LayerNorm(size)
        self.norm2 = LayerNorm(size)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) -> (N, D); arguments as in SelfAttention.forward."""
        x = x + self.dropout(self.self_attn(self.norm1(x), frames, pos_emb))
        return x + self.dropout(self.feed_forward(self.norm2(x), frames.spans))


class ConformerLayer(nn.Module):
    """Feed-forward (macaron), self-attention, convolution and feed-forward (ESPnet: conformer EncoderLayer)."""

    def __init__(
        self,
        size: int,
        self_attn: nn.Module,
        feed_forward: FeedForward,
        feed_forward_macaron: FeedForward | None,
        conv_module: nn.Module | None,
        dropout_rate: float,
    ):
        super().__init__()
        self.self_attn = self_attn
        self.feed_forward = feed_forward
        self.feed_forward_macaron = feed_forward_macaron
        self.conv_module = conv_module
        self.norm_mha = LayerNorm(size)
        self.norm_ff = LayerNorm(size)
        if feed_forward_macaron is not None:
            self.norm_ff_macaron = LayerNorm(size)
        if conv_module is not None:
            self.norm_conv = LayerNorm(size)
            self.norm_final = LayerNorm(size)
        self.ff_scale = 1.0 if feed_forward_macaron is None else 0.5
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) -> (N, D); arguments as in SelfAttention.forward."""
        if self.feed_forward_macaron is not None:
            hidden = self.feed_forward_macaron(self.norm_ff_macaron(x), frames.spans)
            x = torch.add(x, self.dropout(hidden), alpha=self.ff_scale)
        x = x + self.dropout(self.self_attn(self.norm_mha(x), frames, pos_emb))
        if self.conv_module is not None:
            x = x + self.dropout(self.conv_module(self.norm_conv(x), frames))
        x = torch.add(x, self.dropout(self.feed_forward(self.norm_ff(x), frames.spans)), alpha=self.ff_scale)
        return x if self.conv_module is None else self.norm_final(x)


class ConvolutionModule(nn.Module):
    """Conformer's convolution module (ESPnet: ConvolutionModule).

    Unlike in ESPnet, padding takes part neither in it nor in its batch statistics.

    Args:
        channels: D.
        kernel_size: odd number of frames.
        activation: module.
    """

    def __init__(self, channels: int, kernel_size: int, activation: nn.Module):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"cnn_module_kernel must be odd, got {kernel_size}")
        self.pointwise_conv1 = nn.Conv1d(channels, 2 * channels, 1)
        self.depthwise_conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.BatchNorm1d(channels)
        self.pointwise_conv2 = nn.Conv1d(channels, channels, 1)
        self.activation = activation

    def forward(self, x: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        x = F.glu(_pointwise(self.pointwise_conv1, x), dim=1)
        in_time = _depthwise(self.depthwise_conv, frames.in_sequence.spread(x))
        x = self.activation(self.norm(frames.in_sequence.collect(in_time)))
        return _pointwise(self.pointwise_conv2, x)


def _pointwise(conv: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A convolution of width 1 is a linear layer of packed frames."""
    return F.linear(x, conv.weight.squeeze(-1), conv.bias)


def _depthwise(conv: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A depth-wise convolution over the rows of (T, D), as one of an image of height T and width 1.

    So the rows are the image's memory with its channels last, which takes no copy and half the time on a CPU.
    """
    image = x.t()[None, :, :, None]
    y = F.conv2d(image, conv.weight.unsqueeze(-1), conv.bias, padding=(conv.padding[0], 0), groups=conv.groups)
    return y[0, :, :, 0].t()
