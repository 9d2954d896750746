"""The interface of a router."""

from abc import ABC, abstractmethod

import torch


class AbsRouter(torch.nn.Module, ABC):
    """Gives every frame a logit for every language.

    A subclass takes `input_size` (width of its input) and `num_languages` (E), then its `router_conf`.
    """

    @abstractmethod
    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Classify frames.

        Args:
            x: (B, T, input_size).
            valid: (B, T) bool, True for frames, False for padding, which must not change any frame's result.

        Returns:
            (B, T, E) logits.
        """
