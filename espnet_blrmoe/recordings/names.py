"""What stands in the place of a file's name, in tables and on command lines."""

import os
import re

RANGE = re.compile(r"(.+)\[(\d+):(\d+)\]")
COMMAND_OR_ARCHIVE = re.compile(r"\|$|\.ark:\d+$")


def split_range(path: str) -> tuple[str, int, int | None]:
    """Split "rec.flac[16000:47999]", Kaldi's way to write a stretch of a recording by its first and last sample.

    Returns:
        file, first sample, and the sample after the last; without a range, or if there is a file of the whole name, 0
        and None.

    Raises:
        ValueError: the last sample comes before the first.
    """
    found = RANGE.fullmatch(path)
    if not found or os.path.exists(path):
        return path, 0, None
    first, last = int(found[2]), int(found[3])
    if last < first:
        raise ValueError(f"{path} is a stretch that ends before it begins; write it as [first sample:last sample]")
    return found[1], first, last + 1


def is_command_or_archive(name: str) -> bool:
    """Whether a name of Kaldi's tables is no file's, but a command whose output is meant, or a place in an archive."""
    return COMMAND_OR_ARCHIVE.search(name) is not None
