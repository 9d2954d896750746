"""What eSpeak NG says in the default corpus, in which voices, and how it is recorded.

    train, valid                  training voices; valid has other sentences
    test_in                       other voices in the training domain ("clean")
    test_out                      other voices again, wider speeds and pitches, under each audio condition
    router_train, router_valid    audio-language pairs without transcripts for router fine-tuning, which plays them
                                  under every audio condition: voices of their own
No sentence occurs twice in the corpus, and no voice in two of: train and valid, test_in, test_out, router_train,
router_valid.
"de" is Standard German, "en" American English, "es" Spanish of Spain, "pt" Brazilian Portuguese. Little training speech
makes valid and the router sets smaller too. The same options give the same samples; audio that is there already is used
again.
"""

import json
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np
import soundfile
import soxr
from shared.kaldi_tables import UserError, write_table
from shared.write_data_dir import replacing
from tqdm import tqdm

from corpora.espeak import synthesis
from corpora.espeak.sentences import grammar, sentences
from espnet_blrmoe.training.conditions import CONDITIONS, degrade

RATE = 16000
SECONDS = 2.8  # of a sentence, about
PEAK = 0.7
ROOM_TONE = 5e-4  # standard deviation: 66 dB below full scale. Digital silence has no counterpart in recordings
MARGIN = 0.1  # seconds of room tone before and after the speech
MADE_FROM = "made_from"  # file in the audio folder: what its audio was made from


@dataclass(frozen=True)
class SpeechSet:
    """How the speech of a data set is made.

    Attributes:
        variants: eSpeak's voice variants, the speakers.
        speed: range in words per minute.
        pitch: range of eSpeak's 0 to 99.
        conditions: audio conditions, the domains.
        transcribed: whether the data directory has transcripts.
    """

    variants: tuple[str, ...]
    speed: tuple[int, int] = (130, 165)
    pitch: tuple[int, int] = (40, 60)
    conditions: tuple[str, ...] = ("clean",)
    transcribed: bool = True


# Some variants are nearly the same voice (Gene and Gene2, m4 and m5, rob and robert): of those, none is in
# IN_DOMAIN_VOICES while another is in TRAINING_VOICES. Whispering and odd ones are out-of-domain only.
TRAINING_VOICES = tuple(
    "f1 f3 f4 f5 belinda Andrea anika shelby steph steph3 m1 m3 m4 m5 m6 m8 Alex Mike croak fast john grandpa "
    "pedro antonio ed iven iven3 iven4 Michael gustave Mario Denis victor michel miguel Gene Gene2 marcelo "
    "norbert klatt4 klatt6 benjamin edward".split()
)
IN_DOMAIN_VOICES = tuple("f2 aunty linda m2 m7 max mike2 paul quincy robert".split())
OUT_OF_DOMAIN_VOICES = tuple(
    "Alicia Andy Jacky Lee Nguyen RicishayMax Storm Tweaky UniRobot announcer kaukovalta klatt3 rob whisperf "
    "zac".split()
)
ROUTER_VOICES = tuple("grandma steph2 adam david edward2 Diogo Hugo boris travis robosoft4 iven2".split())
ROUTER_VALID_VOICES = tuple("Annie klatt5 pablo sandro".split())
DEGRADED = tuple(name for name in CONDITIONS if name != "clean")
# In the order in which they draw sentences: the test sets do not depend on the hours of training speech.
SETS = {
    "test_in": SpeechSet(IN_DOMAIN_VOICES),
    "test_out": SpeechSet(OUT_OF_DOMAIN_VOICES, speed=(115, 200), pitch=(25, 75), conditions=DEGRADED),
    "train": SpeechSet(TRAINING_VOICES),
    "valid": SpeechSet(TRAINING_VOICES),
    "router_train": SpeechSet(ROUTER_VOICES, (120, 185), (30, 70), transcribed=False),
    "router_valid": SpeechSet(ROUTER_VALID_VOICES, (120, 185), (30, 70), transcribed=False),
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
    """Give each text a voice and a condition, all combinations equally often, and a speed and pitch at random."""
    combinations = [(variant, condition) for variant in speech_set.variants for condition in speech_set.conditions]
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
    recordings = plan(langs, sizes(train_hours, test_sentences, len(langs)), seed)
    fingerprint = blake2b(repr([[astuple(r) for r in own] for own in recordings.values()]).encode()).hexdigest()
    if (folder / MADE_FROM).is_file() and (folder / MADE_FROM).read_text() == fingerprint:
        print(f"{folder}: has this audio already")
        return
    with replacing(folder) as unfinished:
        write_audio([r for own in recordings.values() for r in own], unfinished, nj)
        write_table(unfinished / "wav.scp", {r.id: str(folder / r.file) for own in recordings.values() for r in own})
        for name, own in recordings.items():
            write_clips(unfinished / f"{name}.jsonl", own, SETS[name].transcribed)
            seconds = sum(soundfile.info(unfinished / r.file).duration for r in own)
            print(f"{folder}: {name} has {len(own)} sentences by {len({r.variant for r in own})} voices, "
                  f"{seconds / 3600:.2f} hours")
        (unfinished / MADE_FROM).write_text(fingerprint)


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


def write_audio(recordings: list[Recording], folder: Path, nj: int) -> None:
    """Synthesise into wav files below the folder."""
    for place in {(folder / r.file).parent for r in recordings}:
        place.mkdir(parents=True)
    with ProcessPoolExecutor(nj) as pool:
        # Ctrl-C reaches all processes, but this one ends the others, which are started here so that they ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        written = pool.map(partial(write_recording, folder=folder), recordings, chunksize=16)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            for _ in tqdm(written, total=len(recordings), desc="eSpeak NG", unit="sentence", disable=None, leave=False):
                pass
        finally:
            pool.shutdown(cancel_futures=True)


def write_clips(table: Path, recordings: list[Recording], transcribed: bool) -> None:
    """Write the fields of `corpora.Clip`, a line of JSON for each recording."""
    with table.open("w", encoding="utf-8") as lines:
        for r in recordings:
            clip = {"name": r.id, "audio": r.file, "text": r.text if transcribed else None, "language": r.language,
                    "speaker": f"{r.language}-{r.variant}", "domain": r.condition, "id": r.id}
            lines.write(json.dumps(clip, ensure_ascii=False) + "\n")
