"""Packed experts: one weight per expert, applied to contiguous spans of frames sorted by expert.

All experts of a layer are one parameter of shape (E, ...). Every expert then takes part in every backward
pass, with a zero gradient where it got no frame, so plain DistributedDataParallel works. Experts of low rank share a
dense weight, and only their differences from it are packed.
"""

import math
from abc import ABC, abstractmethod

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
    if not torch.is_grad_enabled() and spans.have_one_expert:  # in a stream, of which a chunk is a few frames
        expert = spans.counts.index(len(x))
        return F.linear(x, weight[expert].to(x.dtype), bias[expert].to(x.dtype))
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


class PackedExperts(nn.Module, ABC):
    """What all experts of a layer have: parameters (E, ...), a row for each expert."""

    products = staticmethod(fastest_products)  # benchmarks/speed.py puts another back end here

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw fresh ones."""

    @abstractmethod
    def one_more(self) -> "PackedExperts":
        """A single fresh expert of the same shape."""

    def espnet_initialization_fn(self) -> None:
        """What ESPnet's `init` leaves: it reads a 3-dimensional weight as a convolution's and gets its fan wrong."""
        self.reset_parameters()

    def keep_experts(self, kept: list[int]) -> None:
        """Forget all experts but these, which get this order."""
        keep_rows(self, kept)

    def add_expert(self, like: int | None) -> None:
        """One more expert after the others: a copy of expert `like`, or, where that is None, a fresh one."""
        if like is None:
            append_rows(self, self.one_more())
        else:
            append_rows(self, self, [like])

    def multiply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in) frames sorted by expert, (E, D_out, D_in), (E, D_out) -> (N, D_out)."""
        if torch.onnx.is_in_onnx_export():  # a custom function cannot be traced
            return torch.cat([F.linear(own, weight[e], bias[e]) for e, own in enumerate(x.split(spans.counts))])
        # A custom function is not cast by itself; autocast leaves double precision as it is.
        if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return self.products(x, weight, bias, spans)


class ExpertLinear(PackedExperts):
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

    def one_more(self) -> "ExpertLinear":
        """See PackedExperts."""
        _, out_features, in_features = self.weight.shape
        return ExpertLinear(in_features, out_features, 1)

    def extra_repr(self) -> str:
        """What print(model) says of the layer."""
        num_experts, out_features, in_features = self.weight.shape
        return f"num_experts={num_experts}, in_features={in_features}, out_features={out_features}"

    def forward(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in), frames sorted by expert -> (N, D_out)."""
        return self.multiply(x, self.weight, self.bias, spans)


class LowRankDifference(PackedExperts):
    """How the weight of each expert differs from that of all: up @ down; down (E, rank, D_in), up (E, D_out, rank).

    `up` begins as zero, so that all experts begin as the same.
    """

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.empty(num_experts, rank, in_features))
        self.up = nn.Parameter(torch.empty(num_experts, out_features, rank))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Differences of zero."""
        bound = 1 / math.sqrt(self.down.size(2))
        nn.init.uniform_(self.down, -bound, bound)
        nn.init.zeros_(self.up)

    def one_more(self) -> "LowRankDifference":
        """See PackedExperts."""
        _, rank, in_features = self.down.shape
        return LowRankDifference(in_features, self.up.size(1), 1, rank)

    def extra_repr(self) -> str:
        """What print(model) says of the layer."""
        num_experts, rank, _ = self.down.shape
        return f"num_experts={num_experts}, rank={rank}"

    def forward(self, x: torch.Tensor, bias: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in), frames sorted by expert, and (D_out,), which is added for all -> (N, D_out)."""
        low = self.multiply(x, self.down, self.down.new_zeros(self.down.shape[:2]), spans)
        return self.multiply(low, self.up, bias.expand(len(self.up), -1), spans)


class LowRankExpertLinear(DenseLinear):
    """A linear layer whose experts share weight (D_out, D_in) and bias (D_out,), and differ from them by a low rank.

    Expert e computes W x + b + U_e (V_e x), with `difference` holding all V (down) and U (up); none has a bias of its
    own.

    Args:
        in_features: D_in.
        out_features: D_out.
        num_experts: E.
        rank: of the differences, at most the smaller of D_in and D_out.

    Raises:
        ValueError: the rank is larger.
    """

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int):
        if rank > min(in_features, out_features):
            raise ValueError(
                f"encoder_conf: expert_rank is {rank}, but a matrix of {out_features} x {in_features} has a rank of "
                f"{min(in_features, out_features)} at most; make it smaller, or leave it out for full experts"
            )
        super().__init__(in_features, out_features)
        self.difference = LowRankDifference(in_features, out_features, num_experts, rank)

    def forward(self, x: torch.Tensor, spans: Spans) -> torch.Tensor:
        """(N, D_in), frames sorted by expert -> (N, D_out)."""
        return torch.addmm(self.difference(x, self.bias, spans), x, self.weight.t())


def linear(
    in_features: int, out_features: int, num_experts: int | None, rank: int | None = None
) -> DenseLinear | ExpertLinear:
    """A linear layer with experts, of that rank or full ones; a dense one where `num_experts` is None.

    Raises:
        ValueError: the rank is larger than the smaller of the numbers of features.
    """
    if num_experts is None:
        return DenseLinear(in_features, out_features)
    if rank is None:
        return ExpertLinear(in_features, out_features, num_experts)
    return LowRankExpertLinear(in_features, out_features, num_experts, rank)


class FeedForward(nn.Module):
    """Position-wise feed-forward module, dense or with experts (ESPnet: PositionwiseFeedForward).

    Args:
        size: D.
        linear_units: hidden units.
        dropout_rate: after the activation.
        activation: module.
        num_experts: E, or None for a dense module.
        rank: of the experts' differences; None: full experts.
    """

    def __init__(
        self,
        size: int,
        linear_units: int,
        dropout_rate: float,
        activation: nn.Module,
        num_experts: int | None,
        rank: int | None = None,
    ):
        super().__init__()
        self.w_1 = linear(size, linear_units, num_experts, rank)
        self.w_2 = linear(linear_units, size, num_experts, rank)
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
