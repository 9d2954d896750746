"""Where frames are in time, as attention learns it: sinusoids that are added to the frames, or relative ones.

They are computed for every batch. ESPnet keeps them in a table that grows with the longest utterance: threads that
share a model would change it under each other, and a traced graph could not read beyond its end.
"""

import math

import torch
from torch import nn

# Of ESPnet's table of legacy positions (max_pos_emb_len), which it reads from its end: it enters their values.
LEGACY_POSITIONS = 5000


class ScaledFrames(nn.Module):
    """What all positions do to the frames: scale them to the sinusoids' size, and drop out.

    Args:
        size: D.
        dropout_rate: of the frames, and of the sinusoids.
    """

    def __init__(self, size: int, dropout_rate: float):
        super().__init__()
        self.scale = math.sqrt(size)
        self.dropout = nn.Dropout(dropout_rate)


class AbsolutePositions(ScaledFrames):
    """Adds sinusoids of the frames' positions (ESPnet: PositionalEncoding)."""

    def forward(
        self, x: torch.Tensor, span: int | None = None, first: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, None]:
        """(B, T, D) -> (B, T, D), None.

        Args:
            x: frames.
            span: not used.
            first: (B,) int64, how many frames came before them; None: none.
        """
        positions = torch.arange(x.size(1), device=x.device)
        positions = positions.unsqueeze(0) if first is None else first.unsqueeze(1) + positions
        return self.dropout(x * self.scale + sinusoids(positions, x)), None


class RelativePositions(ScaledFrames):
    """Gives sinusoids of all distances between frames to the attention (ESPnet: RelPositionalEncoding, "latest")."""

    def forward(
        self, x: torch.Tensor, span: int | None = None, first: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> (B, T, D) and (1, 2S - 1, D), from position S - 1 down to 1 - S.

        Args:
            x: frames.
            span: S, the most frames that one frame attends to; None: all T.
            first: not used.
        """
        span = x.size(1) if span is None else span
        distances = span - 1 - torch.arange(2 * span - 1, device=x.device)
        return self.dropout(x * self.scale), self.dropout(sinusoids(distances.unsqueeze(0), x))


class LegacyRelativePositions(RelativePositions):
    """Gives the sinusoids that ESPnet's older relative attention reads (ESPnet: LegacyRelPositionalEncoding).

    They are those of the last positions of ESPnet's table, whatever the length of the utterance. ESPnet makes another
    table from the first utterance with more than 5,000 frames on, for all that follow; here it always has 5,000.
    """

    def forward(
        self, x: torch.Tensor, span: int | None = None, first: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> (B, T, D) and (1, T, D), from position 4999 down; the rest is not used."""
        positions = LEGACY_POSITIONS - 1 - torch.arange(x.size(1), device=x.device)
        return self.dropout(x * self.scale), self.dropout(sinusoids(positions.unsqueeze(0), x))


def sinusoids(positions: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, P) -> (B, P, D): sine and cosine in turn, computed in float32, of the width and dtype of `like`, (..., D)."""
    size = like.size(-1)
    frequencies = torch.exp(torch.arange(0, size, 2, device=positions.device) * -(math.log(10000.0) / size))
    angles = positions.float().unsqueeze(-1) * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(like.dtype)
