"""Decoding: what soundfile reads of a part of a file, in one channel, counted."""

import logging
from functools import cached_property

import numpy as np
import soundfile

from espnet_blrmoe.recordings.channels import channels_to_average, said_of_channels
from espnet_blrmoe.recordings.parts import Part
from espnet_blrmoe.recordings.unusable import cut_off, damaged, unreadable

BLOCK = 2**20  # samples that are read at once
SMALL_BLOCK = 2**16  # the same, of all channels together, and at the start of a file of unknown length
UNKNOWN = 2**62  # frames; libsndfile's number where it does not know is larger
LOG = logging.getLogger(__name__)


class Samples:
    """float32 samples that become more; there is never a second copy of them."""

    def __init__(self) -> None:
        self._array = np.empty(0, np.float32)
        self.count = 0

    def room(self, size: int) -> np.ndarray:
        """Where the next samples belong; those that are written there are to be added to `count`."""
        if not self.count:
            self._array = np.empty(size, np.float32)
        elif self.count + size > len(self._array):
            self._array.resize(self.count + size, refcheck=False)  # moves pages, not their contents
        return self._array[self.count : self.count + size]

    def since(self, begin: int) -> np.ndarray:
        """Those from a place on."""
        return self._array[begin : self.count]

    def taken(self) -> np.ndarray:
        """All of them."""
        if self.count < len(self._array):
            self._array.resize(self.count, refcheck=False)
        return self._array


class Sound(soundfile.SoundFile):
    """soundfile's file without the seeks that it adds to every read: not all files can be seeked, or at their end."""

    def seekable(self) -> bool:
        return False


class Stream:
    """A part of a recording: its samples, in one channel.

    Args:
        file: descriptor of the recording's file.
        part: what of it.
        path: its name in sentences.

    Attributes:
        sound: soundfile's file.
        channels: its channels.
        frames: its samples, as soundfile says.
        is_plain: soundfile by itself reads it rightly, as far as it has been read.

    Raises:
        UnusableAudio: soundfile does not read it.
    """

    def __init__(self, file: int, part: Part, path: str):
        self._file, self._part, self._path = file, part, path
        self._open()
        if part.instead is not None and self.frames < part.least:
            self.sound.close()
            self._part = part.instead
            self._open()
        self.is_plain = self._part.is_plain and self.frames == self.sound.frames

    def _open(self) -> None:
        try:
            self.sound = Sound(self._part.source(self._file), closefd=False)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise unreadable(self._path) from error
        self.channels, most = self.sound.channels, self._part.most
        self.frames = self.sound.frames if most is None else min(self.sound.frames, most)
        self._at = 0

    @cached_property
    def length(self) -> int:
        """Samples, decoded where soundfile does not know; not less than the container says."""
        announced = self._part.length
        if self.frames > UNKNOWN:
            self._go_to(UNKNOWN)
            return max(self._at, announced or 0)
        return self.frames if announced is None else announced

    def read(self, samples: Samples, first: int, end: int | None) -> None:
        """Add its samples from `first` to `end`, or to its own end, which must not come too early.

        Raises:
            UnusableAudio: it is damaged or cut off.
        """
        begin, channels = samples.count, self.channels
        powers = self._add(samples, first, end, np.full(channels, 1 / channels, np.float32))
        if end is None:
            self._check_end()
        if channels == 1:
            return
        mean = samples.since(begin)
        chosen = channels_to_average(powers, float(mean @ mean))
        if len(chosen) < channels:
            LOG.warning(said_of_channels(self._path, chosen, channels))
            samples.count = begin
            weights = np.zeros(channels, np.float32)
            weights[chosen] = 1 / len(chosen)
            self._add(samples, first, end, weights)

    def _add(self, samples: Samples, first: int, end: int | None, weights: np.ndarray) -> np.ndarray:
        """Add weighted sums of the channels, block by block: all channels of a long recording need not fit into memory.

        Returns:
            (channels,) float64: the sum of the squares of each; of a single channel, 0.
        """
        self._go_to(first)
        powers = np.zeros(len(weights))
        while wanted := self._next_block(end):
            room = samples.room(wanted)
            if len(weights) == 1:
                read = len(self._decode(room))
            else:
                block = self._decode(np.empty((wanted, len(weights)), np.float32))
                read = len(block)
                np.matmul(block, weights, out=room[:read])
                powers += np.einsum("ij,ij->j", block, block)
            samples.count += read
            if not read:
                break
        return powers

    def _next_block(self, end: int | None) -> int:
        """Frames to read next; none at the end."""
        length = self._part.length
        stop = self.frames if end is None else min(end, self.frames)
        if length is not None and self._at < length:  # what comes behind may be no audio, and break off the block
            stop = min(stop, length)
        most = BLOCK if self.frames < UNKNOWN else min(BLOCK, max(SMALL_BLOCK, self._at))
        if self.channels > 1:
            most = max(1, SMALL_BLOCK // self.channels)
        return max(0, min(most, stop - self._at))

    def _decode(self, out: np.ndarray) -> np.ndarray:
        """The next samples, in `out`; fewer than fit into it at the end."""
        try:
            block = self.sound.read(out=out)
        except soundfile.LibsndfileError as error:
            if self._part.length is not None and self._at >= self._part.length:
                return out[:0]
            raise damaged(self._path, "some of its samples cannot be decoded, or its end is missing") from error
        self._at += len(block)
        return block

    def _check_end(self) -> None:
        """Hold what has been decoded against what was announced."""
        announced = self.frames if self._part.length is None else self._part.length
        if self._at < announced - self._part.slack and announced < UNKNOWN:
            raise cut_off(self._path, f"it has {self._at} of the {announced} samples that it announces")
        self.is_plain &= self._at == announced

    def _go_to(self, first: int) -> None:
        """Let the next sample be `first`, or the end be reached."""
        if first == self._at:
            return
        can_seek = soundfile.SoundFile.seekable(self.sound) and first < UNKNOWN
        if self.sound.subtype == "VORBIS" or (first < self._at and not can_seek):
            self.sound.close()
            self._open()  # also for libsndfile's seeks in vorbis, which are wrong from the second one on
        if can_seek:
            self._at = self.sound.seek(first)
        while self._at < first:
            size = min(SMALL_BLOCK, first - self._at)
            if not len(self._decode(np.empty((size, self.channels), np.float32))):
                break
