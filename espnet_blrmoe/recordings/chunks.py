"""Wav, RF64, W64, AIFF, CAF and AU files: how much audio they announce, how much is there, and what comes behind it."""

import io
import os
import struct
from dataclasses import dataclass

from espnet_blrmoe.recordings.parts import Part, Piece, replaced
from espnet_blrmoe.recordings.unusable import cut_off, damaged, unreadable

W64_NAME = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # how the names of its chunks end
TAGS = (b"ID3", b"TAG")  # of music players, behind everything else
FIXED = (1, 3, 6, 7, 0xFFFE)  # wav's codings of which every sample has the same number of bytes
GSM = 0x31
AU_HEADS = range(24, 4096)  # bytes that an AU file's header has
CAF_CODINGS = (b"lpcm", b"ulaw", b"alaw")


@dataclass(frozen=True)
class Layout:
    """How a format writes its chunks.

    Attributes:
        form: what stands at bytes 8 to 11; empty: anything.
        first: where the first chunk begins.
        head: of a chunk: its name and size.
        data: name of the chunk with the audio.
        counted: bytes of a chunk's head that its size counts.
        align: chunks begin at multiples of this, from the file's start.
    """

    form: tuple[bytes, ...]
    first: int
    head: struct.Struct
    data: bytes
    counted: int = 0
    align: int = 2


WAV = Layout((b"WAVE",), 12, struct.Struct("<4sI"), b"data")
LAYOUTS = {
    b"RIFF": WAV,
    b"RF64": WAV,
    b"BW64": WAV,
    b"RIFX": Layout((b"WAVE",), 12, struct.Struct(">4sI"), b"data"),
    b"FORM": Layout((b"AIFF", b"AIFC"), 12, struct.Struct(">4sI"), b"SSND"),
    b"riff": Layout((), 40, struct.Struct("<16sQ"), b"data" + W64_NAME, counted=24, align=8),
    b"caff": Layout((), 8, struct.Struct(">4sQ"), b"data", align=1),
}


@dataclass(frozen=True)
class Chunk:
    """A chunk: where its head and its content begin, and how long the content is said to be."""

    name: bytes
    at: int
    content: int
    length: int


class Form:
    """One recording in chunks, within a file.

    Args:
        begin: where it begins.
    """

    def __init__(self, file: io.BufferedReader, begin: int, path: str):
        self.file, self.begin, self.path = file, begin, path
        self.size = os.fstat(file.fileno()).st_size
        self.mark = self._read(begin, 4)
        self.layout = LAYOUTS[self.mark]
        self.coding, self.block, self.block_samples = 0, 1, 0  # wav's number of it; bytes and samples of a block

    def part(self) -> tuple[Part, int]:
        """The recording, and where it ends: at the file's end, or where another one begins."""
        data = self._find_data()
        announced, there = data.length, self.size - data.content
        end: int | None = None
        if announced <= there:
            end = self._end_of_chunks(data.content + announced)
        elif not is_placeholder(announced, self.block if self.coding in FIXED else 1):
            sentence = f"it has {there:,} of the {announced:,} bytes of audio that it announces"
            raise cut_off(self.path, sentence)
        if end is not None and self.mark != b"BW64":  # which libsndfile knows by its old name only
            is_whole_file = (self.begin, end) == (0, self.size)
            pieces = None if is_whole_file else (range(self.begin, end),)
            return Part(pieces, most=self._most(announced), is_plain=is_whole_file), end
        length = there if end is None else announced
        return Part(self._with_size(data, length), most=self._most(length)), end or self.size

    def _find_data(self) -> Chunk:
        """The chunk with the audio; notes what another one says of its coding."""
        length = None
        chunk = self._chunk(self.begin + self.layout.first)
        while chunk is not None and chunk.name != self.layout.data:
            if chunk.name == b"fmt ":
                fields = struct.Struct(self.layout.head.format[0] + "HHIIHHHH")
                content = self._read(chunk.content, fields.size).ljust(fields.size, b"\0")
                self.coding, _, _, _, block, *_, self.block_samples = fields.unpack(content)
                self.block = block or 1
            if chunk.name == b"desc" and self._read(chunk.content + 8, 4) not in CAF_CODINGS:
                raise unreadable(self.path, "it is a caf file whose coding is not PCM")
            if chunk.name == b"ds64":
                length = int.from_bytes(self._read(chunk.content + 8, 8), "little")
            chunk = self._chunk(self._after(chunk.content + chunk.length))
        if chunk is None:
            raise unreadable(self.path, "no audio comes behind its header")
        if self.mark == b"FORM" and self._read(chunk.content, 4).strip(b"\0"):
            raise damaged(self.path, "it says that its audio does not begin where it does")
        if length is not None and chunk.length == 0xFFFFFFFF:
            chunk = Chunk(chunk.name, chunk.at, chunk.content, length)
        return chunk

    def _most(self, length: int) -> int | None:
        """Samples in so many bytes of GSM 6.10: libsndfile takes a byte behind an odd number of them for a block."""
        return length // self.block * self.block_samples if self.coding == GSM else None

    def _chunk(self, at: int) -> Chunk | None:
        """The chunk at a place of the file; None: the file ends before."""
        head = self.layout.head
        if at + head.size > self.size:
            return None
        name, length = head.unpack(self._read(at, head.size))
        return Chunk(name, at, at + head.size, max(0, length - self.layout.counted))

    def _after(self, end: int) -> int:
        """Where the next chunk begins."""
        return end + (self.begin - end) % self.layout.align

    def _end_of_chunks(self, end: int) -> int | None:
        """Where the chunks end that come behind the audio; None: no chunks come there, so that the audio goes on."""
        at = self._after(end)
        while at < self.size:
            ahead = self._read(at, 12)
            if ahead[:4] == self.mark and (not self.layout.form or ahead[8:12] in self.layout.form):
                return at
            if ahead.startswith(TAGS):
                return self.size
            chunk = self._chunk(at)
            if chunk is None or not is_name(chunk.name) or chunk.content + chunk.length > self.size:
                return None
            at = self._after(chunk.content + chunk.length)
        return self.size

    def _with_size(self, data: Chunk, length: int) -> tuple[Piece, ...]:
        """The recording with that length in its header."""
        head = self.layout.head
        if length >= 2 ** (8 * (head.size - len(data.name))):
            raise damaged(self.path, f"it announces {data.length:,} bytes of audio, and {length:,} follow")
        changes = {data.at: head.pack(data.name, length + self.layout.counted)}
        if self.mark in (b"RF64", b"BW64"):
            changes[self.begin] = b"RIFF"
        return replaced(range(self.begin, data.content + length), changes)

    def _read(self, at: int, length: int) -> bytes:
        self.file.seek(at)
        return self.file.read(length)


def chunk_parts(file: io.BufferedReader, begin: int, path: str) -> list[Part]:
    """The recordings in a file: one, or several of the same format that were written one after another.

    Args:
        begin: where the first one begins, behind other programs' tags.

    Raises:
        UnusableAudio: it is cut off, or has no audio.
    """
    parts, at = [], begin
    while True:
        form = Form(file, at, path)
        part, at = form.part()
        parts.append(part)
        if at == form.size:
            return parts


def au_parts(file: io.BufferedReader, path: str) -> list[Part]:
    """The recordings in an AU file: one, or several that were written one after another.

    Raises:
        UnusableAudio: it is cut off, or has no audio.
    """
    size = file.seek(0, io.SEEK_END)
    parts, begin, end = [], 0, 0
    while end < size:
        file.seek(begin)
        mark = file.read(4)
        fields = struct.Struct(">II" if mark == b".snd" else "<II")
        first, announced = fields.unpack(file.read(8).ljust(8, b"\0"))
        if first not in AU_HEADS or begin + first > size:
            raise unreadable(path, "its header is not whole")
        there = size - begin - first
        if announced > there and not is_placeholder(announced, 1):
            raise cut_off(path, f"it has {there:,} of the {announced:,} bytes of audio that it announces")
        file.seek(begin + first + min(announced, there))
        another_follows = announced < there and file.read(4) == mark
        length = announced if another_follows else there
        end = begin + first + length
        changes = {} if announced == length else {begin + 8: fields.pack(first, min(length, 0xFFFFFFFF))[4:]}
        parts.append(Part(replaced(range(begin, end), changes), is_plain=not changes and (begin, end) == (0, size)))
        begin = end
    return parts


def is_name(name: bytes) -> bool:
    """Whether these bytes may name a chunk."""
    return name.endswith(W64_NAME) or (len(name) == 4 and name.isascii() and name.decode().isprintable())


def is_placeholder(length: int, block: int) -> bool:
    """Whether a header's length, of more bytes than there are, was written before the length was known, not the length
    of a recording that has been cut off.

    Args:
        block: bytes of which every true length is a multiple.
    """
    is_limit = any(abs(length - 2**bits) <= 2**16 for bits in (30, 31, 32, 63, 64))  # less the header, or rounded
    return length % block != 0 or is_limit or (length >= 10**9 and length % 10**6 == 0)
