"""ESPnet's data type `sound`, read as everywhere else here (docs/audio.md), and for stretches of recordings too:
"rec.flac[16000:47999]" in wav.scp.

The range is Kaldi's: first and last sample. A stretch is read from its place in the file; nothing has to be cut out
beforehand.
"""

import numpy as np

from espnet_blrmoe.espnet_internals import AdapterForSoundScpReader, SoundScpReader, replace_sound_readers
from espnet_blrmoe.recordings import recording


def read_stretches() -> None:
    """Let ESPnet's data type `sound` be read by this project's reader, in this process; again is harmless."""
    replace_sound_readers(sound_loader, read_sound)


class StretchScpReader(SoundScpReader):
    """Reads a wav.scp whose paths may have ranges; (rate, float (samples,)) by utterance."""

    def __getitem__(self, key: str) -> tuple[int, np.ndarray]:
        samples, rate = recording.read(self.data[key])
        return rate, samples.astype(self.dtype or np.float64, copy=False)


def sound_loader(path, float_dtype=None, allow_multi_rates=False) -> AdapterForSoundScpReader:
    """What ESPnet's loader of the same name does, with this project's reader."""
    reader = StretchScpReader(path, always_2d=False, dtype=float_dtype)
    return AdapterForSoundScpReader(reader, allow_multi_rates=allow_multi_rates)


def read_sound(path: str | None) -> np.ndarray | None:
    """What ESPnet's iterable data set does with a path, with this project's reader: float64 (samples,); ESPnet 202611
    has None for a recording that is missing."""
    return None if path is None else recording.read(path)[0].astype(np.float64)
