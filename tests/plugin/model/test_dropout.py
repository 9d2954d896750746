"""Dropout does what torch.nn.Dropout does."""

import math

import pytest
import torch

from espnet_blrmoe.model.dropout import BLOCK, Dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_the_share_that_is_dropped_and_the_scale_of_the_rest(p):
    torch.manual_seed(0)
    y = Dropout(p)(torch.full((1000, 401), 2.0))
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=4 * (p * (1 - p) / y.numel()) ** 0.5)  # four standard deviations
    assert y[y != 0].unique().tolist() == pytest.approx([2.0 / (1 - p)], rel=1e-4)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double() - 0.5
    for distance in range(1, 9):  # four elements share a draw
        assert (dropped[distance:] * dropped[:-distance]).mean().abs() < 4 * 0.25 / 400_000**0.5


def test_gradients_pass_where_values_pass():
    torch.manual_seed(0)
    x = torch.ones(7, 3, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad.equal(y.detach())
    assert 0 < (y == 0).sum() < y.numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_dropout_of_a_relu_is_dropout_after_it(dtype):
    x = torch.randn(3, BLOCK // 2, dtype=dtype, requires_grad=True)  # more than a block
    results = []
    for function in (lambda: Dropout(0.3)(torch.relu(x)), lambda: Dropout(0.3).of_relu(x * 1)):
        torch.manual_seed(0)
        y = function()
        results.append((y, *torch.autograd.grad(y, x, torch.ones_like(y))))
    for of_relu, expected in zip(*reversed(results)):
        assert of_relu.dtype == dtype
        assert of_relu.equal(expected)


def test_dropout_of_a_relu_in_evaluation():
    x = torch.randn(50)
    assert Dropout(0.3).eval().of_relu(x.clone()).equal(torch.relu(x))


def test_frames_need_not_be_contiguous():
    torch.manual_seed(0)
    y = Dropout(0.3)(torch.ones(40, 30).t())
    torch.manual_seed(0)
    assert Dropout(0.3)(torch.ones(30, 40)).equal(y)


def test_compiled_too_gradients_pass_where_values_pass():
    compiled = torch.compile(Dropout(0.5), backend="aot_eager")
    x = torch.ones(100, requires_grad=True)
    y = compiled(x)
    assert torch.autograd.grad(y.sum(), x)[0].equal(y.detach())
    assert 0 < (y == 0).sum() < y.numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_results_have_the_dtype_of_what_comes_in(dtype):
    x = torch.randn(5, 4, dtype=dtype, requires_grad=True)
    y = Dropout(0.5)(x)
    assert y.dtype == torch.autograd.grad(y.sum(), x)[0].dtype == dtype


def test_the_seed_decides():
    torch.manual_seed(3)
    first = Dropout(0.3)(torch.ones(50))
    torch.manual_seed(3)
    assert Dropout(0.3)(torch.ones(50)).equal(first)


def test_nothing_is_dropped_in_evaluation_or_without_probability():
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x).equal(x)


@pytest.mark.parametrize("p", [1.0, math.nextafter(1.0, 0.0), 1 - 2**-17, 1 - 2**-18])
@pytest.mark.parametrize("name", ["forward", "of_relu"])
def test_everything_can_be_dropped(p, name):
    torch.manual_seed(0)
    x = torch.ones(99, requires_grad=True)
    y = getattr(Dropout(p), name)(x * 1)
    assert not y.any()
    assert not torch.autograd.grad(y.sum(), x)[0].any()


@pytest.mark.parametrize("p", [2**-18, 5e-324])
@pytest.mark.parametrize("name", ["forward", "of_relu"])
def test_almost_nothing_can_be_dropped(p, name):
    torch.manual_seed(0)
    y = getattr(Dropout(p), name)(torch.ones(99))
    torch.testing.assert_close(y, torch.ones(99), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("values", [1, 2**15, 2**16 - 1])  # of the 2 ** 16 that 16 bits have
def test_the_share_that_is_dropped_is_exact_to_one_in_65536(values):
    torch.manual_seed(0)
    p = values / 2**16
    y = Dropout(p)(torch.ones(2**22))
    dropped = int((y == 0).sum())
    assert dropped == pytest.approx(p * y.numel(), abs=5 * (p * (1 - p) * y.numel()) ** 0.5)  # five deviations
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - p)])
