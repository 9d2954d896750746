"""Self-attention over packed frames, with experts on any of its projections (paper section "Attention-MoE").

The projections see packed frames (N, D), without padding; only the scores need time order and padded utterances, in
groups of similar length. Parameters are named as in MultiHeadedAttention and RelPositionMultiHeadedAttention of ESPnet.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.model.experts import linear
from espnet_blrmoe.model.packing import PackedFrames


class SelfAttention(nn.Module):
    """Multi-head self-attention.

    Args:
        heads: number of heads; divides `size`.
        size: D.
        dropout_rate: on the attention weights.
        experts: which of the projections "q", "k", "v", "o" have experts, e.g. "vo".
        num_experts: E.
    """

    def __init__(self, heads: int, size: int, dropout_rate: float, experts: str, num_experts: int):
        super().__init__()
        if size % heads:
            raise ValueError(f"output_size ({size}) must be a multiple of attention_heads ({heads})")

        def projection(name: str) -> nn.Module:
            return linear(size, size, num_experts if name in experts else None)

        self.linear_q = projection("q")
        self.linear_k = projection("k")
        self.linear_v = projection("v")
        self.linear_out = projection("o")
        self.heads = heads
        self.dropout_rate = dropout_rate

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """Attend within every utterance.

        Args:
            x: (N, D) packed frames.
            frames: their places in the batch.
            pos_emb: for relative attention: (1, 2T - 1, D), from position T - 1 down to 1 - T.

        Returns:
            (N, D)
        """
        projections = self.linear_q, self.linear_k, self.linear_v
        q, k, v = (frames.to_groups(projection(x, frames.spans)) for projection in projections)
        positions = self._positions(pos_emb)
        contexts = []
        for group, *qkv in zip(frames.groups, q, k, v):
            context = self._attend(*map(self._split_heads, qkv), group.mask, positions)
            contexts.append(context.transpose(1, 2).flatten(2))
        return self.linear_out(frames.from_groups(contexts), frames.spans)

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _positions(self, pos_emb: torch.Tensor | None) -> torch.Tensor | None:
        return None

    def _attend(self, q, k, v, mask: torch.Tensor | None, positions: torch.Tensor | None) -> torch.Tensor:
        """q, k, v and what comes back: (B, heads, T, D / heads)."""
        return F.scaled_dot_product_attention(q, k, v, mask, self._dropout())

    def _dropout(self) -> float:
        return self.dropout_rate if self.training else 0.0


class RelPositionSelfAttention(SelfAttention):
    """Self-attention with relative positions, for Conformer (ESPnet: RelPositionMultiHeadedAttention, "latest")."""

    def __init__(self, heads: int, size: int, dropout_rate: float, experts: str, num_experts: int):
        super().__init__(heads, size, dropout_rate, experts, num_experts)
        self.linear_pos = nn.Linear(size, size, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, size // heads))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, size // heads))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def _positions(self, pos_emb: torch.Tensor) -> torch.Tensor:
        """(1, 2T - 1, D) -> (1, heads, 2T - 1, D / heads)."""
        return self._split_heads(self.linear_pos(pos_emb))

    def _attend(self, q, k, v, mask: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        time, longest = q.size(2), (positions.size(2) + 1) // 2
        positions = positions[:, :, longest - time : longest + time - 1]
        # The content-independent part of the score is an additive bias of the attention kernel.
        scaled = (q + self.pos_bias_v.unsqueeze(1)) / math.sqrt(q.size(-1))
        bias = rel_shift(scaled @ positions.transpose(-2, -1))
        if mask is not None:
            bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        return F.scaled_dot_product_attention(q + self.pos_bias_u.unsqueeze(1), k, v, bias, self._dropout())


def rel_shift(scores: torch.Tensor) -> torch.Tensor:
    """Align scores of relative positions with pairs of frames (Transformer-XL, appendix B).

    Args:
        scores: (B, heads, T, 2T - 1), contiguous; column c is relative position T - 1 - c.

    Returns:
        (B, heads, T, T), a view: entry (i, j) is the score of relative position i - j.
    """
    batch, heads, time, positions = scores.shape
    if torch.onnx.is_in_onnx_export():  # which has no strides; a further column makes rows 2T - 1 apart
        shifted = F.pad(scores, (0, 1)).flatten(2)[..., time - 1 : time - 1 + time * positions]
        return shifted.view(scores.shape)[..., :time]
    # One row down is one position back, so rows are 2T - 2 apart instead of 2T - 1: no copy is needed.
    strides = heads * time * positions, time * positions, positions - 1, 1
    return scores.as_strided((batch, heads, time, time), strides, time - 1)
