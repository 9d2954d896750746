"""The interface of an encoder block, and what all blocks of an encoder have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from espnet_blrmoe.espnet_internals import get_activation
from espnet_blrmoe.model.attention import SelfAttention
from espnet_blrmoe.model.experts import FeedForward
from espnet_blrmoe.model.packing import PackedFrames
from espnet_blrmoe.model.positions import AbsolutePositions, RelativePositions

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    # In place, since nobody else reads its input: hidden units are the largest activations, and fresh memory is slow.
    "relu": partial(nn.ReLU, inplace=True),
    # ESPnet's Swish is the same in two operations, each of which keeps its input for the backward pass.
    "swish": nn.SiLU,
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
        num_experts: E.
        attention_experts: which of the attention's projections have experts: any of "qkvo", or "" for none.
        ffn_experts: whether the feed-forward modules have experts.
    """

    size: int
    attention_heads: int
    linear_units: int
    dropout_rate: float
    attention_dropout_rate: float
    num_experts: int
    attention_experts: str
    ffn_experts: bool

    def __post_init__(self) -> None:
        if unknown := ", ".join(sorted(set(self.attention_experts) - set("qkvo"))):
            raise ValueError(f"encoder_conf: attention_experts must be any of q, k, v and o, not {unknown!r}")

    def without_experts(self) -> "BlockOptions":
        """The same for shared blocks."""
        return replace(self, attention_experts="", ffn_experts=False)

    def attention(self, attention_class: type[SelfAttention]) -> SelfAttention:
        """A self-attention module."""
        return attention_class(
            self.attention_heads, self.size, self.attention_dropout_rate, self.attention_experts, self.num_experts
        )

    def feed_forward(self, activation: nn.Module) -> FeedForward:
        """A feed-forward module."""
        num_experts = self.num_experts if self.ffn_experts else None
        return FeedForward(self.size, self.linear_units, self.dropout_rate, activation, num_experts)


class AbsBlock(nn.Module, ABC):
    """A block of the encoder: a shared block, or with experts an MLE block.

    A subclass takes `options`, then its `block_conf`.

    Attributes:
        positions: how its attention learns where frames are; the encoder makes one such module for all blocks.
        reach: frames on each side that a convolution over time reads; 0 without one.
    """

    positions: type[AbsolutePositions] | type[RelativePositions] = AbsolutePositions
    reach: int = 0

    @abstractmethod
    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        """(N, D) packed frames -> (N, D).

        Args:
            x: (N, D), in the order of `frames`: in time order for shared blocks, sorted by expert for MLE blocks.
            frames: their places in the batch, and the span of each expert.
            pos_emb: (1, 2T - 1, D) relative positions, from T - 1 down to 1 - T; None with AbsolutePositions.
        """


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with ESPnet's epsilon."""

    def __init__(self, size: int):
        super().__init__(size, eps=1e-12)


def activation_of(name: str) -> nn.Module:
    """The activation that ESPnet calls by this name: relu, swish, hardtanh, tanh, selu, gelu.

    Raises:
        ValueError: there is none.
    """
    try:
        return ACTIVATIONS.get(name, partial(get_activation, name))()
    except KeyError as error:
        known = "relu, swish, gelu, selu or tanh"
        raise ValueError(f"block_conf: activation_type must be {known}, not {name!r}") from error
