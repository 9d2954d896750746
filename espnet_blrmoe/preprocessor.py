"""ESPnet's preprocessor plus the language label of an utterance and the augmentation of its audio."""

from zlib import crc32

import numpy as np
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_blrmoe import audio
from espnet_blrmoe.conditions import Augmentation

LABEL_PADDING = -1


def encode_label(language: str) -> np.ndarray:
    """A language code as an array, which is what ESPnet's loaders carry: its characters' code points, (L,) int64.

    So the label itself says which language it is, and no second list of languages has to agree in its order
    with the encoder's.
    """
    return np.array([ord(character) for character in language], dtype=np.int64)


def decode_label(label: list[int]) -> str:
    """The language code of one row of a collated batch, padded with LABEL_PADDING."""
    return "".join(chr(character) for character in label if character != LABEL_PADDING)


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
        augmentation: options of espnet_blrmoe.conditions.Augmentation, drawn anew whenever an utterance is read in
            training; needs ESPnet's `fs`, the sampling rate. None: the audio stays as it is.
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
