"""Recordings in which the language changes: `test_mixed`, which the default corpus has with --test_mixed N.

A recording has two to four sentences, in turn of two languages, all by the same voice, one of those of test_in. Between
them are 0 to 1 s of room tone, besides the silence that eSpeak NG leaves around a sentence. All pairs of languages are
there alike often, in both orders. No sentence is in the rest of the corpus. The same options give the same samples.
"""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from shared.kaldi_tables import UserError

from corpora.espeak import audio_folder, synthesis
from corpora.espeak.recordings import MARGIN, PEAK, RATE, ROOM_TONE, SETS
from corpora.espeak.sentences import grammar, sentences
from espnet_blrmoe.audio import extent

NAME = "test_mixed"
SENTENCES = (2, 4)  # of a recording
PAUSE = (0.0, 1.0)  # seconds


@dataclass(frozen=True)
class Sentence:
    """What is said in one language.

    Attributes:
        language: code.
        text: normalised.
        speed: words per minute.
        pause: seconds of room tone behind it.
    """

    language: str
    text: str
    speed: int
    pause: float


@dataclass(frozen=True)
class MixedRecording:
    """A recording to synthesise; `variant` is eSpeak's voice, `pitch` its pitch, `seed` draws the room tone."""

    id: str
    variant: str
    pitch: int
    sentences: list[Sentence]
    seed: int

    @property
    def language(self) -> str:
        """The one that it begins with."""
        return self.sentences[0].language

    @property
    def text(self) -> str:
        return " ".join(s.text for s in self.sentences)

    @property
    def domain(self) -> str:
        return "mixed"

    @property
    def speaker(self) -> str:
        return f"mixed-{self.variant}"

    @property
    def file(self) -> str:
        return f"{self.id}.wav"


def make(folder: Path, langs: list[str], recordings: int | None, said: set[str], nj: int, seed: int = 0) -> None:
    """Make the audio and the table test_mixed.jsonl in a folder, unless it holds the same; whole or not at all.

    Args:
        folder: for wav files and the table of clips.
        langs: language codes.
        recordings: how many; None: the folder is removed.
        said: sentences of the rest of the corpus.
        nj: processes.
        seed: of sentences, voices and pauses.

    Raises:
        UserError: the number is not positive, or there is only one language.
    """
    if recordings is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    if recordings < 1 or len(langs) < 2:
        raise UserError("--test_mixed must be positive, and needs several languages")
    audio_folder.make(folder, {NAME: list(plan(langs, recordings, said, seed))}, write_recording, nj)


def plan(langs: list[str], recordings: int, said: set[str], seed: int) -> Iterator[MixedRecording]:
    """Decide who says what in which languages."""
    draw = random.Random(f"{NAME} {seed}")
    texts = {code: (text for text in sentences(code, seed + 1) if text not in said) for code in langs}
    pairs, voices = list(permutations(langs, 2)), list(SETS["test_in"].variants)
    draw.shuffle(pairs)
    draw.shuffle(voices)
    for i in range(recordings):
        pair, variant = pairs[i % len(pairs)], voices[i % len(voices)]
        in_turn = [pair[n % 2] for n in range(draw.randint(*SENTENCES))]
        yield MixedRecording(
            id=f"mixed-{variant}-{NAME}-{i:05d}",
            variant=variant,
            pitch=draw.randint(*SETS["test_in"].pitch),
            sentences=[Sentence(code, next(texts[code]), draw.randint(*SETS["test_in"].speed), draw.uniform(*PAUSE))
                       for code in in_turn],
            seed=draw.getrandbits(32),
        )


def speak(recording: MixedRecording) -> tuple[np.ndarray, list[tuple[float, float, str, str]]]:
    """Synthesise a recording: float32 (samples,) at RATE, and its timeline as `corpora.Clip` has it."""
    parts, timeline = [np.zeros(int(MARGIN * RATE), np.float32)], []
    for s in recording.sentences:
        spoken = synthesis.synthesise(s.text, grammar(s.language).voice, recording.variant, s.speed, recording.pitch)
        spoken = soxr.resample(spoken, synthesis.RATE, RATE)
        before = sum(map(len, parts)) / RATE
        start, end = (round(before + seconds, 3) for seconds in extent(torch.from_numpy(spoken), RATE))
        timeline.append((start, end, s.language, s.text))
        parts += [PEAK / np.abs(spoken).max() * spoken, np.zeros(int(s.pause * RATE), np.float32)]
    parts[-1] = parts[0]  # behind the last sentence
    audio = np.concatenate(parts)
    rng = np.random.default_rng(recording.seed)
    return audio + ROOM_TONE * rng.standard_normal(len(audio), dtype=np.float32), timeline


def write_recording(recording: MixedRecording, folder: Path) -> dict:
    """Synthesise into a wav file below the folder; returns the clip's other language and its timeline."""
    audio, timeline = speak(recording)
    soundfile.write(folder / recording.file, audio, RATE, subtype="PCM_16")
    return {"other_language": recording.sentences[1].language, "timeline": timeline}
