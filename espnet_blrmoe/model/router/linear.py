"""The linear router of LR-MoE."""

import torch

from espnet_blrmoe.model.past import WHOLE, Whole
from espnet_blrmoe.model.router.abs_router import AbsRouter


class LinearRouter(AbsRouter):
    """One linear layer per frame (LR-MoE, arXiv 2307.05956)."""

    ahead = 0

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.output = torch.nn.Linear(input_size, num_languages)

    def forward(self, x: torch.Tensor, valid: torch.Tensor, past: Whole = WHOLE) -> torch.Tensor:
        """(B, T, input_size) -> (B, T, E)."""
        return self.output(x)
