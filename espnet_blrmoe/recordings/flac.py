"""FLAC files: several one after another, and heads that do not know the length."""

import io
import mmap

from espnet_blrmoe.recordings.parts import Part, replaced
from espnet_blrmoe.recordings.unusable import unreadable

MARK = b"fLaC"
BLOCKS = (b"\0\0\0\x22", b"\x80\0\0\x22")  # kind and size of what follows, which others follow or not
SIZES_AT, TOTAL_AT = 8, 21  # in a head: the smallest and the largest frame, and the number of samples
TOTAL_BITS = 36  # of that number, the highest four share a byte with something else
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
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts = find_heads(content, begin)
        if not starts:
            raise unreadable(path, "it begins as FLAC does, but does not go on so")
        parts = []
        for start, stop in zip(starts, [*starts[1:], len(content)]):
            total = content[start + TOTAL_AT : start + TOTAL_AT + 5].ljust(5, b"\0")
            samples = int.from_bytes(total, "big") % 2**TOTAL_BITS
            if len(starts) == 1 and ends_with(content, start, samples):
                return [Part(length=samples, is_plain=True)]
            hidden = bytes([total[0] & 0xF0, 0, 0, 0, 0])
            parts.append(Part(replaced(range(start, stop), {start + TOTAL_AT: hidden}), samples or None))
        return parts


def find_heads(content: mmap.mmap, begin: int) -> list[int]:
    """Where recordings begin."""
    heads, at = [], content.find(MARK, begin)
    while at >= 0:
        if content[at + 4 : at + 8] in BLOCKS:
            heads.append(at)
        at = content.find(MARK, at + 1)
    return heads


def ends_with(content: mmap.mmap, head: int, samples: int) -> bool:
    """Whether the last frame is seen to end with that sample; False: no, or that is not seen without decoding."""
    sizes = content[head + SIZES_AT : head + SIZES_AT + 4]
    size = int.from_bytes(sizes[:2], "big")
    if sizes[:2] != sizes[2:] or not 0 < samples <= size * 0x10FFFF:
        return False
    number, left = divmod(samples - 1, size)
    last, another = (chr(number + more).encode("utf-8", "surrogatepass") for more in (0, 1))
    at = content.rfind(FRAME, head)
    while at >= 0:
        if content[at + 4 : at + 4 + len(another)] == another:
            return False
        if content[at + 4 : at + 4 + len(last)] == last:
            return frame_size(content[at : at + 16], len(last)) == left + 1
        at = content.rfind(FRAME, head, at)
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
