"""Ogg files (vorbis, opus), page by page: several one after another, and what is missing or damaged."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from espnet_blrmoe.recordings.parts import Part, join
from espnet_blrmoe.recordings.unusable import cut_off, damaged, unreadable

PAGE = struct.Struct("<4sBBqIII B")  # mark, version, flags, position, stream, number, checksum, segments
AUDIO = (b"\x01vorbis", b"OpusHead")  # how first pages begin
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """A page: its stream and its number in that, whether it is the first or last there, whether a stream of audio
    begins with it, and its bytes."""

    stream: int
    number: int
    is_first: bool
    is_last: bool
    is_audio: bool
    size: int


@dataclass
class Link:
    """One recording of an ogg file, which may go along with other streams: pictures, or an index.

    Attributes:
        going_on: streams that have not ended -> number of their last page.
        audio: the stream that is read.
        spans: where its pages are.
        is_beginning: only first pages have come.
    """

    going_on: dict[int, int] = field(default_factory=dict)
    audio: int | None = None
    spans: list[range] = field(default_factory=list)
    is_beginning: bool = True

    def add(self, page: Page, at: int, path: str) -> None:
        """The next page, which begins at byte `at`."""
        self.is_beginning &= page.is_first
        if page.is_first and page.is_audio:
            if self.audio is not None:
                raise unreadable(path, "several recordings are in it at the same time")
            self.audio = page.stream
        if not page.is_first and page.number != self.going_on.get(page.stream, -2) + 1:
            raise damaged(path, f"a page is missing before byte {at}")
        self.going_on[page.stream] = page.number
        if page.is_last:
            del self.going_on[page.stream]
        if page.stream == self.audio:
            join(self.spans, range(at, at + page.size))


def ogg_parts(file: io.BufferedReader, begin: int, path: str) -> list[Part]:
    """The links of an ogg file: each one is a recording, and libsndfile reads only the first.

    Args:
        begin: where the first one begins, behind other programs' tags.

    Raises:
        UnusableAudio: a page is missing or damaged, or the file ends before its streams do; or there is no audio in it.
    """
    file.seek(begin)
    links, at = [Link()], begin
    while head := file.read(PAGE.size):
        link = links[-1]
        if not (link.going_on or head.startswith(b"OggS") or b"OggS" in file.read()):
            break  # what is behind the end is no audio
        page = read_page(file, head, at, path)
        if page.is_first and not link.is_beginning:
            if link.going_on:
                raise damaged(path, f"another recording begins at byte {at}, before the one before it has ended")
            links.append(Link())
        links[-1].add(page, at, path)
        at += page.size
    if links[-1].going_on:
        raise cut_off(path, "its last page does not end it")
    if any(link.audio is None for link in links):
        raise unreadable(path, "it is an ogg file with something else than vorbis or opus in it")
    is_plain = not head and links[0].spans == [range(0, at)]
    return [Part(None if is_plain else tuple(link.spans), is_plain=is_plain) for link in links]


def read_page(file: io.BufferedReader, head: bytes, at: int, path: str) -> Page:
    """Read on from a page's head, which begins at byte `at`.

    Raises:
        UnusableAudio: it is none, or not whole, or damaged.
    """
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
    size = len(head) + len(lengths) + len(body)
    return Page(stream, number, bool(flags & 2), bool(flags & 4), body.startswith(AUDIO), size)


def checksum_of(page: bytes) -> int:
    """Ogg's: zlib's with the bits of every byte, and of the result, in the opposite order, and without inversion."""
    crc = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(REVERSED), "big")
