"""Folders that a program is going to write: looked at before its work, which may take hours, not after it."""

import tempfile
from pathlib import Path


def check_new(*paths: Path) -> None:
    """Check that files or folders of an output are not there yet, and that they can be made.

    Raises:
        ValueError: one exists, or its folder cannot be written.
    """
    for path in paths:
        check_writable(path.parent)
        if path.exists():
            raise ValueError(f"{path} exists already; remove it or choose another --output_dir")


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, or made where it does not exist; nothing of that stays.

    Raises:
        ValueError: it is a file or below one, or belongs to somebody else, or its disk is full or only to be read.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise ValueError(f"{place} is a file; choose a folder as --output_dir")
    try:
        tempfile.TemporaryDirectory(dir=place).cleanup()
    except OSError as error:
        raise ValueError(f"{place} cannot be written: {error.strerror}; choose another --output_dir") from error
