"""The benchmarks are programs beside the package, not part of it; the tiny model is the plugin's tests'."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "plugin")]


@pytest.fixture(autouse=True)
def threads():
    """Benchmarks set them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
