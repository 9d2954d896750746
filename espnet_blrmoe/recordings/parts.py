"""Files, or parts of them, as soundfile is to see them."""

import io
import os
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, Optional

Piece = range | bytes  # bytes of the file, from one place to another, or others in their place


@dataclass(frozen=True)
class Part:
    """A recording within a file; most files are one.

    Attributes:
        pieces: what soundfile is to read; None: the file as it is.
        length: its samples, where the container tells more than soundfile does; None: as many as soundfile says.
        most: samples that it may have; None: as many as soundfile says.
        slack: samples that may be missing, because a decoder leaves out the silence that a coder put before or behind.
        instead: what to read if soundfile takes this one to be shorter than `least`, and would stop there.
        least: in samples.
        is_plain: soundfile by itself reads the file rightly.
    """

    pieces: tuple[Piece, ...] | None = None
    length: int | None = None
    most: int | None = None
    slack: int = 0
    instead: Optional["Part"] = None
    least: int = 0
    is_plain: bool = False

    def source(self, file: int) -> int | BinaryIO:
        """What soundfile opens of a file's descriptor: that itself, to read without Python, or a file in Python."""
        if self.pieces is not None:
            return io.BufferedReader(Spliced(file, self.pieces))
        os.lseek(file, 0, os.SEEK_SET)
        return file


class Spliced(io.RawIOBase):
    """A file that is put together of pieces of another, and read as if it were written so.

    Args:
        file: descriptor of the other.
    """

    def __init__(self, file: int, pieces: Sequence[Piece]):
        self._file = file
        self._pieces = [piece for piece in pieces if piece]
        self._ends = list(accumulate(map(len, self._pieces)))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._ends[-1] if self._ends else 0
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect(self._ends, self._at)
        if number == len(self._pieces):
            return 0
        piece = self._pieces[number][self._at - self._ends[number] :][: len(buffer)]  # counted from the piece's end
        content = os.pread(self._file, len(piece), piece.start) if isinstance(piece, range) else piece
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def join(spans: list[range], span: range) -> None:
    """Add a span to others before it."""
    if spans and spans[-1].stop == span.start:
        spans[-1] = range(spans[-1].start, span.stop)
    else:
        spans.append(span)


def replaced(span: range, changes: dict[int, bytes]) -> tuple[Piece, ...]:
    """The bytes of a span of the file, some of them replaced: place in the file -> what stands there instead."""
    pieces: list[Piece] = []
    at = span.start
    for place, new in sorted(changes.items()):
        pieces += [range(at, place), new]
        at = place + len(new)
    return (*pieces, range(at, span.stop))
