"""Ogg files (vorbis, opus), page by page: several one after another, and what is missing or damaged."""

import io
import struct
import zlib

from espnet_blrmoe.recordings.parts import Part
from espnet_blrmoe.recordings.unusable import cut_off, damaged

PAGE = struct.Struct("<4sBBqIII B")  # mark, version, flags, position, stream, number, checksum, segments
FIRST_PAGE, LAST_PAGE = 2, 4  # flags
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_parts(file: io.BufferedReader, path: str) -> list[Part]:
    """The links of an ogg file: each one is a recording, and libsndfile reads only the first.

    Raises:
        UnusableAudio: a page is missing or damaged, or the file ends before its streams do.
    """
    starts, at, end = [], 0, 0
    open_streams: dict[int, int] = {}  # streams that go on, with the number of their last page
    were_first = False
    while head := file.read(PAGE.size):
        if not head.startswith(b"OggS") and not open_streams:
            break  # bytes behind the end, which are no audio
        flags, stream, number, size = read_page(file, head, at, path)
        is_first = bool(flags & FIRST_PAGE)
        if is_first and not were_first:
            if open_streams:
                raise damaged(path, f"another recording begins at byte {at}, before the one before it has ended")
            starts.append(at)
        if not is_first and number != open_streams.get(stream, -2) + 1:
            raise damaged(path, f"a page is missing before byte {at}")
        open_streams[stream] = number
        if flags & LAST_PAGE:
            del open_streams[stream]
        were_first = is_first
        at = end = at + size
    if open_streams:
        raise cut_off(path, "its last page does not end it")
    if len(starts) == 1 and not head:
        return [Part(is_plain=True)]
    return [Part((range(start, stop),)) for start, stop in zip(starts, [*starts[1:], end])]


def read_page(file: io.BufferedReader, head: bytes, at: int, path: str) -> tuple[int, int, int, int]:
    """Read on from a page's head; flags, stream, number and bytes of the page."""
    if not head.startswith(b"OggS"[: len(head)]):
        raise damaged(path, f"no page begins at byte {at}, where one should")
    if len(head) < PAGE.size:
        raise cut_off(path, "its last page is not whole")
    _, _, flags, _, stream, number, checksum, segments = PAGE.unpack(head)
    lengths = file.read(segments)
    body = file.read(sum(lengths))
    if len(lengths) < segments or len(body) < sum(lengths):
        raise cut_off(path, "its last page is not whole")
    if checksum_of(head[:22] + bytes(4) + head[26:] + lengths + body) != checksum:
        raise damaged(path, f"the page at byte {at} is not what was written")
    return flags, stream, number, len(head) + len(lengths) + len(body)


def checksum_of(page: bytes) -> int:
    """Ogg's: zlib's with the bits of every byte, and of the result, in the opposite order, and without inversion."""
    crc = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(REVERSED), "big")
