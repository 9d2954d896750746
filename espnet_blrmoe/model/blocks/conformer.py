"""Conformer blocks over packed frames."""

import torch
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.model.blocks.abs_block import AbsBlock, BlockOptions, LayerNorm, activation_of, positions_of
from espnet_blrmoe.model.convolution import DepthwiseConv, PointwiseConv
from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.packing import PackedFrames


class ConformerBlock(AbsBlock):
    """Feed-forward (macaron), self-attention, convolution and feed-forward (ESPnet: conformer EncoderLayer).

    Parameter names and mathematics are those of ESPnet's encoder layer with normalize_before=True.

    Args:
        options: of all blocks.
        macaron_style: whether there is a feed-forward module before the attention too.
        use_cnn_module: whether there is a convolution module.
        cnn_module_kernel: odd number of frames that its convolution reads.
        activation_type: of the feed-forward and convolution modules, as in ESPnet.
        rel_pos_type: "latest" or "legacy" relative positions, as in ESPnet, or None for absolute ones.
    """

    def __init__(
        self,
        options: BlockOptions,
        macaron_style: bool = True,
        use_cnn_module: bool = True,
        cnn_module_kernel: int = 31,
        activation_type: str = "swish",
        rel_pos_type: str | None = "latest",
    ):
        super().__init__()
        activation = activation_of(activation_type)
        size = options.size
        self.positions, attention = positions_of(rel_pos_type)
        self.self_attn = options.attention(attention)
        # Weights are drawn in this order, so that a seed still means the same model.
        conv_module = ConvolutionModule(size, cnn_module_kernel, activation) if use_cnn_module else None
        feed_forward_macaron = options.feed_forward(activation) if macaron_style else None
        self.feed_forward = options.feed_forward(activation)
        self.feed_forward_macaron = feed_forward_macaron
        self.conv_module = conv_module
        self.reach = cnn_module_kernel // 2 if use_cnn_module else 0
        self.norm_mha = LayerNorm(size)
        self.norm_ff = LayerNorm(size)
        if macaron_style:
            self.norm_ff_macaron = LayerNorm(size)
        if use_cnn_module:
            self.norm_conv = LayerNorm(size)
            self.norm_final = LayerNorm(size)
        self.ff_scale = 0.5 if macaron_style else 1.0
        self.dropout = Dropout(options.dropout_rate)

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) -> (N, D); see AbsBlock."""
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

    Unlike in ESPnet, padding enters neither the convolution nor its batch statistics.

    Args:
        channels: D.
        kernel_size: odd number of frames.
        activation: module.
    """

    def __init__(self, channels: int, kernel_size: int, activation: nn.Module):
        super().__init__()
        self.pointwise_conv1 = PointwiseConv(channels, 2 * channels)
        self.depthwise_conv = DepthwiseConv(channels, kernel_size, "cnn_module_kernel")
        self.norm = nn.BatchNorm1d(channels)
        self.pointwise_conv2 = PointwiseConv(channels, channels)
        self.activation = activation

    def forward(self, x: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        x = F.glu(self.pointwise_conv1(x), dim=1)
        x = self.activation(self.norm(self.depthwise_conv(x, frames)))
        return self.pointwise_conv2(x)
