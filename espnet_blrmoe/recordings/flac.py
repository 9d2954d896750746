"""FLAC files: several one after another, and heads that do not know the length."""

import io

from espnet_blrmoe.recordings.parts import Part, replaced
from espnet_blrmoe.recordings.unusable import unreadable

MARK = b"fLaC"
BLOCKS = (b"\0\0\0\x22", b"\x80\0\0\x22")  # kind and size of what follows, which others follow or not
SIZES_AT, TOTAL_AT = 8, 21  # in a head: the smallest and the largest frame, and the number of samples
TOTAL_BITS = 36  # of that number, the highest four share a byte with something else
HEAD_SIZE = 26
CHUNK, TAIL = 2**18, 2**17  # bytes that are read at once, and in which the last frame is searched
FRAME = b"\xff\xf8"  # how frames begin that have all the same number of samples, but the last one
FRAME_SIZES = {1: 192} | {n: 576 << (n - 2) for n in range(2, 6)} | {n: 256 << (n - 8) for n in range(8, 16)}


def flac_parts(file: io.BufferedReader, begin: int, path: str) -> list[Part]:
    """The recordings in a file: one, or several that were written one after another.

    A number of samples that may be wrong is hidden from libsndfile, which then reads as many as there are.

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
        file.seek(start)
        head = file.read(HEAD_SIZE).ljust(HEAD_SIZE, b"\0")
        samples = int.from_bytes(head[TOTAL_AT:], "big") % 2**TOTAL_BITS
        if len(starts) == 1:
            file.seek(max(start, size - TAIL))
            if ends_with(file.read(), head, samples):
                return [Part(length=samples, is_plain=True)]
        hidden = bytes([head[TOTAL_AT] & 0xF0, 0, 0, 0, 0])
        parts.append(Part(replaced(range(start, stop), {start + TOTAL_AT: hidden}), samples or None))
    return parts


def find_heads(file: io.BufferedReader, begin: int) -> tuple[list[int], int]:
    """Where recordings begin, and where the file ends."""
    file.seek(begin)
    heads, at, seen = [], begin, b""
    while chunk := file.read(CHUNK):
        seen += chunk
        found = seen.rfind(MARK)  # twice as fast as find
        while found >= 0:
            if seen[found + 4 : found + 8] in BLOCKS:
                heads.append(at + found)
            found = seen.rfind(MARK, 0, found)
        at += len(seen)
        seen = seen[-7:]  # a head may lie across
        at -= len(seen)
    return sorted(heads), at + len(seen)


def ends_with(tail: bytes, head: bytes, samples: int) -> bool:
    """Whether the last frame is seen to end with that sample; False: no, or that is not seen without decoding."""
    sizes = head[SIZES_AT : SIZES_AT + 4]
    size = int.from_bytes(sizes[:2], "big")
    if sizes[:2] != sizes[2:] or not 0 < samples <= size * 0x10FFFF:
        return False
    number, left = divmod(samples - 1, size)
    last, another = (chr(number + more).encode("utf-8", "surrogatepass") for more in (0, 1))
    at = tail.rfind(FRAME)
    while at >= 0:
        if tail.startswith(another, at + 4):
            return False
        if tail.startswith(last, at + 4):
            return frame_size(tail[at : at + 16], len(last)) == left + 1
        at = tail.rfind(FRAME, 0, at)
    return False


def frame_size(start: bytes, number_size: int) -> int:
    """Samples of the frame that begins with these bytes; 0: not known.

    Args:
        number_size: bytes in which its number is written.
    """
    code = start[2] >> 4
    if code in (6, 7):  # written behind the number, less 1, in 1 or 2 bytes
        return 1 + int.from_bytes(start[4 + number_size : 4 + number_size + code - 5], "big")
    return FRAME_SIZES.get(code, 0)
