"""Self-attention over packed frames, with experts on any of its projections (paper section "Attention-MoE").

The projections see packed frames (N, D), without padding; only the scores need time order and a padded
batch. Parameter names are those of ESPnet's MultiHeadedAttention and RelPositionMultiHeadedAttention.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.experts import linear
from espnet_blrmoe.routing import PackedFrames


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

    def forward(self, x: torch.Tensor, frames: PackedFrames, mask: torch.Tensor, pos_emb: None) -> torch.Tensor:
        """Attend within every utterance.

        Args:
            x: (N, D) packed frames.
            frames: their places in the batch.
            mask: (B, 1, 1, T) bool, True for frames that may be attended to.
            pos_emb: unused; relative attention needs it.

        Returns:
            (N, D)
        """
        q, k, v = self._project(x, frames)
        context = F.scaled_dot_product_attention(q, k, v, mask, self._dropout())
        return self._output(context, frames)

    def _project(self, x: torch.Tensor, frames: PackedFrames) -> tuple[torch.Tensor, ...]:
        """(N, D) -> q, k, v, each (B, heads, T, D / heads)."""
        projections = (layer(x, frames.spans) for layer in (self.linear_q, self.linear_k, self.linear_v))
        padded = frames.pad(torch.cat(tuple(projections), dim=1))
        return padded.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _output(self, context: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(B, heads, T, D / heads) -> (N, D)."""
        return self.linear_out(frames.pack(context.transpose(1, 2).flatten(2)), frames.spans)

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

    def forward(self, x: torch.Tensor, frames: PackedFrames, mask: torch.Tensor, pos_emb: torch.Tensor) -> torch.Tensor:
        """Attend within every utterance; pos_emb is (1, 2T - 1, D), from position T - 1 down to 1 - T."""
        q, k, v = self._project(x, frames)
        p = self.linear_pos(pos_emb).unflatten(2, (self.heads, -1)).transpose(1, 2)
        # The content-independent part of the score is an additive bias of the attention kernel.
        position_scores = (q + self.pos_bias_v.unsqueeze(1)) @ p.transpose(-2, -1)
        bias = rel_shift(position_scores) / math.sqrt(q.size(-1))
        bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        context = F.scaled_dot_product_attention(q + self.pos_bias_u.unsqueeze(1), k, v, bias, self._dropout())
        return self._output(context, frames)


def rel_shift(scores: torch.Tensor) -> torch.Tensor:
    """Align scores of relative positions with pairs of frames (Transformer-XL, appendix B).

    Args:
        scores: (B, heads, T, 2T - 1); column c is relative position T - 1 - c.

    Returns:
        (B, heads, T, T): entry (i, j) is the score of relative position i - j.
    """
    batch, heads, time, positions = scores.shape
    shifted = F.pad(scores, (1, 0)).view(batch, heads, positions + 1, time)[:, :, 1:]
    return shifted.reshape(batch, heads, time, positions)[..., :time]
