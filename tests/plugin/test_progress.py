"""Progress bars are shown on terminals, whatever these know of their size, and nowhere else."""

import fcntl
import io
import os
import pty
import select
import struct
import sys
import termios

import pytest

from espnet_blrmoe.progress import progress_bar


def all_of(ours: int) -> str:
    """What has been written to the terminal up to the end of a line, which may come in pieces."""
    shown = b""
    while not shown.endswith(b"\n"):
        assert select.select([ours], [], [], 10)[0], shown
        shown += os.read(ours, 10_000)
    return shown.decode()


@pytest.mark.parametrize("size", [(0, 0), (0, 80), (24, 0), (24, 80)], ids=str)
def test_a_bar_is_shown_on_a_terminal(monkeypatch, size):
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        assert list(progress_bar(range(3), "files", mininterval=0)) == [0, 1, 2]
        shown = all_of(ours)
    os.close(ours)
    assert "files:   0%|" in shown and "3/3" in shown


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_nothing_is_shown_elsewhere(monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    assert list(progress_bar(range(3), "files")) == [0, 1, 2]
    assert stderr is None or stderr.getvalue() == ""
