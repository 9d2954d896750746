"""Speech synthesis by eSpeak NG, through the library that the PyPI package `espeakng-loader` bundles (no root needed).

    audio = synthesise("boa tarde", language="pt-br", variant="f3", speed=160, pitch=55)

The same arguments give the same samples, in every process and whatever was spoken before. The library keeps the phase
of its oscillators and flutter from one utterance to the next, so each utterance gets a freshly loaded one (3 ms).
It is not thread-safe; work in parallel with processes. eSpeak NG is GPL-3 and is used at data preparation only.
"""

import _ctypes
import ctypes
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import espeakng_loader
import numpy as np
from shared.kaldi_tables import UserError

RATE = 22050  # samples per second, of every voice
VOLUME = 50  # eSpeak clips loud voices at its default of 100
DATA_PATH_LIMIT = 140  # characters; eSpeak cuts a longer path (160 with the names of its own files)

# From speak_lib.h
_SYNCHRONOUS, _POSITION_CHARACTER, _UTF8 = 2, 1, 1
_RATE_PARAMETER, _VOLUME_PARAMETER, _PITCH_PARAMETER = 1, 2, 3
_END_OF_EVENTS, _WORD = 0, 1


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", ctypes.c_char * 8),
    ]  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


def synthesise(text: str, language: str, variant: str, speed: int = 170, pitch: int = 50) -> np.ndarray:
    """Speak a text.

    Args:
        text: in the language's ordinary spelling.
        language: eSpeak language code ("en-us", "pt-br"); see `languages()`.
        variant: eSpeak voice variant ("f3", "Alex"); see `variants()`.
        speed: words per minute, 80 to 450.
        pitch: 0 to 99; 50 is the variant's own.

    Returns:
        float32 (samples,) in [-1, 1) at RATE.

    Raises:
        UserError: eSpeak has no such language or variant (names the known ones).
    """
    return synthesise_with_times(text, language, variant, speed, pitch)[0]


def synthesise_with_times(
    text: str, language: str, variant: str, speed: int = 170, pitch: int = 50
) -> tuple[np.ndarray, list[float]]:
    """As `synthesise`, and the seconds at which words begin, split at spaces; NaN where eSpeak does not say."""
    check_known("language", language, languages())
    check_known("voice variant", variant, variants())
    chunks: list[bytes] = []
    seconds: dict[int, float] = {}  # by position in the text, counted from 1

    @_CALLBACK
    def collect(samples: int | None, number: int, events: Sequence[_Event]) -> int:
        if samples:
            chunks.append(ctypes.string_at(samples, 2 * number))
        for n in count():
            if events[n].type == _END_OF_EVENTS:
                break
            if events[n].type == _WORD:
                seconds.setdefault(events[n].text_position, events[n].audio_position / 1000)
        return 0  # go on

    with _fresh_library() as library:
        library.espeak_SetSynthCallback(collect)
        if library.espeak_SetVoiceByName(f"{language}+{variant}".encode()) != 0:
            raise RuntimeError(f"eSpeak NG could not load the voice {language}+{variant}")
        library.espeak_SetParameter(_RATE_PARAMETER, speed, 0)
        library.espeak_SetParameter(_VOLUME_PARAMETER, VOLUME, 0)
        library.espeak_SetParameter(_PITCH_PARAMETER, pitch, 0)
        # Breath noise comes from two generators: the library's own, seeded by the clock, and the C library's.
        library.espeak_ng_SetRandSeed(1)
        ctypes.CDLL(None).srand(1)
        encoded = text.encode()
        status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
    if status != 0 or not chunks:
        raise RuntimeError(f"eSpeak NG could not speak {text!r} in {language}+{variant} (status {status})")
    starts = [seconds.get(word.start() + 1, math.nan) for word in re.finditer(r"\S+", text)]
    return np.frombuffer(b"".join(chunks), dtype=np.int16).astype(np.float32) / 32768, starts


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages that eSpeak speaks, in lower case."""
    return tuple(sorted(path.name.lower() for path in _data("lang").rglob("*") if path.is_file()))


@cache
def variants() -> tuple[str, ...]:
    """The names of all voice variants."""
    return tuple(sorted(path.name for path in _data("voices", "!v").iterdir()))


def _data(*folders: str) -> Path:
    return Path(espeakng_loader.get_data_path(), *folders)


def check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise UserError if eSpeak lacks the language or variant."""
    if name not in known:
        raise UserError(f"eSpeak NG has no {kind} '{name}'; it knows: {' '.join(known)}")


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """The library in its initial state."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = (
        [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int] + [ctypes.c_uint] * 2 + [ctypes.c_void_p] * 2
    )
    try:
        with _short_data_path() as data:
            if library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), 0) != RATE:
                raise RuntimeError(f"eSpeak NG could not start with its data in {data}")
            yield library
            library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)


@contextmanager
def _short_data_path() -> Iterator[str]:
    """eSpeak's data folder, or a short temporary link to it where its own path is too long."""
    path = espeakng_loader.get_data_path()
    if len(path) <= DATA_PATH_LIMIT:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="espeak") as folder:
        link = Path(folder, "data")
        link.symlink_to(path)
        yield str(link)
