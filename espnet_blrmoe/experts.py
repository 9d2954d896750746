"""Packed experts: one weight per language, applied to contiguous spans of frames sorted by expert.

All experts of a layer are one parameter of shape (E, ...). Every expert then takes part in every backward
pass, with a zero gradient where it got no frame, so plain DistributedDataParallel works.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


def by_expert(
    function: Callable[..., torch.Tensor], x: torch.Tensor, spans: tuple[int, ...], *weights: torch.Tensor
) -> torch.Tensor:
    """Apply `function(frames, *its weights)` to every expert's span of frames.

    Args:
        x: (N, D_in), frames sorted by expert.
        spans: E numbers of frames, which sum to N.
        weights: packed parameters (E, ...). They are unbound once: indexing one by one would allocate a
            full-size gradient per expert in the backward pass.

    Returns:
        (N, D_out)
    """
    experts = zip(x.split(spans), *(weight.unbind(0) for weight in weights))
    outputs = [function(frames, *own) for frames, *own in experts if len(frames)]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


class DenseLinear(nn.Linear):
    """torch.nn.Linear with an ExpertLinear's signature: the same weights for every frame."""

    def forward(self, x: torch.Tensor, spans: tuple[int, ...]) -> torch.Tensor:
        """(N, D_in) -> (N, D_out); spans do not matter."""
        return super().forward(x)


class ExpertLinear(nn.Module):
    """A linear layer with one weight and bias per expert: weight (E, D_out, D_in), bias (E, D_out)."""

    def __init__(self, in_features: int, out_features: int, num_experts: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(num_experts, out_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As torch.nn.Linear does, every expert with its own draw."""
        bound = 1 / math.sqrt(self.weight.size(2))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    # ESPnet's `init: xavier_uniform` reads a 3-dimensional weight as a convolution's and gets its fan wrong.
    espnet_initialization_fn = reset_parameters

    def forward(self, x: torch.Tensor, spans: tuple[int, ...]) -> torch.Tensor:
        """(N, D_in), frames sorted by expert -> (N, D_out)."""
        return by_expert(F.linear, x, spans, self.weight, self.bias)


def linear(in_features: int, out_features: int, num_experts: int | None) -> DenseLinear | ExpertLinear:
    """A linear layer with experts, or a dense one where `num_experts` is None."""
    if num_experts is None:
        return DenseLinear(in_features, out_features)
    return ExpertLinear(in_features, out_features, num_experts)


class FeedForward(nn.Module):
    """Position-wise feed-forward module, dense or with experts (ESPnet: PositionwiseFeedForward).

    Args:
        size: D.
        linear_units: hidden units.
        dropout_rate: after the activation.
        activation: module.
        num_experts: E, or None for a dense module.
    """

    def __init__(
        self, size: int, linear_units: int, dropout_rate: float, activation: nn.Module, num_experts: int | None
    ):
        super().__init__()
        self.w_1 = linear(size, linear_units, num_experts)
        self.w_2 = linear(linear_units, size, num_experts)
        self.dropout = nn.Dropout(dropout_rate)
        self.activation = activation
        self.has_experts = num_experts is not None

    def forward(self, x: torch.Tensor, spans: tuple[int, ...]) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        weights = self.w_1.weight, self.w_1.bias, self.w_2.weight, self.w_2.bias
        if not self.has_experts:
            return self._feed_forward(x, *weights)
        # Both matrices per span: the wide hidden activations are never concatenated.
        return by_expert(self._feed_forward, x, spans, *weights)

    def _feed_forward(self, x, weight_1, bias_1, weight_2, bias_2):
        hidden = self.dropout(self.activation(F.linear(x, weight_1, bias_1)))
        return F.linear(hidden, weight_2, bias_2)
