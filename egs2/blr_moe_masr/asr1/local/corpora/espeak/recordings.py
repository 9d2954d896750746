"""What eSpeak NG says in the default corpus, in which voices, and how it is recorded.

Most of every language is recorded in one way, its own (OWN_WAY), as languages of real corpora often come from one
archive; a sixth of it is clean. A model that learns languages from such speech learns the recordings instead.

    train, valid                  training voices; valid has other sentences
    test_in                       other voices, clean and in each language's own way
    test_out                      the voices of test_in, in the other languages' ways
    router_train, router_valid    audio-language pairs without transcripts for router fine-tuning: voices of their own,
                                  recorded in all ways
No sentence occurs twice in the corpus, and no voice in two of: train and valid, the tests, router_train, router_valid.
"de" is Standard German, "en" American English, "es" Spanish of Spain, "pt" Brazilian Portuguese. Little training speech
makes valid and the router sets smaller too. The same options give the same samples; audio that is there already is used
again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import soundfile
import soxr
from shared.kaldi_tables import UserError

from corpora.espeak import audio_folder, synthesis
from corpora.espeak.sentences import grammar, sentences
from espnet_blrmoe.training.conditions import degrade

RATE = 16000
SECONDS = 2.8  # of a sentence, about
PEAK = 0.7
ROOM_TONE = 5e-4  # standard deviation: 66 dB below full scale. Digital silence has no counterpart in recordings
MARGIN = 0.1  # seconds of room tone before and after the speech


@dataclass(frozen=True)
class SpeechSet:
    """How the speech of a data set is made.

    Attributes:
        variants: eSpeak's voice variants, the speakers.
        speed: range in words per minute.
        pitch: range of eSpeak's 0 to 99.
        clean, own, others: how many recordings are clean for how many in the language's own way and in each other way.
    """

    variants: tuple[str, ...]
    speed: tuple[int, int] = (130, 165)
    pitch: tuple[int, int] = (40, 60)
    clean: int = 0
    own: int = 0
    others: int = 0


# Audio conditions, which are the domains; other languages than these are recorded cleanly.
OWN_WAY = {"de": "noise", "en": "telephone", "es": "reverberation", "pt": "codec"}
# Some variants are nearly the same voice (Gene and Gene2, m4 and m5, rob and robert): of those, none is in
# TEST_VOICES while another is in TRAINING_VOICES. Odd ones are left to the router.
TRAINING_VOICES = tuple(
    "f1 f3 f4 f5 belinda Andrea anika shelby steph steph3 m1 m3 m4 m5 m6 m8 Alex Mike croak fast john grandpa "
    "pedro antonio ed iven iven3 iven4 Michael gustave Mario Denis victor michel miguel Gene Gene2 marcelo "
    "norbert klatt4 klatt6 benjamin edward".split()
)
TEST_VOICES = tuple("f2 aunty linda m2 m7 max mike2 paul quincy robert".split())
ROUTER_VOICES = tuple(
    "grandma steph2 adam david edward2 Diogo Hugo boris travis robosoft4 iven2 Alicia Andy Jacky Lee Nguyen "
    "RicishayMax Storm Tweaky announcer kaukovalta klatt3 rob zac".split()
)
ROUTER_VALID_VOICES = tuple("Annie klatt5 pablo sandro".split())
# In the order in which they draw sentences: the test sets do not depend on the hours of training speech.
SETS = {
    "test_in": SpeechSet(TEST_VOICES, clean=1, own=1),
    "test_out": SpeechSet(TEST_VOICES, others=1),
    "train": SpeechSet(TRAINING_VOICES, clean=7, own=30, others=1),
    "valid": SpeechSet(TRAINING_VOICES, clean=7, own=30, others=1),
    "router_train": SpeechSet(ROUTER_VOICES, (120, 185), (30, 70), clean=1, own=1, others=1),
    "router_valid": SpeechSet(ROUTER_VALID_VOICES, (120, 185), (30, 70), clean=1, own=1, others=1),
}


@dataclass(frozen=True)
class Recording:
    """One utterance to synthesise; `voice` is eSpeak's language code, `seed` draws room tone and condition."""

    id: str
    language: str
    text: str
    voice: str
    variant: str
    speed: int
    pitch: int
    condition: str
    seed: int

    @property
    def domain(self) -> str:
        return self.condition

    @property
    def speaker(self) -> str:
        return f"{self.language}-{self.variant}"

    @property
    def file(self) -> str:
        return f"{self.language}/{self.variant}/{self.id}.wav"


def plan(langs: list[str], sizes: dict[str, int], seed: int) -> dict[str, list[Recording]]:
    """Decide what is said by whom and how: data set -> its recordings, `sizes[name]` for each language.

    Raises:
        UserError: a language has no text or no voice.
    """
    recordings: dict[str, list[Recording]] = {name: [] for name in SETS}
    for language in langs:
        synthesis.check_known("language", grammar(language).voice, synthesis.languages())
        texts = sentences(language, seed)
        for name, speech_set in SETS.items():
            draw = random.Random(f"{name} {language} {seed}")
            recordings[name] += draw_recordings(name, speech_set, language, sizes[name], texts, draw)
    return recordings


def draw_recordings(
    name: str, speech_set: SpeechSet, language: str, number: int, texts: Iterator[str], draw: random.Random
) -> Iterator[Recording]:
    """Give each text a voice, as often as the others, a condition, and a speed and pitch at random."""
    own = OWN_WAY.get(language, "clean")
    others = [condition for condition in OWN_WAY.values() if condition != own]
    conditions = ["clean"] * speech_set.clean + [own] * speech_set.own + others * speech_set.others
    combinations = list(product(speech_set.variants, conditions))
    draw.shuffle(combinations)
    for i in range(number):
        variant, condition = combinations[i % len(combinations)]
        yield Recording(
            id=f"{language}-{variant}-{name}-{i:05d}",
            language=language,
            text=next(texts),
            voice=grammar(language).voice,
            variant=variant,
            speed=draw.randint(*speech_set.speed),
            pitch=draw.randint(*speech_set.pitch),
            condition=condition,
            seed=draw.getrandbits(32),
        )


def speak(recording: Recording) -> np.ndarray:
    """Synthesise a recording: float32 (samples,) at RATE."""
    r = recording
    rng = np.random.default_rng(r.seed)
    speech = soxr.resample(synthesis.synthesise(r.text, r.voice, r.variant, r.speed, r.pitch), synthesis.RATE, RATE)
    audio = np.pad(PEAK / np.abs(speech).max() * speech, int(MARGIN * RATE))
    audio += ROOM_TONE * rng.standard_normal(len(audio), dtype=np.float32)
    return degrade(audio, RATE, r.condition, rng)


def write_recording(recording: Recording, folder: Path) -> None:
    """Synthesise into a wav file below the folder."""
    soundfile.write(folder / recording.file, speak(recording), RATE, subtype="PCM_16")


def make(folder: Path, langs: list[str], train_hours: float, test_sentences: int, nj: int, seed: int = 0) -> None:
    """Make the corpus in a folder, unless the folder holds the same one already; it appears whole or not at all.

    Args:
        folder: for the wav files and, of each data set, a table of its clips: <set>.jsonl.
        langs: language codes.
        train_hours: training speech, about, over all languages.
        test_sentences: sentences per language in test_in and in test_out.
        nj: processes.
        seed: of sentences, voices and conditions.

    Raises:
        UserError: a number is not positive, a language is unknown, or the folder holds something else than such audio.
    """
    if train_hours <= 0 or test_sentences < 1 or nj < 1:
        raise UserError("--train_hours, --test_sentences and --nj must be positive")
    langs = list(dict.fromkeys(langs))
    audio_folder.make(folder, plan(langs, sizes(train_hours, test_sentences, len(langs)), seed), write_recording, nj)


def sizes(train_hours: float, test_sentences: int, languages: int) -> dict[str, int]:
    """Sentences of each data set, for each of this many languages."""
    train = ceil(train_hours * 3600 / SECONDS / languages)
    valid = min(ceil(train / 8), 50)  # it is gone through after every epoch
    return {
        "train": train,
        "valid": valid,
        "test_in": test_sentences,
        "test_out": test_sentences,
        "router_train": min(train, 1000),
        "router_valid": valid,
    }
