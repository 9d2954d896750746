"""ESPnet's Trainer, from whose files a training can go on whenever it was killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer


@contextmanager
def saving_whole_files() -> Iterator[None]:
    """Inside the `with` torch.save writes beside the file it is given, and replaces that only by a whole new one.

    ESPnet's Trainer writes over its only checkpoint: killed meanwhile, or on a full disk, it would lose the training.
    """
    save = torch.save

    def save_whole(obj: object, file: str | Path, *args, **kwargs) -> None:
        unfinished = f"{file}.unfinished"
        try:
            save(obj, unfinished, *args, **kwargs)
            os.replace(unfinished, file)
        finally:
            Path(unfinished).unlink(missing_ok=True)

    torch.save = save_whole
    try:
        yield
    finally:
        torch.save = save


class WholeFilesTrainer(Trainer):
    """ESPnet's Trainer, whose checkpoints and models are whole or not there."""

    @classmethod
    def run(cls, *args, **kwargs) -> None:
        """ESPnet's training loop."""
        with saving_whole_files():
            super().run(*args, **kwargs)

    @staticmethod
    def resume(checkpoint: Path, model: torch.nn.Module, reporter: Reporter, *args, **kwargs) -> None:
        """Go on from the checkpoint; also if the training was killed between it and its epoch's model, saved next."""
        Trainer.resume(checkpoint, model, reporter, *args, **kwargs)
        epoch_model = checkpoint.parent / f"{reporter.get_epoch()}epoch.pth"
        first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        if first and not epoch_model.exists():
            torch.save(model.state_dict(), epoch_model)
