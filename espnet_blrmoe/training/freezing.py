"""Which parameters learn: ESPnet's `freeze_param`, by patterns too, since a part of every block has many names."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch

from espnet_blrmoe.model.experts import PackedExperts
from espnet_blrmoe.model.router import AbsRouter

SHARED = "shared"


def freeze(model: torch.nn.Module, freeze_param: Sequence[str]) -> None:
    """Keep parameters from learning.

    Args:
        model: is changed.
        freeze_param: names of parameters or modules, as ESPnet takes them, or patterns of such names, in which * stands
            for any characters, ? for one, and [0-5] for one of those: encoder.encoders.*.w_?.weight; or "shared": all
            that is neither an expert's, or its difference of low rank, nor the router's.

    Raises:
        ValueError: a name or pattern fits no parameter of the model.
    """
    for pattern in freeze_param:
        fitting = shared_parameters(model) if pattern == SHARED else fitting_parameters(model, pattern)
        if not fitting:
            raise ValueError(f"freeze_param: no parameter of the model is called {pattern}")
        for parameter in fitting:
            parameter.requires_grad_(False)


def fitting_parameters(model: torch.nn.Module, pattern: str) -> list[torch.nn.Parameter]:
    """Those whose name, or whose module's, fits the pattern."""
    return [
        parameter
        for name, parameter in model.named_parameters()
        if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
    ]


def shared_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Those of a model that are neither experts' nor the router's."""
    learning = [module for module in model.modules() if isinstance(module, (PackedExperts, AbsRouter))]
    own = {id(parameter) for module in learning for parameter in module.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in own]
