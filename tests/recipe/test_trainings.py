"""What a training's checkpoint says of it, in the form that the installed ESPnet gives it."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from espnet2.train.reporter import Reporter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from shared.trainings import training_seconds  # noqa: E402


def test_seconds_of_all_epochs(tmp_path):
    assert training_seconds(tmp_path) is None
    reporter = Reporter()
    for epoch in (1, 2):
        reporter.set_epoch(epoch)
        for part in ("train", "valid"):
            with reporter.observe(part) as observed:
                observed.register({"loss": torch.tensor(1.0)})
                observed.next()
            reporter.stats[epoch][part]["time"] = timedelta(seconds=1.5)
    torch.save({"reporter": reporter.state_dict()}, tmp_path / "checkpoint.pth")
    assert training_seconds(tmp_path) == pytest.approx(6.0)
