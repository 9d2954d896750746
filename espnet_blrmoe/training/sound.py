"""ESPnet's data type `sound`, for stretches of recordings too: "rec.flac[16000:47999]" in wav.scp.

The range is Kaldi's: first and last sample. A stretch is read from its place in the file; nothing has to be cut out
beforehand.
"""

import numpy as np
import soundfile

from espnet_blrmoe.espnet_internals import (
    AdapterForSoundScpReader,
    SoundScpReader,
    replace_sound_readers,
    soundfile_read,
)
from espnet_blrmoe.recordings import split_range


def read_stretches() -> None:
    """Let ESPnet's data type `sound` read stretches, in this process; again is harmless."""
    replace_sound_readers(sound_loader, read_sound)


class StretchScpReader(SoundScpReader):
    """Reads a wav.scp whose paths may have ranges; (rate, float (samples,)) by utterance."""

    def __getitem__(self, key: str) -> tuple[int, np.ndarray]:
        file, first, end = split_range(self.data[key])
        if end is None:
            return super().__getitem__(key)
        samples, rate = soundfile_read(file, dtype=self.dtype, always_2d=self.always_2d, start=first, end=end)
        return rate, samples


def sound_loader(path, float_dtype=None, allow_multi_rates=False) -> AdapterForSoundScpReader:
    """What ESPnet's loader of the same name does, with ranges."""
    reader = StretchScpReader(path, always_2d=False, dtype=float_dtype)
    return AdapterForSoundScpReader(reader, allow_multi_rates=allow_multi_rates)


def read_sound(path: str | None) -> np.ndarray | None:
    """What ESPnet's iterable data set does with a path, with ranges: float64 (samples,); ESPnet 202611 has None for a
    recording that is missing."""
    if path is None:
        return None
    file, first, end = split_range(path)
    return soundfile.read(file, start=first, stop=end)[0]
