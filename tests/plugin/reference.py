"""The encoder's mathematics, written plainly: one utterance, no padding, every frame with its own expert's weights."""

import math

import torch
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]
Chunk = tuple[int, int] | None  # frames of a chunk, and frames before it that its frames attend to; None: no chunks


def linear(weights: Weights, name: str, x: torch.Tensor, expert: torch.Tensor) -> torch.Tensor:
    """(T, D_in) -> (T, D_out); weights with experts are (E, D_out, D_in), one of which is each frame's own."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if weight.dim() == 2:
        return torch.einsum("oi,ti->to", weight, x) + bias
    return torch.einsum("toi,ti->to", weight[expert], x) + bias[expert]


def layer_norm(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-12).sqrt()
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def feed_forward(weights: Weights, name: str, x: torch.Tensor, expert: torch.Tensor, activation) -> torch.Tensor:
    return linear(weights, f"{name}.w_2", activation(linear(weights, f"{name}.w_1", x, expert)), expert)


def seen(time: int, chunk: Chunk) -> torch.Tensor:
    """(T, T) bool: whether frame i attends to frame j."""
    if chunk is None:
        return torch.ones(time, time, dtype=torch.bool)
    start = torch.arange(time).unsqueeze(1) // chunk[0] * chunk[0]
    return (torch.arange(time) >= start - chunk[1]) & (torch.arange(time) < start + chunk[0])


def attention(
    weights: Weights, name: str, x: torch.Tensor, expert: torch.Tensor, heads: int, pos_emb, chunk: Chunk
) -> torch.Tensor:
    """Self-attention; with pos_emb (1, 2T - 1, D), position T - 1 first, the relative one of Transformer-XL."""
    time, size = x.shape
    q, k, v = (linear(weights, f"{name}.linear_{part}", x, expert).view(time, heads, -1) for part in "qkv")
    if pos_emb is None:
        scores = torch.einsum("ihd,jhd->hij", q, k)
    else:
        p = (pos_emb[0] @ weights[f"{name}.linear_pos.weight"].T).view(2 * time - 1, heads, -1)
        distance = torch.arange(time).unsqueeze(1) - torch.arange(time)  # (i, j): i - j
        p = p[time - 1 - distance]  # (T, T, heads, D / heads)
        scores = torch.einsum("ihd,jhd->hij", q + weights[f"{name}.pos_bias_u"], k)
        scores = scores + torch.einsum("ihd,ijhd->hij", q + weights[f"{name}.pos_bias_v"], p)
    scores = (scores / math.sqrt(size // heads)).masked_fill(~seen(time, chunk), -math.inf)
    probs = scores.softmax(dim=-1)
    context = torch.einsum("hij,jhd->ihd", probs, v).reshape(time, size)
    return linear(weights, f"{name}.linear_out", context, expert)


def convolution(weights: Weights, name: str, x: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    kernel = weights[f"{name}.depthwise_conv.weight"]
    x = F.conv1d(x.T, weights[f"{name}.pointwise_conv1.weight"], weights[f"{name}.pointwise_conv1.bias"])
    x = x[: len(kernel)] * x[len(kernel) :].sigmoid()
    x = depthwise_convolution(weights, f"{name}.depthwise_conv", x.T, chunk)
    mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
    x = (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.norm.weight"] + weights[f"{name}.norm.bias"]
    x = F.silu(x)
    return F.conv1d(x.T, weights[f"{name}.pointwise_conv2.weight"], weights[f"{name}.pointwise_conv2.bias"]).T


def depthwise_convolution(weights: Weights, name: str, x: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """(T, C) -> (T, C); what lies beyond the end of a frame's chunk is zero to it."""
    kernel = weights[f"{name}.weight"]
    padding, groups = kernel.size(2) // 2, len(kernel)
    size = len(x) if chunk is None else chunk[0]
    known = [x[: start + size] for start in range(0, len(x), size)]
    convolved = [
        F.conv1d(part.T, kernel, weights[f"{name}.bias"], padding=padding, groups=groups).T for part in known
    ]
    return torch.cat([part[start:] for start, part in zip(range(0, len(x), size), convolved)])


def gated_mlp(weights: Weights, name: str, x: torch.Tensor, expert: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    x = F.gelu(linear(weights, f"{name}.channel_proj1.0", x, expert))
    x, gate = x.chunk(2, dim=1)
    gate = depthwise_convolution(weights, f"{name}.csgu.conv", layer_norm(weights, f"{name}.csgu.norm", gate), chunk)
    return linear(weights, f"{name}.channel_proj2", x * gate, expert)


def transformer_layer(weights, name, x, expert, heads, pos_emb, chunk) -> torch.Tensor:
    normed = layer_norm(weights, f"{name}.norm1", x)
    x = x + attention(weights, f"{name}.self_attn", normed, expert, heads, None, chunk)
    normed = layer_norm(weights, f"{name}.norm2", x)
    return x + feed_forward(weights, f"{name}.feed_forward", normed, expert, F.relu)


def conformer_layer(weights, name, x, expert, heads, pos_emb, chunk) -> torch.Tensor:
    normed = layer_norm(weights, f"{name}.norm_ff_macaron", x)
    x = x + 0.5 * feed_forward(weights, f"{name}.feed_forward_macaron", normed, expert, F.silu)
    normed = layer_norm(weights, f"{name}.norm_mha", x)
    x = x + attention(weights, f"{name}.self_attn", normed, expert, heads, pos_emb, chunk)
    x = x + convolution(weights, f"{name}.conv_module", layer_norm(weights, f"{name}.norm_conv", x), chunk)
    normed = layer_norm(weights, f"{name}.norm_ff", x)
    x = x + 0.5 * feed_forward(weights, f"{name}.feed_forward", normed, expert, F.silu)
    return layer_norm(weights, f"{name}.norm_final", x)


def e_branchformer_layer(weights, name, x, expert, heads, pos_emb, chunk) -> torch.Tensor:
    normed = layer_norm(weights, f"{name}.norm_ff_macaron", x)
    x = x + 0.5 * feed_forward(weights, f"{name}.feed_forward_macaron", normed, expert, F.silu)
    normed = layer_norm(weights, f"{name}.norm_mha", x)
    attended = attention(weights, f"{name}.attn", normed, expert, heads, pos_emb, chunk)
    gated = gated_mlp(weights, f"{name}.cgmlp", layer_norm(weights, f"{name}.norm_mlp", x), expert, chunk)
    both = torch.cat([attended, gated], dim=1)
    both = both + depthwise_convolution(weights, f"{name}.depthwise_conv_fusion", both, chunk)
    x = x + linear(weights, f"{name}.merge_proj", both, expert)
    normed = layer_norm(weights, f"{name}.norm_ff", x)
    x = x + 0.5 * feed_forward(weights, f"{name}.feed_forward", normed, expert, F.silu)
    return layer_norm(weights, f"{name}.norm_final", x)


LAYERS = {"transformer": transformer_layer, "conformer": conformer_layer, "e_branchformer": e_branchformer_layer}


def encode(
    weights: Weights, block_type: str, heads: int, x: torch.Tensor, pos_emb, expert: torch.Tensor, chunk: Chunk = None
):
    """Blocks and final norm: (T, D) frames with positions, (T,) the expert of each -> (T, D)."""
    layer = LAYERS[block_type]
    for block in range(1 + max(int(name.split(".")[1]) for name in weights if name.startswith("encoders."))):
        x = layer(weights, f"encoders.{block}", x, expert, heads, pos_emb, chunk)
    return layer_norm(weights, "after_norm", x)
