"""Puts the recipe's scripts on the import path and finds the shared real speech."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs2" / "blr_moe_masr" / "asr1"
sys.path.insert(0, str(RECIPE / "local"))
# Tests run tiny tensors: one thread an operation is quicker than two, and repeatable.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data with real speech; CI has it, a user's clone does not."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real speech of ../shared/data, which is not in this clone")
    return folder
