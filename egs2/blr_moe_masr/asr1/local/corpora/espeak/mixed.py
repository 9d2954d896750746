"""Recordings in which the language changes: `test_mixed`, which the default corpus has with --test_mixed N.

A recording has two to four sentences, all by the same voice, one of those of test_in. In half of the recordings they
alternate between two languages. In the other half, all are in one language, and each has a phrase in the other, where
the grammars of both have such phrases. Between sentences are 0 to 1 s of room tone, besides the silence that eSpeak NG
leaves around one; within a sentence there is none. All pairs of languages are there alike often, in both orders. No
sentence is in the rest of the corpus. The same options give the same samples.
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
from shared.code_switching import split_at_marks
from shared.kaldi_tables import UserError
from shared.text_normalization import normalise

from corpora.espeak import audio_folder, synthesis
from corpora.espeak.recordings import MARGIN, PEAK, RATE, ROOM_TONE, SETS
from corpora.espeak.sentences import common_phrases, grammar, mixed_sentences, sentences
from espnet_blrmoe.audio import extent

NAME = "test_mixed"
SENTENCES = (2, 4)  # of a recording
PAUSE = (0.0, 1.0)  # seconds


@dataclass(frozen=True)
class Passage:
    """What is said in one language, a sentence or a part of one.

    Attributes:
        language: code.
        text: normalised.
        speed: words per minute.
        pause: seconds of room tone behind it; None: the sentence goes on in the other language.
    """

    language: str
    text: str
    speed: int
    pause: float | None


@dataclass(frozen=True)
class MixedRecording:
    """A recording to synthesise; `variant` is eSpeak's voice, `pitch` its pitch, `seed` draws the room tone."""

    id: str
    variant: str
    pitch: int
    passages: list[Passage]
    seed: int

    @property
    def language(self) -> str:
        """The one that it begins with."""
        return self.passages[0].language

    @property
    def other_language(self) -> str:
        return next(s.language for s in self.passages if s.language != self.language)

    @property
    def text(self) -> str:
        return " ".join(s.text for s in self.passages)

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
    mixed_texts = {pair: mixed_sentences(*pair, seed + 1) for pair in pairs}
    changes_within = [n % 2 == 1 for n in range(recordings)]
    for drawn in (pairs, voices, changes_within):
        draw.shuffle(drawn)
    for i in range(recordings):
        pair, variant = pairs[i % len(pairs)], voices[i % len(voices)]
        within = changes_within[i] and common_phrases(*pair)
        passages: list[Passage] = []
        for n in range(draw.randint(*SENTENCES)):
            code = pair[n % 2]
            parts = split_sentence(next(mixed_texts[pair]), pair) if within else [(code, next(texts[code]))]
            speed, pause = draw.randint(*SETS["test_in"].speed), draw.uniform(*PAUSE)
            passages += [Passage(*part, speed, pause=None) for part in parts[:-1]]
            passages.append(Passage(*parts[-1], speed, pause))
        yield MixedRecording(
            id=f"mixed-{variant}-{NAME}-{i:05d}",
            variant=variant,
            pitch=draw.randint(*SETS["test_in"].pitch),
            passages=passages,
            seed=draw.getrandbits(32),
        )


def split_sentence(sentence: str, languages: tuple[str, str]) -> list[tuple[str, str]]:
    """The parts of a sentence with marks, in time order, each with its language and normalised."""
    parts = [(code, normalise(part, code)) for code, part in split_at_marks(sentence, languages)]
    return [(code, part) for code, part in parts if part]


def speak(recording: MixedRecording) -> tuple[np.ndarray, list[tuple[float, float, str, str]]]:
    """Synthesise a recording: float32 (samples,) at RATE, and its timeline as `corpora.Clip` has it."""
    parts, timeline = [np.zeros(int(MARGIN * RATE), np.float32)], []
    goes_on = False  # whether the sentence before does
    for s in recording.passages:
        spoken = synthesis.synthesise(s.text, grammar(s.language).voice, recording.variant, s.speed, recording.pitch)
        spoken = soxr.resample(spoken, synthesis.RATE, RATE)
        first, end = (round(seconds * RATE) for seconds in extent(torch.from_numpy(spoken), RATE))
        begin, goes_on = first if goes_on else 0, s.pause is None
        before = sum(map(len, parts)) - begin
        timeline.append((round((before + first) / RATE, 3), round((before + end) / RATE, 3), s.language, s.text))
        parts += [PEAK / np.abs(spoken).max() * spoken[begin : end if goes_on else None],
                  np.zeros(int((s.pause or 0) * RATE), np.float32)]
    parts[-1] = parts[0]  # behind the last sentence
    audio = np.concatenate(parts)
    rng = np.random.default_rng(recording.seed)
    return audio + ROOM_TONE * rng.standard_normal(len(audio), dtype=np.float32), timeline


def write_recording(recording: MixedRecording, folder: Path) -> dict:
    """Synthesise into a wav file below the folder; returns the clip's other language and its timeline."""
    audio, timeline = speak(recording)
    soundfile.write(folder / recording.file, audio, RATE, subtype="PCM_16")
    return {"other_language": recording.other_language, "timeline": timeline}
