"""Layers with a row for each language or token: rows are cut from all of a layer's parameters, or appended to them."""

import torch


@torch.no_grad()
def keep_rows(layer: torch.nn.Module, kept: list[int]) -> None:
    """Forget all rows of the layer's parameters (R, ...) but these, which get this order."""
    for name, parameter in list(layer.named_parameters()):
        _set(layer, name, parameter[kept])


@torch.no_grad()
def append_rows(layer: torch.nn.Module, source: torch.nn.Module, rows: list[int] | None = None) -> None:
    """Append rows of another layer's parameters, or copies of the layer's own.

    Args:
        layer: its parameters are (R, ...).
        source: layer of the same kind and width, or the layer itself.
        rows: which of the source's; None: all.
    """
    chosen = slice(None) if rows is None else rows
    for name, parameter in list(layer.named_parameters()):
        _set(layer, name, torch.cat([parameter, getattr(source, name)[chosen].to(parameter)]))


def _set(layer: torch.nn.Module, name: str, rows: torch.Tensor) -> None:
    setattr(layer, name, torch.nn.Parameter(rows))
    if isinstance(layer, torch.nn.Linear):
        layer.out_features = len(rows)
