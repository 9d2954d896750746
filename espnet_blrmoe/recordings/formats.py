"""Which format a file is in, and what recordings are in it."""

import io

from espnet_blrmoe.recordings.chunks import LAYOUTS, au_parts, chunk_parts
from espnet_blrmoe.recordings.flac import flac_parts
from espnet_blrmoe.recordings.mpeg import frame, mpeg_parts, tag_size
from espnet_blrmoe.recordings.nist import nist_parts
from espnet_blrmoe.recordings.ogg import ogg_parts
from espnet_blrmoe.recordings.parts import Part
from espnet_blrmoe.recordings.unusable import UnusableAudio, cut_off, unreadable

# What people have besides: where in the file -> the bytes there -> what it is.
OTHERS = {
    4: {b"ftyp": "an m4a or mp4 file"},
    8: {b"AVI ": "an avi file"},
    0: {
        b"\x1a\x45\xdf\xa3": "a webm or mkv file",
        b"\x30\x26\xb2\x75": "a wma file",
        b"#!AMR": "an amr file",
        b"\xff\xf1": "an aac file",
        b"\xff\xf9": "an aac file",
        b"ajkg": "a shorten file",
        b"MAC ": "a Monkey's Audio file",
        b"wvpk": "a WavPack file",
        b"FLV": "a flash video",
        b"version http": "not the audio but its address, which git lfs pull follows",
        b"<": "a web page or another text",
        b"PK\x03\x04": "a zip archive",
        b"\x1f\x8b": "an archive",
    },
}


def parts_of(file: io.BufferedReader, path: str) -> list[Part]:
    """The recordings in a file, one after another; most files are one.

    Raises:
        UnusableAudio: it is empty, cut off, damaged, or in no format that is read.
    """
    begin, start = behind_tags(file)
    if not start and begin:
        raise cut_off(path, "nothing comes behind its tags")
    if not start:
        raise UnusableAudio(f"{path} is empty; it must have at least one sample", "empty")
    if start.startswith(b"OggS"):
        return ogg_parts(file, begin, path)
    if start.startswith(b"fLaC"):
        return flac_parts(file, begin, path)
    layout = LAYOUTS.get(start[:4])
    if layout and (not layout.form or start[8:12] in layout.form):
        return chunk_parts(file, begin, path)
    if start.startswith((b".snd", b"dns.")) and begin == 0:
        return au_parts(file, path)
    if start.startswith(b"NIST_1A") and begin == 0:
        return nist_parts(file, path)
    if frame(start[:4]):
        return mpeg_parts(file, begin, path)
    raise unreadable(path, *(f"it is {what}" for what in named(start)))


def behind_tags(file: io.BufferedReader) -> tuple[int, bytes]:
    """Where a file begins behind the tags of music players, and its first bytes there."""
    at, start = 0, file.read(16)
    while size := tag_size(start):
        at += size
        file.seek(at)
        start = file.read(16)
    return at, start


def named(start: bytes) -> list[str]:
    """What a file is that begins with these bytes, if that is known."""
    return [what for at, marks in OTHERS.items() for mark, what in marks.items() if start[at:].startswith(mark)][:1]
