"""Speech of several synthesisers, each with its own kind of voice.

    audio = say("guten tag", Voice("mbrola", "de5"), speed=1.1, pitch=0.9)

    espeak   formants; the PyPI package espeakng-loader, which the recipe uses as well
    mbrola   diphones of one recorded speaker each, pronounced by eSpeak NG; Debian's packages espeak-ng and mbrola, and
             mbrola-VOICE for each voice, for non-commercial use
    rhvoice  statistical parameters; Debian's packages rhvoice and rhvoice-{brazilian-portuguese,english}
    pico     unit selection in a small space; the PyPI package py-nanotts

The same arguments give the same samples.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from corpora.espeak import synthesis
from shared.kaldi_tables import UserError

RATE = 16000
WORDS_A_MINUTE, PITCH = 155, 50  # of eSpeak NG's 80 to 450, and 0 to 99
# Phones as eSpeak NG writes them: as the voice calls them.
PHONES = {"it3": {"ss": "s", "ts2": "ts"}, "it4": {"ss": "s", "ts2": "ts"}}
# In a program of its own, since its noise would go on from one text to the next.
PICO = """
import sys, py_nanotts
text = sys.stdin.buffer.read().decode()
voice, speed, pitch = sys.argv[1:]
sys.stdout.buffer.write(py_nanotts.NanoTTS().speak(text, voice=voice, speed=float(speed), pitch=float(pitch)))
"""


@dataclass(frozen=True)
class Voice:
    """A speaker: `name` is the engine's; for espeak a language code and a variant, "es-419+f3"."""

    engine: str
    name: str


def say(text: str, voice: Voice, speed: float = 1.0, pitch: float = 1.0) -> np.ndarray:
    """Speak a text.

    Args:
        text: in the ordinary spelling of the voice's language.
        voice: an engine of ENGINES and one of its voices.
        speed: as a factor of the voice's own.
        pitch: likewise, 0.5 to 1.9.

    Returns:
        float32 (samples,) at RATE.

    Raises:
        UserError: a program or voice is missing (says what to install).
    """
    audio, rate = ENGINES[voice.engine](text, voice.name, speed, pitch)
    return soxr.resample(audio, rate, RATE)


def _espeak(text: str, voice: str, speed: float, pitch: float) -> tuple[np.ndarray, int]:
    language, _, variant = voice.partition("+")
    return (
        synthesis.synthesise(text, language, variant, round(WORDS_A_MINUTE * speed), round(PITCH * pitch)),
        synthesis.RATE,
    )


def _mbrola(text: str, voice: str, speed: float, pitch: float) -> tuple[np.ndarray, int]:
    how = ["-v", f"mb-{voice}", "-s", round(WORDS_A_MINUTE * speed), "-p", round(PITCH * pitch)]
    phones = _run("espeak-ng", *how, "--pho", "-q", "--stdin", text=text).decode().replace("/", "")
    for theirs, own in PHONES.get(voice, {}).items():
        phones = re.sub(rf"^{theirs}(?=\s)", own, phones, flags=re.MULTILINE)
    database = Path(os.environ.get("MBROLA_VOICES", "/usr/share/mbrola"), voice, voice)
    if not database.is_file():
        raise UserError(f"there is no voice {database}: install Debian's mbrola-{voice}, or name in MBROLA_VOICES the "
                        "folder of such voices")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "speech.wav")
        _run("mbrola", "-e", database, "-", wav, text=phones)
        return soundfile.read(wav, dtype="float32")


def _rhvoice(text: str, voice: str, speed: float, pitch: float) -> tuple[np.ndarray, int]:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "speech.wav")
        how = ["-p", voice, "-r", round(100 * speed), "-t", round(100 * pitch), "-o", wav]
        _run("RHVoice-test", *how, text=f"{text}\n")
        return soundfile.read(wav, dtype="float32")


def _pico(text: str, voice: str, speed: float, pitch: float) -> tuple[np.ndarray, int]:
    samples = _run(sys.executable, "-c", PICO, voice, speed, pitch, text=text)
    return np.frombuffer(samples, dtype="<i2").astype(np.float32) / 32768, 16000


ENGINES = {"espeak": _espeak, "mbrola": _mbrola, "rhvoice": _rhvoice, "pico": _pico}
PACKAGES = {"espeak-ng": "Debian's espeak-ng", "mbrola": "Debian's mbrola",
            "RHVoice-test": "Debian's rhvoice", sys.executable: "the PyPI package py-nanotts"}


def _run(program: str, *options: object, text: str) -> bytes:
    """What a program writes that reads the text."""
    try:
        done = subprocess.run([program, *map(str, options)], input=text.encode(), capture_output=True, check=True)
    except FileNotFoundError as error:
        raise UserError(f"{program} is missing: install {PACKAGES[program]}") from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"{program} failed; is {PACKAGES[program]} installed? "
                        f"{error.stderr.decode(errors='replace').strip()[-300:]}") from error
    return done.stdout
