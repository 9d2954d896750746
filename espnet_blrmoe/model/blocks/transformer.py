"""Transformer blocks over packed frames."""

import torch

from espnet_blrmoe.model.attention import SelfAttention
from espnet_blrmoe.model.blocks.abs_block import AbsBlock, BlockOptions, LayerNorm, activation_of
from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.packing import PackedFrames


class TransformerBlock(AbsBlock):
    """Self-attention and feed-forward, each with a residual connection (ESPnet: transformer EncoderLayer).

    Parameter names and mathematics are those of ESPnet's encoder layer with normalize_before=True.

    Args:
        options: of all blocks.
        activation_type: of the feed-forward module, as in ESPnet.
    """

    def __init__(self, options: BlockOptions, activation_type: str = "relu"):
        super().__init__()
        self.self_attn = options.attention(SelfAttention)
        self.feed_forward = options.feed_forward(activation_of(activation_type))
        self.norm1 = LayerNorm(options.size)
        self.norm2 = LayerNorm(options.size)
        self.dropout = Dropout(options.dropout_rate)

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) -> (N, D); see AbsBlock."""
        x = x + self.dropout(self.self_attn(self.norm1(x), frames, pos_emb))
        return x + self.dropout(self.feed_forward(self.norm2(x), frames.spans))
