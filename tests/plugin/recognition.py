"""Speech for a recogniser of the tiny model, and what two of its results have in common."""

import itertools
import json
from pathlib import Path

import pytest
import soundfile
from tiny import (
    LANGUAGES,
    speech_of,
)

from espnet_blrmoe import Speech2Text, Transcript

BEST_PATH = {"beam_size": 1, "ctc_weight": 1.0}
BEAM_SEARCH = {"beam_size": 2, "ctc_weight": 1.0}
SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0, 0.9))]
SUBSETS = [list(codes) for n in (1, 2, 3) for codes in itertools.combinations(LANGUAGES, n)]


def assert_same(transcript: Transcript, other: Transcript) -> None:
    for attribute in ("text", "language", "timeline", "frames"):
        assert getattr(transcript, attribute) == getattr(other, attribute)
    assert transcript.language_probability == pytest.approx(other.language_probability, abs=1e-5)


def read_table(path: Path) -> dict[str, str]:
    """A table of results, by utterance."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {key: value for key, _, value in (line.partition(" ") for line in lines)}


def expect_results(folder: Path, speech2text: Speech2Text, recordings: Path, allowed: list[str | None]) -> None:
    """The files hold what the recogniser finds in every recording."""
    names = ("text", "token", "score", "lang", "timeline", "expert_frames")
    tables = {name: read_table(folder / name) for name in names}
    for n, languages in enumerate(allowed):
        speech, _ = soundfile.read(recordings / f"utt{n}.wav")
        transcript = speech2text(speech, languages)
        row = {name: table[f"utt{n}"] for name, table in tables.items()}
        assert row["text"] == transcript.text
        assert row["token"] == " ".join(transcript.hypotheses[0][1])
        language, probability = row["lang"].split()
        assert language == transcript.language
        assert float(probability) == pytest.approx(transcript.language_probability, abs=1e-4)
        assert json.loads(row["timeline"]) == [[s.start, s.end, s.language] for s in transcript.timeline]
        assert row["expert_frames"] == " ".join(f"{code}:{frames}" for code, frames in transcript.frames.items())
