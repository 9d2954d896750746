"""E-Branchformer blocks over packed frames."""

import torch
from torch import nn

from espnet_blrmoe.model.blocks.abs_block import AbsBlock, BlockOptions, LayerNorm, activation_of, positions_of
from espnet_blrmoe.model.convolution import DepthwiseConv
from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.packing import PackedFrames


class EBranchformerBlock(AbsBlock):
    """Self-attention beside a cgMLP, merged, between feed-forward modules (ESPnet: EBranchformerEncoderLayer).

    Parameter names and mathematics are those of ESPnet's layer. What merges the branches has no experts.

    Args:
        options: of all blocks.
        cgmlp_linear_units: even number of hidden units of the cgMLP; one half gates the other.
        cgmlp_conv_kernel: odd number of frames that its convolution reads.
        cgmlp_experts: whether its two projections have experts in MLE blocks. Its gate, between them, has none: it
            convolves over time, across frames of different experts.
        use_linear_after_conv: whether its gate has a linear layer after the convolution.
        gate_activation: of its gate, as in ESPnet: "identity" or an activation.
        merge_conv_kernel: odd number of frames that the merging convolution reads.
        use_ffn: whether there is a feed-forward module after the branches.
        macaron_ffn: whether there is one before them too; not without the other.
        ffn_activation_type: of the feed-forward modules, as in ESPnet.
        rel_pos_type: "latest" or "legacy" relative positions, as in ESPnet, or None for absolute ones.
    """

    def __init__(
        self,
        options: BlockOptions,
        cgmlp_linear_units: int = 2048,
        cgmlp_conv_kernel: int = 31,
        cgmlp_experts: bool = False,
        use_linear_after_conv: bool = False,
        gate_activation: str = "identity",
        merge_conv_kernel: int = 3,
        use_ffn: bool = True,
        macaron_ffn: bool = True,
        ffn_activation_type: str = "swish",
        rel_pos_type: str | None = "latest",
    ):
        super().__init__()
        size = options.size
        self.positions, attention = positions_of(rel_pos_type)
        self.attn = options.attention(attention)
        gate = GatingUnit(
            cgmlp_linear_units, cgmlp_conv_kernel, options.dropout_rate, use_linear_after_conv, gate_activation
        )
        self.cgmlp = GatedMLP(options, cgmlp_linear_units, gate, cgmlp_experts)
        activation = activation_of(ffn_activation_type, "ffn_activation_type")
        self.feed_forward = options.feed_forward(activation) if use_ffn else None
        self.feed_forward_macaron = options.feed_forward(activation) if use_ffn and macaron_ffn else None
        if self.feed_forward is not None:
            self.norm_ff = LayerNorm(size)
        if self.feed_forward_macaron is not None:
            self.norm_ff_macaron = LayerNorm(size)
        self.ff_scale = 1.0 if self.feed_forward_macaron is None else 0.5
        self.norm_mha = LayerNorm(size)
        self.norm_mlp = LayerNorm(size)
        self.norm_final = LayerNorm(size)
        self.depthwise_conv_fusion = DepthwiseConv(2 * size, merge_conv_kernel, "merge_conv_kernel")
        self.merge_proj = nn.Linear(2 * size, size)
        self.dropout = Dropout(options.dropout_rate)
        self.reach = max(cgmlp_conv_kernel, merge_conv_kernel) // 2

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) -> (N, D); see AbsBlock."""
        if self.feed_forward_macaron is not None:
            hidden = self.feed_forward_macaron(self.norm_ff_macaron(x), frames.spans)
            x = torch.add(x, self.dropout(hidden), alpha=self.ff_scale)
        attended = self.dropout(self.attn(self.norm_mha(x), frames, pos_emb))
        gated = self.dropout(self.cgmlp(self.norm_mlp(x), frames))
        both = torch.cat([attended, gated], dim=1)
        x = x + self.dropout(self.merge_proj(both + self.depthwise_conv_fusion(both, frames)))
        if self.feed_forward is not None:
            x = torch.add(x, self.dropout(self.feed_forward(self.norm_ff(x), frames.spans)), alpha=self.ff_scale)
        return self.norm_final(x)


class GatedMLP(nn.Module):
    """Multi-layer perceptron with convolutional gating, cgMLP (ESPnet: ConvolutionalGatingMLP).

    Args:
        options: of all blocks.
        linear_units: U, even.
        gate: in the middle.
        has_experts: whether the projections have experts in MLE blocks.
    """

    def __init__(self, options: BlockOptions, linear_units: int, gate: "GatingUnit", has_experts: bool):
        super().__init__()
        # In a list with its activation, since ESPnet calls its weight channel_proj1.0.weight.
        self.channel_proj1 = nn.ModuleList([options.linear(options.size, linear_units, has_experts), nn.GELU()])
        self.csgu = gate
        self.channel_proj2 = options.linear(linear_units // 2, options.size, has_experts)

    def forward(self, x: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        projection, activation = self.channel_proj1
        hidden = activation(projection(x, frames.spans))
        return self.channel_proj2(self.csgu(hidden, frames), frames.spans)


class GatingUnit(nn.Module):
    """One half of the units times the other, which is convolved over time (ESPnet: ConvolutionalSpatialGatingUnit).

    Args:
        units: U, even.
        kernel_size: odd number of frames.
        dropout_rate: of the product.
        use_linear_after_conv: whether a linear layer follows the convolution.
        activation: name of the gate's; "identity" for none.

    Raises:
        ValueError: a number is not even or odd, or there is no such activation.
    """

    def __init__(
        self, units: int, kernel_size: int, dropout_rate: float, use_linear_after_conv: bool, activation: str
    ):
        super().__init__()
        if units % 2:
            raise ValueError(f"block_conf: cgmlp_linear_units must be even, not {units}")
        half = units // 2
        self.norm = LayerNorm(half)
        self.conv = DepthwiseConv(half, kernel_size, "cgmlp_conv_kernel")
        self.linear = nn.Linear(half, half) if use_linear_after_conv else None
        self.act = nn.Identity() if activation == "identity" else activation_of(activation, "gate_activation")
        self.dropout = Dropout(dropout_rate)

    def espnet_initialization_fn(self) -> None:
        """Open the gate, as ESPnet does where a configuration has `init`."""
        for layer in (self.conv, self.linear):
            if layer is not None:
                weight, bias = layer.parameters()
                nn.init.normal_(weight, std=1e-6)
                nn.init.ones_(bias)

    def forward(self, x: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(N, U) -> (N, U / 2)."""
        gated, gate = x.chunk(2, dim=1)
        gate = self.conv(self.norm(gate), frames)
        if self.linear is not None:
            gate = self.linear(gate)
        return self.dropout(gated * self.act(gate))
