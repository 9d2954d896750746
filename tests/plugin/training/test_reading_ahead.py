"""A process that reads ahead and cannot hand over what it has read ends the training, within seconds, in a sentence."""

import os
import signal
import threading
import time
from multiprocessing.queues import Queue

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from espnet_blrmoe.training.trainer import missing_no_batch


class Spoiled(Dataset):
    """Tensors, of which the third cannot be had."""

    def __init__(self, spoil):
        self.spoil = spoil

    def __len__(self) -> int:
        return 6

    def __getitem__(self, position: int) -> object:
        return self.spoil() if position == 2 else torch.zeros(10)


@pytest.fixture(autouse=True)
def handler(monkeypatch):
    """PyTorch installs its handler of the ends of processes once in a process; here again for every test."""
    before = signal.getsignal(signal.SIGCHLD)
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", False)
    yield
    signal.signal(signal.SIGCHLD, before)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def read_all(spoil) -> list:
    with missing_no_batch():
        return list(DataLoader(Spoiled(spoil), batch_size=None, num_workers=1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (threading.Lock, "exited unexpectedly with exit code 1"),  # as with a full /dev/shm: it fails on its way
        (killed, "is killed by signal: Killed"),  # as where memory runs out
    ],
)
def test_its_end_is_noticed_and_named(spoil, message, capfd):
    started = time.monotonic()
    # PyTorch looks after its processes every 5 s, too: where the error of its signal handler got lost, in a finaliser.
    named = rf"^DataLoader worker \((pid \d+\) {message}|pid\(s\) \d+\) exited unexpectedly): .*--num_workers 0"
    with pytest.raises(ChildProcessError, match=named) as caught:
        read_all(spoil)
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)
    if spoil is threading.Lock:
        assert "cannot pickle" in capfd.readouterr().err


def test_what_it_raises_itself_stays_what_it_is():
    with pytest.raises(ZeroDivisionError):
        read_all(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="^something else$"), missing_no_batch():
        raise RuntimeError("something else")


def test_python_is_left_as_it_was():
    before = Queue._on_queue_feeder_error
    assert len(read_all(lambda: torch.zeros(3))) == 6
    assert Queue._on_queue_feeder_error is before
