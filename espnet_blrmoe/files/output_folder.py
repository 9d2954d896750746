"""Folders and files that a program is going to write: looked at before its work, which may take hours, not after it."""

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


def check_writable(folder: Path, advice: str = "choose another --output_dir") -> None:
    """Check that a folder can be written, or made where it does not exist; nothing of that stays.

    Args:
        folder: it.
        advice: what to do if not.

    Raises:
        ValueError: it is a file or below one, or belongs to somebody else, or its disk is full or only to be read.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise ValueError(f"{place} is a file; {advice}")
    try:
        tempfile.TemporaryDirectory(dir=place).cleanup()
    except OSError as error:
        raise ValueError(f"{place} cannot be written: {error.strerror}; {advice}") from error


def check_file(path: Path) -> None:
    """Check that a file of results, --output, can be written; if it is there, it stays as it is.

    Raises:
        ValueError: it is a folder, its own folder does not exist, or it belongs to somebody else.
    """
    is_new = not path.exists() and not path.is_symlink()
    try:
        path.open("a").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}; choose another --output") from error
    if is_new:
        path.unlink()
