"""Audio of data directories: read any format, find what is unusable, resample."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

SILENCE = -70  # dB below full scale; the step of 16-bit audio is at -90
OVERSHOOT = 0.5  # seconds that a stretch may end after its recording, as in Kaldi's extract-segments
BLOCK = 2**20  # frames that are read at once
READY_FORMATS = ("WAV", "WAVEX", "FLAC")  # exact lengths, and quick to read in every epoch
# What libsndfile says of a wav file that announces more bytes of audio than it has.
CUT_WAV = re.compile(r"^data : (\d+) \(should be ([1-9]\d*)\)$", re.MULTILINE)
OGG_PAGE = 27 + 255 + 255 * 255  # bytes that a page of an ogg file has at most
UNKNOWN_BYTES = 0x7FFFF000  # this and more is announced by programs that write into a pipe: nobody knew the length


class UnusableAudio(Exception):
    """A clip that cannot be used; says why."""


def open_audio(path: str | Path) -> soundfile.SoundFile:
    """Open a recording (wav, flac, ogg, opus, mp3).

    Raises:
        UnusableAudio: it is missing or unreadable.
    """
    if not Path(path).is_file():
        raise UnusableAudio("no such file")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: files without a header, such as .raw
        raise UnusableAudio("unreadable: not audio, or damaged") from error


def is_ready(recording: soundfile.SoundFile, rate: int) -> bool:
    """Whether ESPnet can read the recording as it is: wav or flac with one channel, at `rate` Hz."""
    return recording.format in READY_FORMATS and recording.channels == 1 and recording.samplerate == rate


def find_stretch(recording: soundfile.SoundFile, start: float | None, end: float | None) -> tuple[int, int]:
    """First frame of a stretch and the frame after its last; from `start` to `end` in seconds, or None for all.

    Raises:
        UnusableAudio: it is not in the recording, or that is an ogg file (opus too) without its end.
    """
    if start is None or end is None:
        if recording.format == "OGG" and is_cut_ogg(recording.name):
            raise UnusableAudio("cut off: its last page is not whole")
        return 0, announced_frames(recording)
    rate, seconds = recording.samplerate, recording.frames / recording.samplerate
    if not 0 <= start < min(end, seconds) or end > seconds + OVERSHOOT:
        raise UnusableAudio(f"no such stretch: {start} to {end} s of {seconds:.2f} s")
    return round(start * rate), min(round(end * rate), recording.frames)


def announced_frames(recording: soundfile.SoundFile) -> int:
    """Frames that a recording should have by its header; of a wav file that is cut off, libsndfile itself says how many
    are left."""
    if cut := CUT_WAV.search(recording.extra_info):
        announced, left = int(cut[1]), int(cut[2])
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


def read_stretch(recording: soundfile.SoundFile, first: int, end: int) -> np.ndarray:
    """Read a stretch of a recording, mixed down to one channel: float32 (samples,) at its own rate.

    Raises:
        UnusableAudio: it is damaged or cut off, or has no samples, only silence, or NaN. An mp3 file that says nothing
            of its length is not known to be cut off.
    """
    try:
        if recording.tell() != first:
            recording.seek(first)
        blocks = list(_blocks(recording, end - first))
    except soundfile.LibsndfileError as error:
        raise UnusableAudio("unreadable: not audio, or damaged") from error
    samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0] if blocks else np.zeros(0, np.float32)
    if len(samples) < 0.9 * (end - first):  # mp3 headers are off by 1 % at most (1600 clips of Common Voice)
        raise UnusableAudio(f"cut off: {len(samples)} of {end - first} samples")
    if not len(samples):
        raise UnusableAudio("empty: no samples")
    power = samples @ samples / len(samples)
    if not np.isfinite(power):
        raise UnusableAudio("has samples that are infinite or not a number")
    if power < 10 ** (SILENCE / 10):
        raise UnusableAudio(f"silent: below {SILENCE} dB of full scale")
    return samples


def _blocks(recording: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """Read on, at most so many frames, block by block: neither all channels of a long recording nor what a damaged
    header announces have to fit into memory."""
    while frames > 0 and len(block := recording.read(min(frames, BLOCK), dtype="float32", always_2d=True)):
        yield block[:, 0] if recording.channels == 1 else block.mean(axis=1)
        frames -= len(block)


def convert(samples: np.ndarray, own_rate: int, rate: int, speed: float = 1.0) -> np.ndarray:
    """Resample float32 (samples,) from `own_rate` to `rate` Hz, played `speed` times faster, with the pitch."""
    return soxr.resample(samples, own_rate * speed, rate)
