"""ESPnet's preprocessor plus the language label of an utterance, the augmentation of its audio, and joined speech."""

from zlib import crc32

import numpy as np
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_blrmoe import audio
from espnet_blrmoe.languages import LanguageStretch, encode_label, parse_label
from espnet_blrmoe.training.conditions import Augmentation
from espnet_blrmoe.training.joining import join_audio, read_joined_id
from espnet_blrmoe.writing import join_texts


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

    What is to be joined (espnet_blrmoe.training.joining) comes as tuples of audio, texts and labels. Each part is
    augmented by itself; what ESPnet does to audio (rir_scp, noise_scp, ...) it does to the whole.

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

    def __call__(self, uid: str, data: dict[str, str | np.ndarray | tuple]) -> dict[str, np.ndarray]:
        label, speech = data.pop("lid", None), data.get(self.speech_name)
        if isinstance(speech, tuple):
            label = self._join(uid, data, label)
        elif speech is not None:
            data[self.speech_name] = self._hear(uid, speech)
        data = super().__call__(uid, data)
        if label is not None:
            data["lid"] = encode_label(label.strip() if isinstance(label, str) else label)
        return data

    def _join(
        self, uid: str, data: dict[str, str | np.ndarray | tuple], labels: tuple[str, ...]
    ) -> list[LanguageStretch]:
        """Join the audio and, if there are any, the texts in `data`, and the labels."""
        utterances, pauses = read_joined_id(uid)
        parts = [self._hear(*part) for part in zip(utterances, data[self.speech_name], strict=True)]
        data[self.speech_name], places = join_audio(parts, pauses, self._generator(uid))
        if self.text_name in data:
            data[self.text_name] = join_texts(text.strip() for text in data[self.text_name])
        own = zip(map(parse_label, labels), places, strict=True)
        return [stretch.within(*place) for stretches, place in own for stretch in stretches]

    def _hear(self, uid: str, speech: str | np.ndarray) -> np.ndarray:
        """An utterance's audio, loaded and augmented."""
        audio = load(uid, speech, self.fs) if isinstance(speech, str) else speech
        return audio if self.augment is None else self.augment(audio, self._generator(uid))

    def _generator(self, uid: str) -> np.random.Generator:
        """What draws for an utterance; ESPnet seeds NumPy's global generator in every process that reads data."""
        return np.random.default_rng(crc32(uid.encode()) if self.repeatable else np.random.randint(2**31))
