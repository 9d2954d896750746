"""Layers with experts equal a plain loop over frames, in values and gradients."""

from importlib.metadata import version

import pytest
import torch
from espnet2.torch_utils.initialize import initialize
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from espnet_blrmoe.model import experts
from espnet_blrmoe.model.experts import (
    ExpertLinear,
    FeedForward,
    LowRankExpertLinear,
    PackedExperts,
    grouped_products,
    products_span_by_span,
)
from espnet_blrmoe.model.packing import Spans

SIZE, UNITS, RANK = 4, 6, 2
spans_of_experts = st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any)


def frames_of(spans: list[int]) -> tuple[torch.Tensor, list[int]]:
    """(N, SIZE) random frames sorted by expert, and the expert of each."""
    torch.manual_seed(0)
    x = torch.randn(sum(spans), SIZE, dtype=torch.float64, requires_grad=True)
    return x, [expert for expert, count in enumerate(spans) for _ in range(count)]


def expert_linear(num_experts: int) -> ExpertLinear:
    return ExpertLinear(SIZE, UNITS, num_experts).double()


def feed_forward(num_experts: int) -> FeedForward:
    return FeedForward(SIZE, UNITS, 0.0, torch.nn.SiLU(), num_experts).double()


def low_rank(num_experts: int) -> LowRankExpertLinear:
    return with_differences(LowRankExpertLinear(SIZE, UNITS, num_experts, RANK).double())


def low_rank_feed_forward(num_experts: int) -> FeedForward:
    return with_differences(FeedForward(SIZE, UNITS, 0.0, torch.nn.SiLU(), num_experts, RANK).double())


def with_differences(layer: torch.nn.Module) -> torch.nn.Module:
    """The layer after some training: differences begin as zero."""
    for name, parameter in layer.named_parameters():
        if name.endswith("up"):
            torch.nn.init.normal_(parameter)
    return layer


def loop_of_expert_linear(
    layer: ExpertLinear | LowRankExpertLinear, x: torch.Tensor, experts: list[int]
) -> torch.Tensor:
    weight, bias = layer.weight, layer.bias
    if isinstance(layer, LowRankExpertLinear):
        weight = weight + layer.difference.up @ layer.difference.down
        bias = bias.expand(len(weight), -1)
    return torch.stack([weight[e] @ frame + bias[e] for frame, e in zip(x, experts)])


def loop_of_feed_forward(layer: FeedForward, x: torch.Tensor, experts: list[int]) -> torch.Tensor:
    hidden = F.silu(loop_of_expert_linear(layer.w_1, x, experts))
    return loop_of_expert_linear(layer.w_2, hidden, experts)


LAYERS = [
    (expert_linear, loop_of_expert_linear),
    (feed_forward, loop_of_feed_forward),
    (low_rank, loop_of_expert_linear),
    (low_rank_feed_forward, loop_of_feed_forward),
]


@pytest.mark.parametrize(("layer_of", "loop"), LAYERS)
@given(spans=spans_of_experts)
def test_layer_equals_a_loop_over_frames(layer_of, loop, spans):
    x, expert_of_frame = frames_of(spans)
    layer = layer_of(len(spans))
    variables = [x, *layer.parameters()]
    output, expected = layer(x, Spans.of(spans)), loop(layer, x, expert_of_frame)
    torch.testing.assert_close(output, expected)

    weights = torch.randn_like(output)  # of a loss that tells all outputs apart
    gradients = torch.autograd.grad(output, variables, weights)
    expected_gradients = torch.autograd.grad(expected, variables, weights)
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        torch.testing.assert_close(gradient, expected_gradient)


@given(spans=spans_of_experts)
def test_without_gradients_a_cpu_computes_the_same_in_parts(spans):
    x, _ = frames_of(spans)
    layer = feed_forward(len(spans))
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "PART", 3)
        output = layer(x, Spans.of(spans))
    torch.testing.assert_close(output, layer(x, Spans.of(spans)).detach())


@pytest.mark.parametrize(("layer_of", "_"), LAYERS)
@given(spans=spans_of_experts)
def test_every_parameter_gets_a_gradient_and_experts_without_frames_get_zero(layer_of, _, spans):
    x, _ = frames_of(spans)
    layer = layer_of(len(spans))
    layer(x, Spans.of(spans)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in layer.parameters())
    for module in layer.modules():
        for parameter in module.parameters() if isinstance(module, PackedExperts) else ():
            for expert, count in enumerate(spans):
                assert parameter.grad[expert].any() == (count > 0)


@pytest.mark.parametrize(("layer_of", "_"), LAYERS)
@pytest.mark.parametrize("spans", [(2, 0, 1), (0, 3), (2,)])
def test_gradients_equal_finite_differences(layer_of, _, spans):
    x, _ = frames_of(spans)
    layer = layer_of(len(spans))
    names = [name for name, _ in layer.named_parameters()]

    def function(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x, Spans.of(spans)))

    assert torch.autograd.gradcheck(function, (x, *layer.parameters()))


@pytest.mark.parametrize("frozen", [("weight", "bias"), ("weight",), ("bias",)], ids=str)
@pytest.mark.parametrize("products", [products_span_by_span, grouped_products])
def test_what_is_frozen_changes_no_other_gradient(products, frozen):
    torch.manual_seed(0)
    layer, spans = ExpertLinear(16, 24, 3), Spans.of((2, 0, 3))
    variables = {"x": torch.randn(5, 16, requires_grad=True), **dict(layer.named_parameters())}

    def gradients() -> dict[str, torch.Tensor]:
        trainable = {name: variable for name, variable in variables.items() if variable.requires_grad}
        loss = products(variables["x"], layer.weight, layer.bias, spans).square().sum()
        return dict(zip(trainable, torch.autograd.grad(loss, list(trainable.values()))))

    expected = gradients()
    for name in frozen:
        variables[name].requires_grad_(False)
    torch.testing.assert_close(gradients(), {name: expected[name] for name in expected if name not in frozen})


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)], ids=str)
@given(spans=spans_of_experts)
def test_one_grouped_product_equals_products_span_by_span(dtype, tolerance, spans):
    torch.manual_seed(0)
    x = torch.randn(sum(spans), 16, dtype=dtype, requires_grad=True)
    layer = ExpertLinear(16, 24, len(spans))
    results = []
    for products in (grouped_products, products_span_by_span):
        output = products(x, layer.weight, layer.bias, Spans.of(spans))
        gradients = torch.autograd.grad(output, [x, *layer.parameters()], torch.ones_like(output).cumsum(1))
        assert [g.dtype for g in gradients] == [dtype, torch.float32, torch.float32]
        results.append([output, *gradients])
    for result, expected in zip(*results):
        assert (result - expected).norm() <= tolerance * expected.norm()


def test_dense_layers_ignore_spans():
    layer = FeedForward(SIZE, UNITS, 0.0, torch.nn.SiLU(), None)
    x = torch.randn(3, SIZE)
    hidden = F.silu(x @ layer.w_1.weight.T + layer.w_1.bias)
    expected = hidden @ layer.w_2.weight.T + layer.w_2.bias
    for spans in ((3,), (1, 2)):
        torch.testing.assert_close(layer(x, Spans.of(spans)), expected)


def test_dropout_acts_on_the_hidden_units():
    torch.manual_seed(0)
    layer = FeedForward(SIZE, UNITS, 0.5, torch.nn.ReLU(), 2)
    x = torch.randn(50, SIZE)
    first, second = (layer(x, Spans.of((20, 30))) for _ in range(2))
    assert not first.equal(second)
    layer.eval()
    assert layer(x, Spans.of((20, 30))).equal(layer(x, Spans.of((20, 30))))


@pytest.mark.parametrize(
    "init",
    [
        "xavier_uniform",
        pytest.param("chainer", marks=pytest.mark.skipif(version("espnet") != "202511", reason="202611 lacks it")),
    ],
)
def test_espnet_initialisation_draws_every_expert_as_a_linear_layer(init):
    layer = ExpertLinear(100, 50, 3)
    torch.nn.init.constant_(layer.weight, 7.0)
    initialize(layer, init)
    for weight in layer.weight:
        assert weight.abs().max() <= 0.1 < 1.05 * weight.abs().max()  # uniform up to 1 / sqrt(100)
    assert not layer.weight[0].equal(layer.weight[1])


@pytest.mark.parametrize("init", ["xavier_uniform", "kaiming_normal", "normal"])
def test_espnet_initialisation_leaves_differences_zero(init):
    layer = with_differences(LowRankExpertLinear(100, 50, 3, 8))
    initialize(torch.nn.ModuleList([layer]), init)
    assert not layer.difference.up.any()
    assert layer.difference.down.abs().max() <= 0.1 < 1.05 * layer.difference.down.abs().max()
    assert layer.weight.any() and not layer.bias.any()


def test_print_says_how_many_experts_a_layer_has():
    module = FeedForward(4, 6, 0.0, torch.nn.ReLU(), 3)
    assert "ExpertLinear(num_experts=3, in_features=4, out_features=6)" in str(module)
    module = FeedForward(4, 6, 0.0, torch.nn.ReLU(), 3, rank=2)
    assert "(difference): LowRankDifference(num_experts=3, rank=2)" in str(module)


def test_a_rank_larger_than_the_matrix_is_refused():
    with pytest.raises(ValueError, match="expert_rank is 5, but a matrix of 6 x 4 has a rank of 4 at most; make it"):
        FeedForward(4, 6, 0.0, torch.nn.ReLU(), 3, rank=5)
