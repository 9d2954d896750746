"""Stage 1: the default corpus, speech that eSpeak NG synthesises from sentences of the recipe's own grammars.

    python local/espeak_corpus.py --langs de en es pt --train_hours 4.5 --data_dir data

writes 16-bit wav files and the data directories
    train, valid                  training voices; valid has other sentences
    test_in                       other voices in the training domain ("clean")
    test_out                      other voices again, wider speeds and pitches, under each audio condition
    router_train, router_valid    audio-language pairs without transcripts for router fine-tuning, which plays them
                                  under every audio condition: voices of their own
No sentence occurs twice in the corpus, and no voice in two of: train and valid, test_in, test_out, router_train,
router_valid.
"de" is Standard German, "en" American English, "es" Spanish of Spain, "pt" Brazilian Portuguese. A small --train_hours
makes valid and the router sets smaller too. The same options give the same samples; audio that is there already is used
again.
"""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import blake2b
from math import ceil
from pathlib import Path

import espeak
import numpy as np
import soundfile
import soxr
from sentences import grammar, sentences
from shared.data_dir import Utterance
from shared.kaldi_tables import write_table
from shared.write_data_dir import replacing, write_data_dir
from tqdm import tqdm

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
        speed: range in words a minute.
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
        espeak.check_known("language", grammar(language).voice, espeak.languages())
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
    speech = soxr.resample(espeak.synthesise(r.text, r.voice, r.variant, r.speed, r.pitch), espeak.RATE, RATE)
    audio = np.pad(PEAK / np.abs(speech).max() * speech, int(MARGIN * RATE))
    audio += ROOM_TONE * rng.standard_normal(len(audio), dtype=np.float32)
    return degrade(audio, RATE, r.condition, rng)


def write_recording(recording: Recording, folder: Path) -> None:
    """Synthesise into a wav file below the folder."""
    soundfile.write(folder / recording.file, speak(recording), RATE, subtype="PCM_16")


def write_audio(recordings: list[Recording], folder: Path, nj: int) -> None:
    """Write all recordings, unless the folder holds the same ones already; it appears whole or not at all.

    Raises:
        UserError: the folder holds something else than such audio.
    """
    fingerprint = blake2b(repr([astuple(r) for r in recordings]).encode()).hexdigest()
    if (folder / MADE_FROM).is_file() and (folder / MADE_FROM).read_text() == fingerprint:
        print(f"{folder}: has this audio already")
        return
    with replacing(folder) as unfinished, ProcessPoolExecutor(nj) as pool:
        for place in {(unfinished / r.file).parent for r in recordings}:
            place.mkdir(parents=True)
        written = pool.map(partial(write_recording, folder=unfinished), recordings, chunksize=16)
        for _ in tqdm(written, total=len(recordings), desc="eSpeak NG", unit="sentence", disable=None, leave=False):
            pass
        write_table(unfinished / "wav.scp", {r.id: str(folder / r.file) for r in recordings})
        (unfinished / MADE_FROM).write_text(fingerprint)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--langs", nargs="+", default=["de", "en", "es", "pt"], metavar="LANG",
                        help="language codes (default: de en es pt)")
    parser.add_argument("--train_hours", type=float, default=4.5, metavar="HOURS",
                        help="training speech, about, over all languages (default 4.5)")
    parser.add_argument("--test_sentences", type=int, default=100, metavar="N",
                        help="sentences per language in test_in and in test_out (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of sentences, voices and conditions (default 0)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--audio_dir", type=Path, default=Path("downloads/espeak"),
                        help="folder for the wav files (default downloads/espeak)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"),
                        help="folder for the data directories (default data)")
    args = parser.parse_args(argv)
    if args.train_hours <= 0 or args.test_sentences < 1 or args.nj < 1:
        parser.error("--train_hours, --test_sentences and --nj must be positive")

    langs = list(dict.fromkeys(args.langs))
    train = ceil(args.train_hours * 3600 / SECONDS / len(langs))
    sizes = {
        "train": train,
        "valid": min(ceil(train / 8), 50),  # it is gone through after every epoch
        "test_in": args.test_sentences,
        "test_out": args.test_sentences,
        "router_train": min(ceil(train * 0.6), 300),
        "router_valid": min(ceil(train / 8), 50),
    }
    recordings = plan(langs, sizes, args.seed)
    write_audio([r for name in SETS for r in recordings[name]], args.audio_dir, args.nj)
    for name, speech_set in SETS.items():
        write_set(args.data_dir / name, args.audio_dir, recordings[name], speech_set.transcribed)


def write_set(folder: Path, audio_dir: Path, recordings: list[Recording], transcribed: bool) -> None:
    """Write a data directory over recordings whose audio is there, and say how large it is."""
    write_data_dir(folder, [
        Utterance(
            id=r.id,
            audio=str(audio_dir / r.file),
            language=r.language,
            speaker=f"{r.language}-{r.variant}",
            domain=r.condition,
            text=r.text if transcribed else None,
        )
        for r in recordings
    ])
    seconds = [soundfile.info(audio_dir / r.file).duration for r in recordings]
    voices = len({r.variant for r in recordings})
    size = f"{len(recordings)} sentences, {sum(seconds) / 3600:.2f} hours, {np.mean(seconds):.1f} s each"
    print(f"{folder}: {size}, {voices} voices")


if __name__ == "__main__":
    main()
