"""Speech synthesis by eSpeak NG, through the library that the PyPI package `espeakng-loader` bundles (no root needed).

    audio = synthesise("boa tarde", language="pt-br", variant="f3", speed=160, pitch=55)

The library has global state, so there is one instance per process; use a process pool to work in parallel. The same
arguments give the same samples in every process, whatever was synthesised before. eSpeak NG is GPL-3 and is used at
data preparation only.
"""

import atexit
import ctypes
import tempfile
from functools import cache
from pathlib import Path

import espeakng_loader
import numpy as np
from data_dir import UserError

RATE = 22050  # samples a second, of every voice
DATA_PATH_LIMIT = 140  # characters; eSpeak truncates a longer path of its data (160 with the files' own names)

# From speak_lib.h
_SYNCHRONOUS, _POSITION_CHARACTER, _UTF8 = 2, 1, 1
_PARAMETERS = {"speed": 1, "pitch": 3, "pitch_range": 4}
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h; only the public fields are read."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # one byte of priority, then the code
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("private", ctypes.c_ubyte * 13),
    ]


def synthesise(
    text: str, language: str, variant: str = "m1", speed: int = 170, pitch: int = 50, pitch_range: int = 50
) -> np.ndarray:
    """Speak a text.

    Args:
        text: in the language's ordinary spelling.
        language: eSpeak language code ("en-us", "pt-br"); see `languages()`.
        variant: eSpeak voice variant ("f3", "Alex"); see `variants()`.
        speed: words a minute, 80 to 450.
        pitch: 0 to 99; 50 is the variant's own.
        pitch_range: 0 (monotone) to 99; 50 is the variant's own.

    Returns:
        float32 (samples,) in [-1, 1) at RATE.

    Raises:
        UserError: eSpeak has no such language or variant (names the known ones).
    """
    _check_known("language", language, languages())
    _check_known("voice variant", variant, variants())
    library, chunks = _library()
    library.espeak_SetVoiceByName(f"{language}+{variant}".encode())
    for name, value in {"speed": speed, "pitch": pitch, "pitch_range": pitch_range}.items():
        library.espeak_SetParameter(_PARAMETERS[name], int(value), 0)
    library.espeak_ng_SetRandSeed(1)  # the noise of breathy voices would go on from the utterance before
    chunks.clear()
    encoded = text.encode()
    status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
    if status != 0:
        raise RuntimeError(f"eSpeak could not speak {text!r} in {language}+{variant}: status {status}")
    return np.frombuffer(b"".join(chunks), dtype=np.int16).astype(np.float32) / 32768


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages that eSpeak speaks."""
    library, _ = _library()
    voices, codes = library.espeak_ListVoices(None), []
    while voices[len(codes)]:
        codes.append(voices[len(codes)].contents.languages[1:].decode())
    return tuple(sorted(set(codes)))


@cache
def variants() -> tuple[str, ...]:
    """The names of all voice variants."""
    return tuple(sorted(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir()))


def _check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UserError(f"eSpeak NG has no {kind} '{name}'; known: {' '.join(known)}")


@cache
def _library() -> tuple[ctypes.CDLL, list[bytes]]:
    """The library, ready to speak, and the list that its callback appends 16-bit samples to."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    if library.espeak_Initialize(_SYNCHRONOUS, 0, _short_data_path().encode(), 0) != RATE:
        raise RuntimeError(f"eSpeak NG could not start with its data in {_short_data_path()}")
    chunks: list[bytes] = []

    @_CALLBACK
    def collect(samples: int | None, number: int, events: int) -> int:
        if samples:
            chunks.append(ctypes.string_at(samples, 2 * number))
        return 0  # go on

    library.keep_alive = collect  # ctypes holds no reference of its own
    library.espeak_SetSynthCallback(collect)
    return library, chunks


@cache
def _short_data_path() -> str:
    """eSpeak's data folder, or a short temporary link to it where its own path is too long."""
    path = espeakng_loader.get_data_path()
    if len(path) <= DATA_PATH_LIMIT:
        return path
    folder = tempfile.TemporaryDirectory(prefix="espeak")
    atexit.register(folder.cleanup)
    link = Path(folder.name, "data")
    link.symlink_to(path)
    return str(link)
