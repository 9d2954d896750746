"""Opening files, and what else has a path."""

import io
import os
import shutil
import stat
import tempfile

from espnet_blrmoe.recordings.unusable import UnusableAudio

STANDARD_INPUT = ("-", "/dev/stdin")
BLOCK = 2**20  # bytes


def open_file(path: str) -> io.BufferedReader:
    """Open a file; what a pipe gives is kept in a temporary one.

    Raises:
        UnusableAudio: there is none, or nothing that can be read.
    """
    try:
        file = open(0, "rb", closefd=False) if path in STANDARD_INPUT else open(path, "rb")
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            with file:
                return kept(file, path)
    except FileNotFoundError as error:
        raise UnusableAudio(f"{path} does not exist", "missing") from error
    except IsADirectoryError as error:
        raise UnusableAudio(f"{path} is a folder; name the audio files in it", "folder") from error
    except OSError as error:
        raise UnusableAudio(f"{path} cannot be opened: {error.strerror}", "unreadable") from error
    if not stat.S_ISREG(mode):
        file.close()
        raise UnusableAudio(f"{path} is a terminal or another device; name a file, or a pipe", "unreadable")
    return file


def kept(pipe: io.BufferedReader, path: str) -> io.BufferedReader:
    """What comes out of a pipe, in a temporary file."""
    try:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(pipe, file, BLOCK)
            file.seek(0)
            return open(os.dup(file.fileno()), "rb")
    except OSError as error:
        sentence = f"{path} does not fit into {tempfile.gettempdir()}: {error.strerror}; let TMPDIR name another folder"
        raise UnusableAudio(sentence, "unreadable") from error
