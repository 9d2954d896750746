"""Language codes: the ordered list of a model's languages, which is also the order of its experts."""

from collections.abc import Iterable, Sequence

import numpy as np

LABEL_PADDING = -1  # of a batch of labels; characters have no negative code points


def parse_languages(codes: str | Iterable[str], known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Parse "en,de" or ["en", "de"] into codes.

    Args:
        codes: language codes, as one comma-separated string or several strings.
        known: the languages of the model; None accepts every code.

    Raises:
        ValueError: no code, a code that is no string, a code twice, or one that is not among `known` (the message
            lists those).
    """
    codes = codes.split(",") if isinstance(codes, str) else list(codes)
    for code in codes:
        if not isinstance(code, str):  # YAML reads Norwegian's no as false
            raise ValueError(f"language {code!r} is no string; write the code in quotation marks, as in ['no', 'en']")
    codes = tuple(code.strip() for code in codes if code.strip())
    if not codes:
        raise ValueError("the list of languages is empty; name at least one, for example 'en,de'")
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"language {twice[0]!r} is listed twice in {','.join(codes)!r}")
    if known is not None:
        for code in codes:
            if code not in known:
                raise ValueError(f"unknown language {code!r}; this model knows {', '.join(known)}")
    return codes


def encode_label(language: str) -> np.ndarray:
    """A language code as an array, which is what ESPnet's loaders carry: its characters' code points, (L,) int64.

    So the label itself says which language it is, and no second list of languages has to agree in its order
    with the encoder's.
    """
    return np.array([ord(character) for character in language], dtype=np.int64)


def decode_label(label: list[int]) -> str:
    """The language code of one row of a collated batch, padded with LABEL_PADDING."""
    return "".join(chr(character) for character in label if character != LABEL_PADDING)
