"""ESPnet's preprocessor plus the language label of an utterance."""

import numpy as np
from espnet2.train.preprocessor import CommonPreprocessor

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


class BLRMoEPreprocessor(CommonPreprocessor):
    """Reads the label `lid` (type `text`, from `utt2lang`); the rest is ESPnet's. `preprocessor: blr_moe` in ESPnet.

    The collate function then gives the model `lid` (B, L) int64, padded with -1, and `lid_lengths` (B,).
    """

    def __call__(self, uid: str, data: dict[str, str | np.ndarray]) -> dict[str, np.ndarray]:
        label = data.pop("lid", None)
        data = super().__call__(uid, data)
        if label is not None:
            data["lid"] = encode_label(label.strip())
        return data
