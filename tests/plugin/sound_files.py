"""Sound files in memory, of every format that is read, and what can be wrong with them."""

import io
import struct

import numpy as np
import pytest
import soundfile

from espnet_blrmoe.recordings.ogg import checksum_of
from espnet_blrmoe.recordings.recording import read
from espnet_blrmoe.recordings.unusable import UnusableAudio

RATE = 16000
# Name -> format and coding, as soundfile calls them.
FORMATS = {
    "wav": ("WAV", "PCM_16"), "24-bit wav": ("WAV", "PCM_24"), "float wav": ("WAV", "FLOAT"),
    "mu-law wav": ("WAV", "ULAW"), "A-law wav": ("WAV", "ALAW"), "IMA ADPCM wav": ("WAV", "IMA_ADPCM"),
    "MS ADPCM wav": ("WAV", "MS_ADPCM"), "GSM wav": ("WAV", "GSM610"), "wavex": ("WAVEX", "PCM_16"),
    "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"), "aiff": ("AIFF", "PCM_16"), "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"), "sph": ("NIST", "PCM_16"), "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"),
}  # fmt: skip


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """(samples,) float32 at RATE."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE), np.float32)


NOISE = noise(1.3)


def encoded(name: str, samples: np.ndarray, rate: int = RATE) -> bytes:
    """A file of one of FORMATS, with (samples,) or (samples, channels)."""
    file = io.BytesIO()
    container, coding = FORMATS[name]
    soundfile.write(file, samples, rate, format=container, subtype=coding)
    return file.getvalue()


def put(content: bytes, place: int, new: bytes) -> bytes:
    """A file with some of its bytes changed."""
    return content[:place] + new + content[place + len(new) :]


def with_wav_length(content: bytes, length: int) -> bytes:
    """A wav file whose header says that it has so many bytes of audio."""
    place = content.index(b"data") + 4
    return put(put(content, place, struct.pack("<I", length)), 4, struct.pack("<I", min(length + 36, 2**32 - 1)))


def with_flac_length(content: bytes, samples: int) -> bytes:
    """A FLAC file whose header says that it has so many samples; 0: unknown."""
    return put(content, 22, struct.pack(">I", samples))


def without_contents(mp3: bytes) -> bytes:
    """An mp3 file without the frame that says how many there are."""
    return mp3[mp3.index(b"\xff\xf3", 4) :]


def id3(size: int = 1000) -> bytes:
    """A tag, as music players write in front of a file."""
    return b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


def ogg_page(body: bytes) -> bytes:
    """An ogg file of a single page."""
    page = struct.pack("<4sBBqIIIBB", b"OggS", 0, 2 | 4, 0, 1, 0, 0, 1, len(body)) + body
    return put(page, 22, struct.pack("<I", checksum_of(page)))


def refusal(path) -> UnusableAudio:
    """The sentence with which a file is not read."""
    with pytest.raises(UnusableAudio) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path} ")
    return refused.value
