"""Positions are ESPnet's, for any length, in any thread."""

import sys

import pytest
import torch

from espnet_blrmoe.espnet_internals import PositionalEncoding, RelPositionalEncoding
from espnet_blrmoe.model.positions import AbsolutePositions, LegacyRelativePositions, RelativePositions


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


LegacyRelPositionalEncoding = sys.modules[PositionalEncoding.__module__].LegacyRelPositionalEncoding


@pytest.mark.parametrize("frames", [1, 50, 5000])
def test_legacy_positions_are_espnets_up_to_the_end_of_its_table(frames):
    x = torch.randn(1, frames, 16)
    for result, expected in zip(LegacyRelativePositions(16, 0.0)(x), LegacyRelPositionalEncoding(16, 0.0)(x)):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_legacy_positions_of_long_audio_go_on_and_change_nothing_for_those_that_follow():
    positions = LegacyRelativePositions(16, 0.0)
    before = positions(torch.zeros(1, 50, 16))[1]
    assert positions(torch.zeros(1, 6000, 16))[1][:, :50].equal(before)
    assert positions(torch.zeros(1, 50, 16))[1].equal(before)
