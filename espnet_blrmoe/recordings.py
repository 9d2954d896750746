"""Reading recordings, and resampling them, for stage 3 of the recipe and every other program. Loads no PyTorch."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

BLOCK = 2**20  # frames of a file that are read at once
RANGE = re.compile(r"(.+)\[(\d+):(\d+)\]")
# What libsndfile says of a wav file that announces more bytes of audio than it has.
CUT_WAV = re.compile(r"^data : (\d+) \(should be ([1-9]\d*)\)$", re.MULTILINE)
UNKNOWN_BYTES = 0x7FFFF000  # this and more is announced by programs that write into a pipe: nobody knew the length
OGG_PAGE = 27 + 255 + 255 * 255  # bytes that a page of an ogg file has at most


class UnusableAudio(ValueError):
    """Audio that cannot be used; the sentence names the file.

    Attributes:
        reason: the same in a word or two, by which such files can be counted.
    """

    def __init__(self, sentence: str, reason: str):
        super().__init__(sentence)
        self.reason = reason


def split_range(path: str) -> tuple[str, int, int | None]:
    """Split "rec.flac[16000:47999]", Kaldi's way to write a stretch of a recording by its first and last sample.

    Returns:
        file, first sample, and the sample after the last; without a range, 0 and None.

    Raises:
        ValueError: the last sample comes before the first.
    """
    found = RANGE.fullmatch(path)
    if not found:
        return path, 0, None
    first, last = int(found[2]), int(found[3])
    if last < first:
        raise ValueError(f"{path} is a stretch that ends before it begins; write it as [first sample:last sample]")
    return found[1], first, last + 1


def open_audio(path: str | Path) -> soundfile.SoundFile:
    """Open a recording.

    Raises:
        UnusableAudio: it is missing, a folder, or not audio that soundfile reads.
    """
    if os.path.isdir(path):
        raise UnusableAudio(f"{path} is a folder; name the audio files in it", "folder")
    if not os.path.isfile(path):
        raise UnusableAudio(f"{path} does not exist", "missing")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: files without a header, such as .raw
        raise _unreadable(path) from error


def _unreadable(path: str | Path) -> UnusableAudio:
    return UnusableAudio(
        f"{path} cannot be read as audio: it is damaged or in a format other than wav, flac, ogg, mp3 and the like",
        "unreadable",
    )


def read_samples(recording: soundfile.SoundFile, first: int = 0, end: int | None = None) -> np.ndarray:
    """Read a recording or a stretch of it, its channels averaged: (samples,) float32, maybe none, at its own rate.

    Args:
        recording: an open one.
        first: the stretch's first sample.
        end: the sample after its last; None: all that there is.

    Raises:
        UnusableAudio: it lacks the stretch, is damaged, or is cut off. An mp3 file that says nothing of its length is
            not known to be cut off.
    """
    path = recording.name
    if end is None and recording.format == "OGG" and is_cut_ogg(path):
        raise UnusableAudio(f"{path} is cut off: its last page is not whole", "cut off")
    if end is not None and first >= recording.frames:
        raise UnusableAudio(f"{path} has no sample {first}: it has {recording.frames}, counted from 0", "too short")
    announced = (announced_samples(recording) if end is None else end) - first
    try:
        if recording.tell() != first:
            recording.seek(first)
        blocks = list(_blocks(recording, None if end is None else announced))
    except soundfile.LibsndfileError as error:
        raise _unreadable(path) from error
    samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0] if blocks else np.zeros(0, np.float32)
    if len(samples) < 0.9 * announced:  # headers of mp3 are off by 1 % at most (1600 clips of Common Voice)
        sentence = f"{path} is cut off: it has {len(samples)} of the {announced} samples that it announces"
        raise UnusableAudio(sentence, "cut off")
    return samples


def _blocks(recording: soundfile.SoundFile, left: int | None) -> Iterator[np.ndarray]:
    """Read on, at most `left` samples, block by block: neither all channels of a long recording nor what a damaged
    header announces have to fit into memory. (soundfile's own `blocks` repeats the last one of a file that is cut off.)
    """
    while len(block := recording.read(BLOCK if left is None else min(left, BLOCK), "float32", always_2d=True)):
        yield block[:, 0] if recording.channels == 1 else block.mean(axis=1)
        left = None if left is None else left - len(block)


def announced_samples(recording: soundfile.SoundFile) -> int:
    """Samples that a recording should have by its header; of a wav file that is cut off, libsndfile itself says how
    many are left."""
    if cut_wav := CUT_WAV.search(recording.extra_info):
        announced, left = int(cut_wav[1]), int(cut_wav[2])
        if announced < UNKNOWN_BYTES:
            return recording.frames * announced // left
    return recording.frames


def is_cut_ogg(path: str | Path) -> bool:
    """Whether the last page of an ogg file should go on where the file ends; libsndfile reads the pages before it."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS"):]  # 26 bytes, the number of segments, their lengths, the segments
    return len(page) < 27 or len(page) < 27 + page[26] + sum(page[27:27 + page[26]])


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Floating point (samples,) at `rate` Hz -> the same at `new_rate` Hz."""
    return samples if rate == new_rate else soxr.resample(samples, rate, new_rate)
