"""FLAC files: several one after another, and heads that do not know the length."""

import io
import re

from espnet_blrmoe.recordings.parts import Part, replaced
from espnet_blrmoe.recordings.unusable import unreadable

HEAD = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # with the kind and size of the block that follows
TOTAL_AT, TOTAL_BITS = 21, 36  # number of samples; its highest four bits share a byte with something else
CHUNK = 2**20


def flac_parts(file: io.BufferedReader, begin: int, path: str) -> list[Part]:
    """The recordings in a file: one, or several that were written one after another.

    The number of samples is hidden from libsndfile, which then reads as many as there are.

    Args:
        begin: where the first one begins, behind other programs' tags.

    Raises:
        UnusableAudio: there is none.
    """
    starts, size = find_heads(file, begin)
    if not starts:
        raise unreadable(path, "it begins as FLAC does, but does not go on so")
    parts = []
    for start, stop in zip(starts, [*starts[1:], size]):
        file.seek(start + TOTAL_AT)
        total = file.read(5).ljust(5, b"\0")
        samples = int.from_bytes(total, "big") % 2**TOTAL_BITS
        hidden = bytes([total[0] & 0xF0, 0, 0, 0, 0])
        pieces = replaced(range(start, stop), {start + TOTAL_AT: hidden})
        parts.append(Part(pieces, samples or None, is_plain=samples > 0))
    return parts


def find_heads(file: io.BufferedReader, begin: int) -> tuple[list[int], int]:
    """Where recordings begin, and where the file ends."""
    file.seek(begin)
    starts, at, seen = [], begin, b""
    while chunk := file.read(CHUNK):
        seen += chunk
        starts += [at + found.start() for found in HEAD.finditer(seen)]
        at += len(seen)
        seen = seen[-7:]  # a head may lie across
        at -= len(seen)
    return starts, at + len(seen)
