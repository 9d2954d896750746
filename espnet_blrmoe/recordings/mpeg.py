"""mp3 files (and mp2), frame by frame: how long they are, several one after another, and what is missing or damaged."""

import io
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from espnet_blrmoe.recordings.parts import Part
from espnet_blrmoe.recordings.unusable import cut_off, damaged

RATES = (44100, 48000, 32000)  # Hz, of MPEG 1; those of MPEG 2 are half, those of 2.5 a quarter
KBITS = {  # by (MPEG 1 or 2, layer); the first stands for 1 in the frame's head
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
CONTENTS = (b"Xing", b"Info")  # how a table of contents begins; that of another coder begins with VBRI
FRAME_OR_TAG = re.compile(rb"\xff|ID3|TAG|APETAGEX")
SURPLUS = 1  # frames that a table of contents may count too many: some programs count itself
EDGE = 4  # frames at both ends, at most, that libmpg123 leaves out because no sound was put into them
DELAY = 529  # samples that it leaves out at the start of a file with a table of contents: its own delay


class Kind(NamedTuple):
    """What the frames of a recording have in common.

    Attributes:
        version: 1, 2, or 3 for MPEG 2.5.
        layer: 1 to 3.
        rate: Hz.
        is_mono: one channel, not two.
    """

    version: int
    layer: int
    rate: int
    is_mono: bool

    @property
    def samples(self) -> int:
        """Of a frame."""
        return 384 if self.layer == 1 else 576 if self.layer == 3 and self.version > 1 else 1152

    @property
    def contents_at(self) -> int:
        """Where a table of contents stands in a frame, instead of sound."""
        return 4 + ((17 if self.is_mono else 32) if self.version == 1 else (9 if self.is_mono else 17))


@lru_cache(2**14)
def frame(head: bytes) -> tuple[Kind, int, int] | None:
    """The frame that begins with these four bytes: its kind, its bytes, and where in it a table of contents might be;
    None: no frame does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = (3, 0, 2, 1)[head[1] >> 3 & 3], 4 - (head[1] >> 1 & 3)
    kbits, rate = head[2] >> 4, head[2] >> 2 & 3
    if not version or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    kind = Kind(version, layer, RATES[rate] >> version - 1, head[3] >> 6 == 3)
    slot = 4 if layer == 1 else 1  # bytes
    bits = 1000 * KBITS[min(version, 2), layer][kbits - 1] * kind.samples // kind.rate
    return kind, bits // (8 * slot) * slot + (head[2] >> 1 & 1) * slot, kind.contents_at


@dataclass
class Run:
    """Frames of one kind that are one recording.

    Attributes:
        head: the first frame's four bytes.
        promised: how many frames a table of contents promises; None: there is none.
        spans: first byte and the byte after the last of frames that lie together, the table of contents among them.
        frames: how many have sound.
    """

    kind: Kind
    head: bytes
    promised: int | None
    spans: list[list[int]] = field(default_factory=list)
    frames: int = 0

    @property
    def missing(self) -> int:
        """Frames that were promised and have not come."""
        return 0 if self.promised is None else max(0, self.promised - self.frames)

    def part(self, is_whole_file: bool) -> Part:
        """The recording, with a table of contents that tells the truth.

        Args:
            is_whole_file: nothing else but tags is in the file.
        """
        spans = tuple(range(start, stop) for start, stop in self.spans)
        length, slack = self.frames * self.kind.samples, EDGE * self.kind.samples
        true = Part((self._contents(), *spans), max(0, length - DELAY), slack=slack)
        is_plain = is_whole_file and len(spans) == 1
        as_it_is = None if is_plain else spans
        if self.promised is None:  # libmpg123 guesses the length from the first frames
            return Part(as_it_is, length, instead=true, least=length, is_plain=is_plain)
        if self.promised != self.frames:
            return true
        return Part(as_it_is, slack=slack, instead=true, least=length - slack, is_plain=is_plain)

    def _contents(self) -> bytes:
        """A table of contents that has only the number of frames. Layers 1 and 2 know no such table."""
        if self.kind.layer < 3:
            return b""
        head = bytes([0xFF, self.head[1] | 1, self.head[2] & 0b1100 | 14 << 4, self.head[3]])  # largest; no checksum
        _, size, contents_at = frame(head) or (self.kind, 0, 0)
        number = b"Xing" + (1).to_bytes(4, "big") + self.frames.to_bytes(4, "big")
        return (head.ljust(contents_at, b"\0") + number).ljust(size, b"\0")


def mpeg_parts(file: io.BufferedReader, begin: int, path: str) -> list[Part]:
    """The recordings in a file of MPEG frames: one, or several that were written one after another.

    Args:
        begin: where the first frame is.

    Raises:
        UnusableAudio: frames are missing or damaged.
    """
    file.seek(0)
    runs = find_runs(file.read(), begin, path)
    return [run.part(is_whole_file=len(runs) == 1) for run in runs]


def find_runs(content: bytes, at: int, path: str) -> list[Run]:
    """The frames of a file, from byte `at` on, by recording.

    Raises:
        UnusableAudio: frames are missing or damaged.
    """
    runs: list[Run] = []
    run, span, end = None, [-1, -1], len(content)
    while at < end:
        found = frame(content[at : at + 4])
        if found is None:
            if size := tag_size(content[at : at + 16]):
                at += size
            else:
                at, run = find_next(content, at, runs, path), None
            continue
        kind, size, contents_at = found
        if at + size > end:
            if not runs or runs[-1].promised is None or runs[-1].missing:
                raise cut_off(path, "its last frame is not whole")
            break
        promised = None
        if run is None or content[at + contents_at : at + contents_at + 4] in CONTENTS:
            promised = promised_frames(content, at, at + contents_at)
        if run is None or promised is not None or kind != run.kind:
            if runs and runs[-1].missing > SURPLUS:
                raise damaged(path, f"{runs[-1].missing} frames are missing before byte {at}")
            run, span = Run(kind, content[at : at + 4], promised), [-1, -1]
            runs.append(run)
        if at != span[1]:
            span = [at, at]
            run.spans.append(span)
        run.frames += promised is None
        at += size
        span[1] = at
    if runs[-1].missing > SURPLUS:
        raise cut_off(path, f"it has {runs[-1].frames} of the {runs[-1].promised} frames that it announces")
    return runs


def promised_frames(content: bytes, at: int, contents_at: int) -> int | None:
    """Number of frames by the table of contents that the frame at a byte is; None: it is none."""
    if content[contents_at : contents_at + 4] in CONTENTS and content[contents_at + 7] & 1:
        return int.from_bytes(content[contents_at + 8 : contents_at + 12], "big")
    if content[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(content[at + 50 : at + 54], "big")
    return None


def tag_size(look: bytes) -> int:
    """Bytes of the tag that begins with these bytes; 0: none does."""
    if look.startswith(b"ID3") and len(look) >= 10:
        a, b, c, d = look[6:10]
        return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if look[5] & 0x10 else 0)
    if look.startswith(b"TAG"):
        return 227 if look.startswith(b"TAG+") else 128
    if look.startswith(b"APETAGEX"):
        return 32 + int.from_bytes(look[12:16], "little")
    return 0


def find_next(content: bytes, at: int, runs: list[Run], path: str) -> int:
    """Where the next frame or tag begins, or the file ends, after bytes that are neither.

    Raises:
        UnusableAudio: frames may have been there: no table of contents says that all have come before.
    """
    if content.count(0, at) == len(content) - at:
        return len(content)
    if runs[-1].promised is None or runs[-1].missing > SURPLUS:
        raise damaged(path, f"no frame begins at byte {at}, where one should")
    for candidate in FRAME_OR_TAG.finditer(content, at + 1):
        begin = candidate.start()
        found = frame(content[begin : begin + 4])
        if content[begin] != 0xFF or found and frame(content[begin + found[1] : begin + found[1] + 4]):
            return begin
    return len(content)
