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
        num_experts: E, or None for no experts.
        rank: of the experts' differences; None: full experts.
    """

    def __init__(
        self,
        heads: int,
        size: int,
        dropout_rate: float,
        experts: str,
        num_experts: int | None,
        rank: int | None = None,
    ):
        super().__init__()
        if size % heads:
            raise ValueError(f"output_size ({size}) must be a multiple of attention_heads ({heads})")

        def projection(name: str) -> nn.Module:
            return linear(size, size, num_experts if name in experts else None, rank)

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
            pos_emb: for relative attention: what RelativePositions or LegacyRelativePositions gives.

        Returns:
            (N, D)
        """
        q = frames.to_groups(self.linear_q(x, frames.spans))
        k, v = (frames.to_contexts(projection(x, frames.spans)) for projection in (self.linear_k, self.linear_v))
        positions = self._positions(pos_emb, frames)
        contexts = []
        for group, *qkv in zip(frames.groups, q, k, v):
            context = self._attend(*map(self._split_heads, qkv), group.mask, positions)
            contexts.append(context.transpose(1, 2).flatten(2))
        return self.linear_out(frames.from_groups(contexts), frames.spans)

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _positions(self, pos_emb: torch.Tensor | None, frames: PackedFrames) -> torch.Tensor | None:
        return None

    def _attend(self, q, k, v, mask: torch.Tensor | None, positions: torch.Tensor | None) -> torch.Tensor:
        """q and what comes back: (B, heads, T, D / heads); k, v: (B, heads, K, D / heads), whose last T are q's."""
        return F.scaled_dot_product_attention(q, k, v, mask, self._dropout())

    def _dropout(self) -> float:
        return self.dropout_rate if self.training else 0.0


class RelPositionSelfAttention(SelfAttention):
    """Self-attention with relative positions (ESPnet: RelPositionMultiHeadedAttention, "latest")."""

    def __init__(self, heads: int, size: int, *others: object):
        super().__init__(heads, size, *others)
        self.linear_pos = nn.Linear(size, size, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, size // heads))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, size // heads))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def _positions(self, pos_emb: torch.Tensor, frames: PackedFrames) -> torch.Tensor:
        """(1, P, D) -> (1, heads, P, D / heads)."""
        return self._split_heads(frames.project_positions(self.linear_pos, pos_emb))

    def _attend(self, q, k, v, mask: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        # The content-independent part of the score is an additive bias of the attention kernel.
        scaled = (q + self.pos_bias_v.unsqueeze(1)) / math.sqrt(q.size(-1))
        bias = self._position_scores(scaled, k.size(2), positions, mask)
        if mask is not None:
            bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        return F.scaled_dot_product_attention(q + self.pos_bias_u.unsqueeze(1), k, v, bias, self._dropout())

    def _position_scores(self, q, keys: int, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, heads, T, D / heads), K, (1, heads, P, D / heads) -> (B, heads, T, K)."""
        time, longest = q.size(2), (positions.size(2) + 1) // 2
        return rel_shift(q @ positions[:, :, longest - keys : longest + time - 1].transpose(-2, -1))


class LegacyRelPositionSelfAttention(RelPositionSelfAttention):
    """Self-attention with relative positions as ESPnet first had them (ESPnet: LegacyRelPositionMultiHeadedAttention).

    Their scores depend on the utterance's length, and those of later frames are not what they were meant to be. ESPnet
    takes the length of the whole padded batch; here it is the utterance's own, so that padding changes nothing.
    """

    def _position_scores(self, q, keys: int, positions: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return legacy_rel_shift(q @ positions[:, :, : q.size(2)].transpose(-2, -1), mask)


def rel_shift(scores: torch.Tensor) -> torch.Tensor:
    """Align scores of relative positions with pairs of frames (Transformer-XL, appendix B).

    Args:
        scores: (B, heads, T, K + T - 1), contiguous, of T frames, the last of the K that they attend to; column c is
            relative position K - 1 - c.

    Returns:
        (B, heads, T, K), a view: entry (i, j) is the score of relative position K - T + i - j.
    """
    batch, heads, time, positions = scores.shape
    keys = positions - time + 1
    if torch.onnx.is_in_onnx_export():  # which has no strides; a further column makes rows K + T - 1 apart
        shifted = F.pad(scores, (0, 1)).flatten(2)[..., time - 1 : time - 1 + time * positions]
        return shifted.view(scores.shape)[..., :keys]
    # One row down is one position back, so rows are K + T - 2 apart instead of K + T - 1: no copy is needed.
    strides = heads * time * positions, time * positions, positions - 1, 1
    return scores.as_strided((batch, heads, time, keys), strides, time - 1)


def legacy_rel_shift(scores: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Align scores of positions with pairs of frames as ESPnet's older attention does.

    Args:
        scores: (B, heads, T, T); column c is position 4999 - c.
        mask: (B, 1, 1, T) bool, True for the frames of each utterance; None where all have T.

    Returns:
        (B, heads, T, T): with L frames in the utterance, entry (i, j) is frame i's score of column L - 1 - (i - j)
        where j <= i, zero where j = i + 1, and frame i + 1's score of column j - i - 2 beyond.
    """
    time = scores.size(-1)
    padded = F.pad(scores, (1, 0)).flatten(2)  # rows of T + 1: a zero, then the scores
    if mask is None:
        return padded[..., time:].view(scores.shape)
    query = torch.arange(time, device=scores.device).unsqueeze(1)
    distance = query - torch.arange(time, device=scores.device)
    past = query * (time + 1) + mask.sum(dim=-1, keepdim=True) - distance
    future = (query + 1) * (time + 1) - distance - 1
    places = torch.where(distance >= 0, past, future)
    return padded.gather(2, places.flatten(2).expand(*scores.shape[:2], -1)).view(scores.shape)
