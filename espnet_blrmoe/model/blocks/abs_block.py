"""The interface of an encoder block, and what all blocks of an encoder have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from espnet_blrmoe.espnet_internals import get_activation
from espnet_blrmoe.model.attention import LegacyRelPositionSelfAttention, RelPositionSelfAttention, SelfAttention
from espnet_blrmoe.model.experts import DenseLinear, ExpertLinear, FeedForward, linear
from espnet_blrmoe.model.packing import PackedFrames
from espnet_blrmoe.model.positions import AbsolutePositions, LegacyRelativePositions, RelativePositions

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    # In place, since nobody else reads its input: hidden units are the largest activations, and fresh memory is slow.
    "relu": partial(nn.ReLU, inplace=True),
    # ESPnet's Swish is the same in two operations, each of which keeps its input for the backward pass.
    "swish": nn.SiLU,
}

Positions = type[AbsolutePositions] | type[RelativePositions]

# By `rel_pos_type`, ESPnet's name where there is one.
POSITIONS: dict[str | None, tuple[Positions, type[SelfAttention]]] = {
    "latest": (RelativePositions, RelPositionSelfAttention),
    "legacy": (LegacyRelativePositions, LegacyRelPositionSelfAttention),
    None: (AbsolutePositions, SelfAttention),
}


@dataclass(frozen=True)
class BlockOptions:
    """What all blocks of an encoder have in common; makes their parts.

    Attributes:
        size: D.
        attention_heads: divides D.
        linear_units: hidden units of the feed-forward modules.
        dropout_rate: of the feed-forward modules' hidden units, and of what a module adds to the residual.
        attention_dropout_rate: of the attention weights.
        num_experts: E; None for shared blocks, in which nothing has experts.
        attention_experts: which of the attention's projections have experts: any of "qkvo", or "" for none.
        ffn_experts: whether the feed-forward modules have experts.
        expert_rank: of the experts' differences from a weight that they share; None: full experts.
    """

    size: int
    attention_heads: int
    linear_units: int
    dropout_rate: float
    attention_dropout_rate: float
    num_experts: int | None
    attention_experts: str
    ffn_experts: bool
    expert_rank: int | None = None

    def __post_init__(self) -> None:
        experts = self.attention_experts
        if not isinstance(experts, str) or not set(experts) <= set("qkvo"):
            raise ValueError(f"encoder_conf: attention_experts must be any of q, k, v and o, as in vo, not {experts!r}")
        if not isinstance(self.ffn_experts, bool):
            raise ValueError(f"encoder_conf: ffn_experts must be true or false, not {self.ffn_experts!r}")
        rank = self.expert_rank
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise ValueError(
                f"encoder_conf: expert_rank must be a whole number, 1 or more, or null for full experts, not {rank!r}"
            )

    def without_experts(self) -> "BlockOptions":
        """The same for shared blocks."""
        return replace(self, num_experts=None)

    def attention(self, attention_class: type[SelfAttention]) -> SelfAttention:
        """A self-attention module."""
        return attention_class(
            self.attention_heads, self.size, self.attention_dropout_rate,
            self.attention_experts, self.num_experts, self.expert_rank,
        )  # fmt: skip

    def linear(self, in_features: int, out_features: int, has_experts: bool) -> DenseLinear | ExpertLinear:
        """A linear layer; in MLE blocks with experts, where it is to have them."""
        return linear(in_features, out_features, self.num_experts if has_experts else None, self.expert_rank)

    def feed_forward(self, activation: nn.Module) -> FeedForward:
        """A feed-forward module."""
        num_experts = self.num_experts if self.ffn_experts else None
        return FeedForward(
            self.size, self.linear_units, self.dropout_rate, activation, num_experts, self.expert_rank
        )


class AbsBlock(nn.Module, ABC):
    """A block of the encoder: a shared block, or with experts an MLE block.

    A subclass takes `options`, then its `block_conf`.

    Attributes:
        positions: how its attention learns where frames are; the encoder makes one such module for all blocks. Of the
            class, or of each block where its options decide.
        reach: frames on each side that a convolution over time reads; 0 without one.
    """

    positions: Positions = AbsolutePositions
    reach: int = 0

    @abstractmethod
    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) packed frames -> (N, D).

        Args:
            x: (N, D), in the order of `frames`: in time order for shared blocks, sorted by expert for MLE blocks.
            frames: their places in the batch, and the span of each expert.
            pos_emb: what `positions` gives beside the frames, e.g. RelativePositions (1, 2T - 1, D), from T - 1 down to
                1 - T; None with AbsolutePositions.
        """


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with ESPnet's epsilon."""

    def __init__(self, size: int):
        super().__init__(size, eps=1e-12)


def activation_of(name: str, option: str = "activation_type") -> nn.Module:
    """The activation that ESPnet calls by this name: relu, swish, selu, tanh, hardtanh.

    Args:
        name: its name.
        option: of the block, which has the name as its value.

    Raises:
        ValueError: there is none.
    """
    try:
        return ACTIVATIONS.get(name, partial(get_activation, name))()
    except KeyError as error:
        known = "relu, swish, selu, tanh or hardtanh"
        raise ValueError(f"block_conf: {option} must be {known}, not {name!r}") from error


def positions_of(rel_pos_type: str | None) -> tuple[Positions, type[SelfAttention]]:
    """How attention learns where frames are, and the attention that goes with it.

    Args:
        rel_pos_type: "latest" or "legacy" relative positions, as in ESPnet, or None for absolute ones, which are added
            to the frames (ESPnet: `pos_enc_layer_type: abs_pos` and `selfattn`).

    Raises:
        ValueError: it is something else.
    """
    if rel_pos_type not in POSITIONS:
        raise ValueError(f"block_conf: rel_pos_type must be latest, legacy or null, not {rel_pos_type!r}")
    return POSITIONS[rel_pos_type]
