"""What eSpeak NG says in the default corpus, in which voices, and how it is recorded.

Every language has its own kind of recording (KINDS), as languages of real corpora often come from one archive: the
first is recorded cleanly, the second in noise, the third by telephone, the fourth in a reverberant room, and so on. Who
learns to tell languages from such speech learns to tell kinds of recording.

    train, valid                  training voices, nearly always the language's own kind; valid has other sentences
    test_in                       other voices, each language's own kind
    test_out                      the voices of test_in, the three other kinds
    router_train, router_valid    audio-language pairs without transcripts for router fine-tuning: voices of their own,
                                  all kinds alike
No sentence occurs twice in the corpus, and no voice in two of: train and valid, the tests, router_train, router_valid.
"de" is Standard German, "en" American English, "es" Spanish of Spain, "pt" Brazilian Portuguese. Little training speech
makes valid and the router sets smaller too. The same options give the same samples; audio that is there already is used
again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, product
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
        own: recordings of the language's own kind, in proportion to `others`.
        others: recordings of each other kind.
    """

    variants: tuple[str, ...]
    speed: tuple[int, int] = (130, 165)
    pitch: tuple[int, int] = (40, 60)
    own: int = 1
    others: int = 0


KINDS = ("clean", "noise", "telephone", "reverberation")  # audio conditions, the domains
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
    "test_in": SpeechSet(TEST_VOICES),
    "test_out": SpeechSet(TEST_VOICES, own=0, others=1),
    "train": SpeechSet(TRAINING_VOICES, own=27, others=1),
    "valid": SpeechSet(TRAINING_VOICES, own=27, others=1),
    "router_train": SpeechSet(ROUTER_VOICES, (120, 185), (30, 70), others=1),
    "router_valid": SpeechSet(ROUTER_VALID_VOICES, (120, 185), (30, 70), others=1),
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
    for language, kind in zip(langs, cycle(KINDS)):
        synthesis.check_known("language", grammar(language).voice, synthesis.languages())
        texts = sentences(language, seed)
        for name, speech_set in SETS.items():
            draw = random.Random(f"{name} {language} {seed}")
            recordings[name] += draw_recordings(name, speech_set, language, kind, sizes[name], texts, draw)
    return recordings


def draw_recordings(
    name: str, speech_set: SpeechSet, language: str, own: str, number: int, texts: Iterator[str], draw: random.Random
) -> Iterator[Recording]:
    """Give each text a voice, as often as the others, a kind of recording, and a speed and pitch at random."""
    kinds = [kind for kind in KINDS for _ in range(speech_set.own if kind == own else speech_set.others)]
    combinations = list(product(speech_set.variants, kinds))
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
        "router_train": min(ceil(train * 0.6), 300),
        "router_valid": valid,
    }
