"""Progress bars of long work, on the terminal that standard error is."""

import os
import sys
from typing import Any

from tqdm import tqdm

WIDTH, HEIGHT = 79, 24  # characters and lines of a terminal that does not know its size


def progress_bar(*args: Any, **options: Any) -> tqdm:
    """tqdm's bar, where standard error is a terminal; arguments are tqdm's.

    A terminal of 0 x 0 characters, as in some containers, does not know its size: tqdm would show nothing there.
    """
    return tqdm(*args, disable=sys.stderr is None or None, **_unknown_size(), **options)


def _unknown_size() -> dict[str, int]:
    try:
        known = all(os.get_terminal_size(sys.stderr.fileno()))
    except (AttributeError, OSError, ValueError):  # no terminal, and so no bar; or closed
        return {}
    return {} if known else {"ncols": WIDTH, "nrows": HEIGHT}
