"""Which parameters learn: ESPnet's `freeze_param`, by patterns too, since a part of every block has many names."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch


def freeze(model: torch.nn.Module, freeze_param: Sequence[str]) -> None:
    """Keep parameters from learning.

    Args:
        model: is changed.
        freeze_param: names of parameters or modules, as ESPnet takes them, or patterns of such names, in which * stands
            for any characters, ? for one, and [0-5] for one of those: encoder.encoders.*.w_?.weight

    Raises:
        ValueError: a name or pattern fits no parameter of the model.
    """
    for pattern in freeze_param:
        fitting = [
            parameter
            for name, parameter in model.named_parameters()
            if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
        ]
        if not fitting:
            raise ValueError(f"freeze_param: no parameter of the model is called {pattern}")
        for parameter in fitting:
            parameter.requires_grad_(False)
