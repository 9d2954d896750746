"""Positions are ESPnet's, for any length, in any thread."""

import pytest
import torch

from espnet_blrmoe.espnet_internals import PositionalEncoding, RelPositionalEncoding
from espnet_blrmoe.model.positions import AbsolutePositions, RelativePositions


@pytest.mark.parametrize("frames", [1, 2, 50, 6000])  # ESPnet's table holds 5,000
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_positions_are_espnets(frames, dtype):
    x = torch.randn(1, frames, 16, dtype=dtype)
    added, nothing = AbsolutePositions(16, 0.0)(x)
    torch.testing.assert_close(added, PositionalEncoding(16, 0.0)(x), rtol=0, atol=1e-5)
    assert nothing is None
    for result, expected in zip(RelativePositions(16, 0.0)(x), RelPositionalEncoding(16, 0.0)(x)):
        assert result.dtype == dtype
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
