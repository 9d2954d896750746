"""ESPnet's preprocessor plus the language label of an utterance and the augmentation of its audio."""

from zlib import crc32

import numpy as np
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_blrmoe import audio
from espnet_blrmoe.languages import encode_label
from espnet_blrmoe.training.conditions import Augmentation


def load(uid: str, path: str, fs: int) -> np.ndarray:
    """An utterance's audio file -> (samples,) float32, one channel at `fs` Hz.

    Raises:
        ValueError: the audio is unusable; names the utterance and the file.
    """
    try:
        return audio.load(path, fs).numpy()
    except ValueError as error:
        raise ValueError(f"utterance {uid}: {error}") from error


class BLRMoEPreprocessor(CommonPreprocessor):
    """Reads the label `lid` (type `text`, from `utt2lang`), augments the audio in training; the rest is ESPnet's.

    Audio may come as its path (type `text`): then it is read as one channel at the sampling rate `fs`.

    `preprocessor: blr_moe` in ESPnet. The collate function then gives the model `lid` (B, L) int64, padded with -1, and
    `lid_lengths` (B,).

    Args:
        augmentation: options of espnet_blrmoe.training.conditions.Augmentation, drawn again whenever an utterance is
            read in training; needs ESPnet's `fs`, the sampling rate. None: the audio stays as it is.
        repeatable: draw by the utterance's id instead, so that it is the same every time, for validation.
        Others: CommonPreprocessor's.

    Raises:
        ValueError: an option of the augmentation does not exist, or `fs` is missing.
    """

    def __init__(self, *args, augmentation: dict | None = None, repeatable: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.repeatable = repeatable
        self.augment = None
        if self.train and augmentation:
            if not self.fs:
                raise ValueError("preprocessor_conf: augmentation needs fs, the sampling rate, for example fs: 16000")
            try:
                self.augment = Augmentation(self.fs, **augmentation)
            except TypeError as error:  # an option that does not exist
                raise ValueError(f"preprocessor_conf: {error}") from error

    def __call__(self, uid: str, data: dict[str, str | np.ndarray]) -> dict[str, np.ndarray]:
        label = data.pop("lid", None)
        if isinstance(data.get(self.speech_name), str):
            data[self.speech_name] = load(uid, data[self.speech_name], self.fs)
        if self.augment is not None:
            # ESPnet seeds NumPy's global generator in every process that reads data.
            seed = crc32(uid.encode()) if self.repeatable else np.random.randint(2**31)
            data[self.speech_name] = self.augment(data[self.speech_name], np.random.default_rng(seed))
        data = super().__call__(uid, data)
        if label is not None:
            data["lid"] = encode_label(label.strip())
        return data
