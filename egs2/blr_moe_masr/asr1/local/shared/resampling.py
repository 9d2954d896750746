"""Bootstrap over the utterances of a test set: what is measured on the same ones is resampled alike, and so paired."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 1000
SEED = 0


def draws(utterances: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """The indices (utterances,) of each of RESAMPLES resamples; another seed for what must not be paired."""
    rng = np.random.default_rng(seed)
    return (rng.integers(utterances, size=utterances) for _ in range(RESAMPLES))


def interval(resampled: np.ndarray) -> list[float]:
    """95 % percentile interval [low, high] of resampled values."""
    return np.percentile(resampled, [2.5, 97.5]).tolist()
