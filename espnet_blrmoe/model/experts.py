"""Packed experts: one weight per language, applied to contiguous spans of frames sorted by expert.

All experts of a layer are one parameter of shape (E, ...). Every expert then takes part in every backward
pass, with a zero gradient where it got no frame, so plain DistributedDataParallel works.
"""

import math

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.packing import Spans
from espnet_blrmoe.model.rows import append_rows, keep_rows

# bfloat16 elements in 16 bytes, to a multiple of which grouped_mm wants rows aligned.
ALIGNMENT = 8

# Frames whose hidden units a CPU holds at a time where no gradient is wanted: in blocks of memory so small that the C
# library uses freed ones again, since fresh memory is slow (benchmarks/NOTES.md).
PART = 1024


class SpanProducts(torch.autograd.Function):
    """Every span of frames times its expert's weight, span by span.

    A function of its own, since its backward pass writes each expert's gradient to its place in the packed gradient:
    indexing or unbinding a parameter in a loop makes autograd fill and copy full-size gradients.
    """

    @staticmethod
    def forward(
        ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, counts: tuple[int, ...]
    ) -> torch.Tensor:
        """(N, D_in), (E, D_out, D_in), (E, D_out) -> (N, D_out), in the dtype of x."""
        ctx.save_for_backward(x, weight)
        ctx.counts = counts
        y = x.new_empty(len(x), weight.size(1))
        own = zip(x.split(counts), y.split(counts), weight.to(x.dtype), bias.to(x.dtype), strict=True)
        for frames, out, own_weight, own_bias in own:
            if len(frames):
                torch.addmm(own_bias, frames, own_weight.t(), out=out)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, None]:
        x, weight = ctx.saved_tensors
        x_grad = torch.empty_like(x)
        frames_grads, out_grads = x_grad.split(ctx.counts), grad.split(ctx.counts)
        for frames_grad, out_grad, own_weight in zip(frames_grads, out_grads, weight.to(x.dtype)):
            if len(out_grad):
                torch.mm(out_grad, own_weight, out=frames_grad)
        if not any(ctx.needs_input_grad[1:3]):  # frozen experts
            return x_grad, None, None, None
        weight_grad, bias_grad = x.new_empty(weight.shape), x.new_zeros(weight.shape[:2])
        spans = zip(x.split(ctx.counts), out_grads, weight_grad, bias_grad)
        for frames, out_grad, own_weight_grad, own_bias_grad in spans:
            if len(frames):
                torch.mm(out_grad.t(), frames, out=own_weight_grad)
                torch.sum(out_grad, 0, out=own_bias_grad)
            else:
                own_weight_grad.zero_()
        return x_grad, weight_grad.to(weight.dtype), bias_grad.to(weight.dtype), None


class GroupedProducts(torch.autograd.Function):
    """What SpanProducts computes, in one kernel for all experts: torch's grouped_mm, which takes no bias.

    The bias is one more column of the weight, and every frame has a 1 for it; so its gradient comes out of the same
    product.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """(N, D_in), (E, D_out, D_in), (E, D_out) -> (N, D_out), in the dtype of x."""
        width = x.size(1)
        x = F.pad(x, (0, ALIGNMENT), value=1.0)
        with_bias = x.new_zeros(*weight.shape[:2], x.size(1))
        with_bias[..., :width] = weight
        with_bias[..., width] = bias
        ctx.save_for_backward(x, weight, ends)
        return F.grouped_mm(x, with_bias.transpose(1, 2), offs=ends)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, None]:
        x, weight, ends = ctx.saved_tensors
        grad = grad.contiguous()
        x_grad = F.grouped_mm(grad, weight.to(x.dtype), offs=ends)
        if not any(ctx.needs_input_grad[1:3]):  # frozen experts
            return x_grad, None, None, None
        both_grads, width = F.grouped_mm(grad.t(), x, offs=ends), weight.size(2)
        return x_grad, both_grads[..., :width].to(weight.dtype), both_grads[..., width].to(weight.dtype), None


def products_span_by_span(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, spans: Spans) -> torch.Tensor:
    """(N, D_in) frames sorted by expert, (E, D_out, D_in), (E, D_out) -> (N, D_out), in the dtype of x."""
    return SpanProducts.apply(x, weight, bias, spans.counts)


def grouped_products(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, spans: Spans) -> torch.Tensor:
    """The same by grouped_mm: for float32, float16 and bfloat16; D_in and D_out are multiples of ALIGNMENT."""
    return GroupedProducts.apply(x, weight, bias, spans.ends)


def fastest_products(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, spans: Spans) -> torch.Tensor:
    """The same by the quicker of the two ways (benchmarks/NOTES.md).

    grouped_mm is one kernel where rows are aligned and bfloat16, on GPUs of compute capability 9 (measured: H100) or
    10; elsewhere it is a loop itself.
    """
    is_one_kernel = (
        x.is_cuda
        and x.dtype == torch.bfloat16
        and torch.cuda.get_device_capability(x.device)[0] in (9, 10)
        and weight.size(1) % ALIGNMENT == weight.size(2) % ALIGNMENT == 0
    )
    products = grouped_products if is_one_kernel and not spans.have_one_expert else products_span_by_span
    return products(x, weight, bias, spans)


class DenseLinear(nn.Linear):
    """torch.nn.Linear with an ExpertLinear's signature: the same weights for every frame."""

    def forward(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in) -> (N, D_out); spans do not matter."""
        return super().forward(x)


class ExpertLinear(nn.Module):
    """A linear layer with one weight and bias per expert: weight (E, D_out, D_in), bias (E, D_out)."""

    products = staticmethod(fastest_products)  # benchmarks/speed.py puts another back end here

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

    def extra_repr(self) -> str:
        """What print(model) says of the layer."""
        num_experts, out_features, in_features = self.weight.shape
        return f"num_experts={num_experts}, in_features={in_features}, out_features={out_features}"

    # ESPnet's `init: xavier_uniform` reads a 3-dimensional weight as a convolution's and gets its fan wrong.
    espnet_initialization_fn = reset_parameters

    def keep_experts(self, kept: list[int]) -> None:
        """Forget all experts but these, which get this order."""
        keep_rows(self, kept)

    def add_expert(self, like: int | None) -> None:
        """One more expert after the others: a copy of expert `like`, or, where that is None, a fresh one."""
        if like is None:
            _, out_features, in_features = self.weight.shape
            append_rows(self, ExpertLinear(in_features, out_features, 1))
        else:
            append_rows(self, self, [like])

    def forward(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in), frames sorted by expert -> (N, D_out)."""
        if torch.onnx.is_in_onnx_export():  # a custom function cannot be traced
            return torch.cat([F.linear(y, self.weight[e], self.bias[e]) for e, y in enumerate(x.split(spans.counts))])
        # A custom function is not cast by itself; autocast leaves double precision as it is.
        if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return self.products(x, self.weight, self.bias, spans)


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
        self.dropout = Dropout(dropout_rate)
        self.activation = activation

    def forward(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        is_traced = torch.onnx.is_in_onnx_export() or torch.compiler.is_compiling()
        if torch.is_grad_enabled() or x.device.type != "cpu" or is_traced or len(x) <= PART:
            return self._apply_to(x, spans)
        return torch.cat([self._apply_to(*part) for part in zip(x.split(PART), spans.split(PART))])

    def _apply_to(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        hidden = self.w_1(x, spans)
        if isinstance(self.activation, nn.ReLU):
            return self.w_2(self.dropout.of_relu(hidden), spans)
        return self.w_2(self.dropout(self.activation(hidden)), spans)
