"""ESPnet's Trainer, from whose files a training can be resumed whenever it was killed, and the model that it leaves."""

import argparse
import logging
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path

import torch
from espnet2.train.distributed_utils import get_node_rank
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer

from espnet_blrmoe.files.model_files import WEIGHTS_NAME
from espnet_blrmoe.files.weights import UnusableFile

ENDED = "DataLoader worker "  # how PyTorch's errors begin that say how a process that reads ahead has ended


@contextmanager
def saving_whole_files() -> Iterator[None]:
    """Inside the `with`, torch.save writes beside the file it is given, and replaces that only with a complete new one.

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


@contextmanager
def missing_no_batch() -> Iterator[None]:
    """Inside the `with`, a process that reads ahead and cannot hand over a batch ends, and so does the training.

    Python has it go on without that batch, for which the training waits for ever: in a container with a small /dev/shm.

    Raises:
        ChildProcessError: such a process has ended, for this reason or because it was killed; names it.
    """
    report = Queue._on_queue_feeder_error
    Queue._on_queue_feeder_error = staticmethod(_end_process)
    try:
        with _patience():
            yield
    except RuntimeError as error:
        reasons = [str(e) for e in (error.__cause__, error) if str(e).startswith(ENDED)]
        if not reasons:
            raise
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's would raise the same when the other processes end
        raise ChildProcessError(
            f"{reasons[0].partition('. ')[0].rstrip('.')}: the process that reads ahead lacked memory, or room in "
            "/dev/shm (docker: --shm-size 8g); --num_workers 0 does without it"
        ) from error
    finally:
        Queue._on_queue_feeder_error = staticmethod(report)


@contextmanager
def _patience() -> Iterator[None]:
    """An error may be that of something that a process had handed over and that has gone with it; PyTorch's handler of
    that process's end, which raises the error that names it, then comes a moment later."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if not str(error).startswith(ENDED):
            time.sleep(1)
        raise


def _end_process(error: Exception, batch: object) -> None:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def leave_process_group() -> None:
    """End the process group of a training, once all its processes are done; ESPnet leaves that to their exit.

    A thread of gloo releases the tensors of a finished collective under Python's lock. One that asks for the lock
    when the interpreter is already exiting aborts the process, and a training that was complete seems to have failed.
    Destroying the group does not end its threads (nor does collecting the garbage after it), so we give them time.
    """
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    time.sleep(0.5)


class WholeFilesTrainer(Trainer):
    """ESPnet's Trainer, whose checkpoints and models are whole or not there."""

    @classmethod
    def run(cls, *args, **kwargs) -> None:
        """ESPnet's training loop, and the end of its process group."""
        with saving_whole_files():
            super().run(*args, **kwargs)
        if torch.distributed.is_initialized():
            leave_process_group()

    @staticmethod
    def resume(checkpoint: Path, model: torch.nn.Module, reporter: Reporter, *args, **kwargs) -> None:
        """Resume from the checkpoint, even if the training was killed before it saved the epoch's model.

        Raises:
            UnusableFile: the checkpoint is damaged, or of another model or optimizer.
        """
        remove = "remove it to train from the first epoch on"
        try:
            Trainer.resume(checkpoint, model, reporter, *args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except UnusableFile as error:
            raise UnusableFile(f"{error}, or {remove}") from error
        except (KeyError, RuntimeError, ValueError) as error:  # by which PyTorch refuses a state
            reason = textwrap.shorten(" ".join(str(error).splitlines()[:2]), 200, placeholder=" ...")
            raise UnusableFile(f"{checkpoint} is not of this training: {reason}; train in another folder, or {remove}"
                               ) from error
        epoch_model = checkpoint.parent / f"{reporter.get_epoch()}epoch.pth"
        first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        if first and not epoch_model.exists():
            torch.save(model.state_dict(), epoch_model)


def trained_checkpoint(args: argparse.Namespace) -> Path | None:
    """The averaged or best checkpoint of the first criterion of --best_model_criterion, as ESPnet names it.

    None where there is nothing to hand on: after --dry_run or --collect_stats, and in all processes but the first.
    """
    if args.dry_run or args.collect_stats or get_node_rank(args.dist_rank, args.dist_launcher) not in (None, 0):
        return None
    phase, criterion, _ = args.best_model_criterion[0]
    averaged, best = (Path(args.output_dir) / f"{phase}.{criterion}.{kind}.pth" for kind in ("ave", "best"))
    return averaged if averaged.exists() else best


def link_model(checkpoint: Path) -> None:
    """Make the training's folder a model's folder: model.pth, beside ESPnet's config.yaml, is the checkpoint."""
    link = checkpoint.with_name(WEIGHTS_NAME)
    if not checkpoint.exists() or (link.exists() and not link.is_symlink()):
        found = f"{link} is a file already" if checkpoint.exists() else f"there is no {checkpoint}"
        logging.warning(f"{found}; no link is made from {link.name} to {checkpoint.name}")
        return
    link.unlink(missing_ok=True)
    link.symlink_to(checkpoint.name)
