"""Recordings in which the language changes: `test_mixed`, which the default corpus has with --test_mixed N.

A recording has two to four sentences, in turn of two languages, all by the same voice, one of those of test_in. Between
them are 0 to 1 s of room tone, besides the silence that eSpeak NG leaves around a sentence. All pairs of languages are
there alike often, in both orders. No sentence is in the rest of the corpus. The same options give the same samples.
"""

import json
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
from shared.kaldi_tables import UserError, write_table
from shared.write_data_dir import replacing
from tqdm import tqdm

from corpora.espeak import synthesis
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


def make(folder: Path, langs: list[str], recordings: int | None, said: set[str], seed: int = 0) -> None:
    """Make the audio and the table test_mixed.jsonl in a folder; it appears whole or not at all.

    Args:
        folder: for wav files and the table of clips.
        langs: language codes.
        recordings: how many; None: the folder is removed.
        said: sentences of the rest of the corpus.
        seed: of sentences, voices and pauses.

    Raises:
        UserError: the number is not positive, or there is only one language.
    """
    if recordings is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    if recordings < 1 or len(langs) < 2:
        raise UserError("--test_mixed must be positive, and needs several languages")
    with replacing(folder) as unfinished:
        clips, seconds = [], 0.0
        planned = plan(langs, recordings, said, seed)
        for r in tqdm(planned, total=recordings, desc=NAME, unit="recording", disable=None, leave=False):
            audio, timeline = speak(r)
            soundfile.write(unfinished / f"{r.id}.wav", audio, RATE, subtype="PCM_16")
            clips.append(clip_of(r, timeline))
            seconds += len(audio) / RATE
        lines = (f"{json.dumps(clip, ensure_ascii=False)}\n" for clip in clips)
        (unfinished / f"{NAME}.jsonl").write_text("".join(lines), encoding="utf-8")
        write_table(unfinished / "wav.scp", {clip["id"]: str(folder / clip["audio"]) for clip in clips})
    print(f"{folder}: {NAME} has {recordings} recordings in two languages each, {seconds / 3600:.2f} hours")


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


def clip_of(recording: MixedRecording, timeline: list[tuple[float, float, str, str]]) -> dict:
    """The fields of `corpora.Clip`. The clip's language is the one that it begins with."""
    return {"name": recording.id, "id": recording.id, "audio": f"{recording.id}.wav",
            "text": " ".join(s.text for s in recording.sentences), "language": recording.sentences[0].language,
            "other_language": recording.sentences[1].language, "speaker": f"mixed-{recording.variant}",
            "domain": "mixed", "timeline": timeline}
