"""The corpus of the paper's table in miniature: six languages, four synthesisers, and domains that no training heard.

    train, valid   eSpeak NG in many voices and MBROLA in one or two a language; most of it clean, some noise, telephone
    test_in        unseen voices of eSpeak NG, clean
    test_dev       for choices: out of domain, in voices of router_train and router_valid
    test_out       by domain:
                     voices     MBROLA in voices that neither the recogniser nor the router heard
                     engine     Pico and RHVoice, which nothing heard
                     telephone  test_in's voices, in the telephone band and through codecs, which nothing heard
                     noise      the same in noise, and in rooms, which nothing heard
                     tempo      the same fast, slow, high and low
                     accent     the same in other accents of en, es, fr and pt
    router_train, router_valid   audio-language pairs of further MBROLA and eSpeak NG voices, without transcripts

A corpus of the recipe: PYTHONPATH=benchmarks egs2/blr_moe_masr/asr1/run.sh --corpus paper_table.corpus. No sentence
occurs twice. The audio is Opus, since it travels: an hour is about 7 MB.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import soundfile
from corpora import espeak
from corpora.espeak import audio_folder
from corpora.espeak.recordings import (
    MARGIN,
    PEAK,
    ROOM_TONE,
    ROUTER_VALID_VOICES,
    ROUTER_VOICES,
    SECONDS,
    TEST_VOICES,
    TRAINING_VOICES,
)
from corpora.espeak.sentences import grammar, sentences

from espnet_blrmoe.training.conditions import change_speed, degrade
from paper_table.engines import RATE, Voice, say

LAYOUT = "what `make` leaves: {train,valid,test_in,test_dev,test_out,router_train,router_valid}.jsonl and ogg files"
SPLITS = ("train", "valid", "test", "test_dev", "test_out", "router_train", "router_valid")
ASR_CONFIG = "conf/train_asr.yaml"
languages, read = espeak.languages, espeak.read
LANGUAGES = ["de", "en", "es", "fr", "it", "pt"]

# Italian has two voices of MBROLA, so its router hears none that the recogniser does not.
TRAINING_MBROLA = {"de": "de1", "en": "en1", "es": "es1", "fr": "fr1 fr2", "it": "it3", "pt": "br1"}
ROUTER_MBROLA = {"de": "de2 de3", "en": "us1", "es": "mx1", "fr": "fr3 fr4", "it": "it3", "pt": "br2"}
TEST_MBROLA = {"de": "de4 de5", "en": "us2 us3", "es": "es2 mx2", "fr": "fr5 fr6 fr7", "it": "it4", "pt": "br3 br4"}
TEST_ENGINES = {
    "de": [Voice("pico", "de-DE")],
    "en": [Voice("pico", "en-GB"), Voice("pico", "en-US"), Voice("rhvoice", "Alan"), Voice("rhvoice", "Slt")],
    "es": [Voice("pico", "es-ES")],
    "fr": [Voice("pico", "fr-FR")],
    "it": [Voice("pico", "it-IT")],
    "pt": [Voice("rhvoice", "Letícia-F123")],
}
ACCENTS = {"en": ("en-gb-scotland", "en-gb-x-rp"), "es": ("es-419",), "fr": ("fr-be", "fr-ch"), "pt": ("pt",)}
NORMAL, WIDE = (0.85, 1.15), (0.75, 1.3)  # factors of speed and of pitch
# A recogniser of clean speech alone follows no other recording, whatever its routing.
TRAINING_CONDITIONS = ("clean", "clean", "clean", "noise", "telephone")
STRETCH = (0.85, 1.2)  # of the few voices of MBROLA, played slower or faster: their formants move, too
EXTREME = ((0.7, 0.8), (1.2, 1.35))  # slow or fast, and low or high


@dataclass(frozen=True)
class Recording:
    """One utterance to synthesise; `seed` draws room tone and condition, `domain` is its label.

    `stretch` is the factor of change_speed.
    """

    id: str
    language: str
    text: str
    voice: Voice
    speed: float
    pitch: float
    stretch: float
    condition: str
    domain: str
    seed: int

    @property
    def speaker(self) -> str:
        return f"{self.language}-{self.voice.engine}-{self.voice.name}"

    @property
    def file(self) -> str:
        return f"{self.language}/{self.voice.engine}/{self.id}.ogg"


@dataclass(frozen=True)
class Part:
    """A share of a data set of one language: so many sentences, in these voices and conditions in turn."""

    domain: str
    sentences: int
    voices: list[Voice]
    factors: tuple[tuple[float, float], ...] = (NORMAL,)
    conditions: tuple[str, ...] = ("clean",)
    stretch: tuple[float, float] = (1.0, 1.0)


def make(root: Path, languages: list[str], train_hours: float | None, test_sentences: int | None, nj: int) -> None:
    """Make the corpus: by default 6 hours of training speech, and 300 sentences per language and test domain."""
    languages = languages or LANGUAGES
    data_sets = plan(languages, 6.0 if train_hours is None else train_hours, test_sentences or 300)
    audio_folder.make(root, data_sets, write_recording, nj)


def plan(languages: list[str], train_hours: float, test_sentences: int) -> dict[str, list[Recording]]:
    """Decide what is said by whom and how: data set -> its recordings."""
    recordings: dict[str, list[Recording]] = {}
    for language in languages:
        texts = sentences(language)
        train = ceil(train_hours * 3600 / SECONDS / len(languages))
        for name, parts in data_sets(language, train, test_sentences).items():
            draw = random.Random(f"{name} {language}")
            for part in parts:
                recordings.setdefault(name, []).extend(draw_recordings(name, part, language, texts, draw))
    return recordings


def data_sets(language: str, train: int, test: int) -> dict[str, list[Part]]:
    """The parts of every data set; tests come first, so that they do not depend on the hours of training speech."""

    def espeak(variants: tuple[str, ...], *codes: str) -> list[Voice]:
        return [Voice("espeak", f"{code}+{variant}") for code in codes or [own] for variant in variants]

    def mbrola(names: dict[str, str]) -> list[Voice]:
        return [Voice("mbrola", name) for name in names[language].split()]

    def out_of_domain(sentences: int, names: dict[str, str], variants: tuple[str, ...]) -> list[Part]:
        voices = espeak(variants)
        parts = [
            Part("voices", sentences, mbrola(names)),
            Part("telephone", sentences, voices, conditions=("telephone", "codec")),
            Part("noise", sentences, voices, conditions=("noise", "reverberation")),
            Part("tempo", sentences, voices, factors=EXTREME),
        ]
        accents = ACCENTS.get(language, ())
        return parts + ([Part("accent", sentences, espeak(variants, *accents))] if accents else [])

    def training(by_espeak: int, by_mbrola: int) -> list[Part]:
        return [Part("clean", by_espeak, espeak(TRAINING_VOICES), conditions=TRAINING_CONDITIONS),
                Part("clean", by_mbrola, mbrola(TRAINING_MBROLA), (WIDE,), TRAINING_CONDITIONS, STRETCH)]

    own = grammar(language).voice
    pairs, valid = min(ceil(train / 4), 200), min(ceil(train / 8), 50)
    engine = Part("engine", test, TEST_ENGINES[language], (WIDE,))
    return {
        "test_in": [Part("clean", test, espeak(TEST_VOICES))],
        "test_out": [*out_of_domain(test, TEST_MBROLA, TEST_VOICES), engine],
        "test_dev": out_of_domain(ceil(test / 5), ROUTER_MBROLA, ROUTER_VALID_VOICES),
        "train": training(ceil(train / 2), train // 2),
        "valid": training(ceil(valid / 2), valid // 2),
        "router_train": [Part("clean", pairs, mbrola(ROUTER_MBROLA), (WIDE,)),
                         Part("clean", pairs, espeak(ROUTER_VOICES), (WIDE,))],
        "router_valid": [Part("clean", ceil(valid / 2), mbrola(ROUTER_MBROLA), (WIDE,)),
                         Part("clean", valid // 2, espeak(ROUTER_VALID_VOICES), (WIDE,))],
    }


def draw_recordings(
    name: str, part: Part, language: str, texts: Iterator[str], draw: random.Random
) -> Iterator[Recording]:
    """Give each text a voice, factors and a condition, all combinations equally often."""
    combinations = list(product(part.voices, part.conditions))
    draw.shuffle(combinations)
    for n in range(part.sentences):
        voice, condition = combinations[n % len(combinations)]
        speed, pitch = (round(draw.uniform(*draw.choice(part.factors)), 2) for _ in range(2))
        stretch = round(draw.uniform(*part.stretch), 2)
        yield Recording(
            id=f"{language}-{voice.engine}-{voice.name}-{name}-{part.domain}-{n:05d}",
            language=language,
            text=next(texts),
            voice=voice,
            speed=speed,
            pitch=pitch,
            stretch=stretch,
            condition=condition,
            domain=part.domain,
            seed=draw.getrandbits(32),
        )


def write_recording(recording: Recording, folder: Path) -> None:
    """Synthesise into an ogg file below the folder."""
    r = recording
    rng = np.random.default_rng(r.seed)
    speech = change_speed(say(r.text, r.voice, r.speed, r.pitch), RATE, r.stretch)
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    speech = speech[loud[0] : loud[-1] + 1]
    audio = np.pad(PEAK / np.abs(speech).max() * speech, int(MARGIN * RATE))
    audio += ROOM_TONE * rng.standard_normal(len(audio), dtype=np.float32)
    audio = degrade(audio, RATE, r.condition, rng)
    soundfile.write(folder / r.file, audio, RATE, format="OGG", subtype="OPUS", compression_level=0.97)
