"""An open recording: as many samples as there are, whatever its header says."""

from functools import cached_property
from numbers import Real
from pathlib import Path
from types import TracebackType

import numpy as np
import soxr

from espnet_blrmoe.recordings.formats import parts_of
from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.recordings.open_file import open_file
from espnet_blrmoe.recordings.stream import Samples, Stream
from espnet_blrmoe.recordings.unusable import UnusableAudio, cut_off, unreadable

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # Hz


class Recording:
    """An open recording; `with Recording("talk.ogg") as recording` closes it.

    A file that holds several recordings, one after another, is their sequence.

    Args:
        path: the file; "-" or "/dev/stdin" for standard input. What is no file on a disk, a pipe, is read to its end
            and kept in one.

    Attributes:
        path: the same.
        rate: its sampling rate in Hz.
        channels: how many; of those of different parts, the most.
        format: soundfile's name of its format, "WAV", ...

    Raises:
        UnusableAudio: it is missing, a folder, not audio, or seen to be cut off or damaged before it is decoded.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        self._file = open_file(self.path)
        self._streams: list[Stream] = []
        try:
            for part in parts_of(self._file, self.path):
                self._streams.append(Stream(self._file.fileno(), part, self.path))
            self._check()
        except OSError as error:
            self.close()
            raise UnusableAudio(f"{self.path} cannot be read: {error.strerror}", "unreadable") from error
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        """What all parts must have in common, and whether any of them is audio."""
        first = self._streams[0]
        self.rate, self.format = first.sound.samplerate, first.sound.format
        self.channels = max(stream.channels for stream in self._streams)
        if rates := sorted({stream.sound.samplerate for stream in self._streams} - {self.rate}):
            sentence = f"its {len(self._streams)} parts have different sampling rates, {self.rate} and {rates[0]} Hz"
            raise unreadable(self.path, sentence)
        check_rate(self.rate, self.path)

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for stream in self._streams:
            stream.sound.close()
        self._file.close()

    @property
    def is_plain(self) -> bool:
        """Whether soundfile by itself reads it rightly, as far as it has been read."""
        return len(self._streams) == 1 and self._streams[0].is_plain

    @cached_property
    def length(self) -> int:
        """Its samples: by what its container says, which has been checked; decoded, where that says nothing."""
        return sum(stream.length for stream in self._streams)

    def read(self, first: int = 0, end: int | None = None) -> np.ndarray:
        """The recording or a stretch of it in one channel, the average of those that it has: (samples,) float32, maybe
        none, at its own rate.

        Channels that are dead are left out; of channels that cancel each other the loudest is taken. The log says so.

        Args:
            first: the stretch's first sample.
            end: the sample after its last; None: all that there is.

        Raises:
            UnusableAudio: it lacks the stretch, is damaged, or is cut off.
        """
        if end is not None and first >= self.length:
            raise UnusableAudio(f"{self.path} has no sample {first}: it has {self.length}, counted from 0", "too short")
        samples = Samples()
        begin = 0  # of a part
        for stream in self._streams:
            is_last = stream is self._streams[-1]
            stop = None if is_last else stream.length
            if stop is None or first < begin + stop:
                stream.read(samples, max(0, first - begin), None if end is None else end - begin)
            if stop is None or (end is not None and end <= begin + stop):
                break
            begin += stop
        if end is not None and samples.count < end - first:
            raise cut_off(self.path, f"it has {samples.count} of the {end - first} samples from {first} on")
        return samples.taken()


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a file, or a stretch of one ("rec.flac[16000:47999]"): (samples,) float32, one channel, and its rate in Hz.

    Raises:
        UnusableAudio: as Recording says.
        ValueError: the stretch ends before it begins.
    """
    name, first, end = split_range(str(path))
    with Recording(name) as recording:
        return recording.read(first, end), recording.rate


def length(path: str | Path) -> int:
    """Samples of a file or a stretch of one, by what its container says, which is checked; decoded, where that says
    nothing.

    Raises:
        UnusableAudio, ValueError: as `read`.
    """
    name, first, end = split_range(str(path))
    with Recording(name) as recording:
        return recording.length - first if end is None else min(end, recording.length) - first


def check_rate(rate: float, name: str) -> None:
    """Raise UnusableAudio if no audio has this sampling rate in Hz."""
    is_number = isinstance(rate, Real)
    if not (is_number and LOWEST_RATE <= rate <= HIGHEST_RATE):
        shown = rate if is_number else repr(rate)
        sentence = f"{name} has a sampling rate of {shown} Hz; it must be a number from {LOWEST_RATE} to {HIGHEST_RATE}"
        raise UnusableAudio(sentence, "sampling rate")


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Floating point (samples,) at `rate` Hz -> the same at `new_rate` Hz."""
    return samples if rate == new_rate else soxr.resample(samples, rate, new_rate)
