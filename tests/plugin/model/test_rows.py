"""Rows are cut from all parameters of a layer, or appended to them."""

import pytest
import torch

from espnet_blrmoe.model.experts import ExpertLinear, LowRankDifference
from espnet_blrmoe.model.rows import append_rows, keep_rows

LAYERS = {
    "linear": lambda: torch.nn.Linear(5, 4),
    "without a bias": lambda: torch.nn.Linear(5, 4, bias=False),
    "experts": lambda: ExpertLinear(5, 3, 4),
    "differences": lambda: LowRankDifference(5, 3, 4, 2),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_kept_rows_get_the_order_in_which_they_are_named(make):
    layer = make().double()
    before = {name: value.clone() for name, value in layer.named_parameters()}
    keep_rows(layer, [3, 0])
    for name, value in layer.named_parameters():
        assert value.equal(before[name][[3, 0]]) and value.requires_grad and value.is_leaf
    assert getattr(layer, "out_features", 2) == 2


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_rows_of_another_layer_or_copies_of_its_own_are_appended(make):
    layer, other = make().double(), make()
    before = {name: value.clone() for name, value in layer.named_parameters()}
    append_rows(layer, other)
    append_rows(layer, layer, [1])
    for name, value in layer.named_parameters():
        rows = [before[name], dict(other.named_parameters())[name].double(), before[name][[1]]]
        assert value.equal(torch.cat(rows)) and value.requires_grad and value.is_leaf
    assert getattr(layer, "out_features", 9) == 9
