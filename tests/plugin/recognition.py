"""Speech for a recogniser of the tiny model, and what two of its results have in common."""

import itertools

import pytest
from tiny import (
    LANGUAGES,
    speech_of,
)

from espnet_blrmoe import Transcript

BEST_PATH = {"beam_size": 1, "ctc_weight": 1.0}
BEAM_SEARCH = {"beam_size": 2, "ctc_weight": 1.0}
SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0, 0.9))]
SUBSETS = [list(codes) for n in (1, 2, 3) for codes in itertools.combinations(LANGUAGES, n)]


def assert_same(transcript: Transcript, other: Transcript) -> None:
    for attribute in ("text", "language", "timeline", "frames"):
        assert getattr(transcript, attribute) == getattr(other, attribute)
    assert transcript.language_probability == pytest.approx(other.language_probability, abs=1e-5)
