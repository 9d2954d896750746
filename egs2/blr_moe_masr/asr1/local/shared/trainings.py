"""What ESPnet's trainer leaves of a training: a checkpoint with weights, and what was measured in every epoch."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from espnet2.train.reporter import Reporter

from espnet_blrmoe.files.weights import UnusableFile, naming_damaged_files
from shared.kaldi_tables import UserError


def read_checkpoint(folder: Path | None) -> dict | None:
    """The checkpoint that ESPnet's trainer writes after every epoch, or None before the first.

    Raises:
        UserError: it is damaged.
    """
    if folder is None or not (folder / "checkpoint.pth").is_file():
        return None
    # What ESPnet's reporter keeps besides plain numbers; mmap leaves the weights on disk.
    allowed = [timedelta, np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType]
    try:
        with torch.serialization.safe_globals(allowed), naming_damaged_files():
            return torch.load(folder / "checkpoint.pth", map_location="cpu", weights_only=True, mmap=True)
    except UnusableFile as error:
        raise UserError(f"{error}, or remove it: the training's curves and times are then left out") from error


def training_seconds(folder: Path) -> float | None:
    """Seconds of all epochs with their validation, whenever each was trained; None before the first.

    Raises:
        UserError: the checkpoint is damaged.
    """
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        return None
    reporter = Reporter()
    reporter.load_state_dict(checkpoint["reporter"])  # ESPnet 202611 writes times in another form than it has them
    parts = [part for epoch in reporter.stats.values() for part in epoch.values()]
    return sum((part["time"] for part in parts), timedelta()).total_seconds()
