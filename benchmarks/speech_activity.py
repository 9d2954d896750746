"""How often speech is taken for silence, and noise for speech.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/speech_activity.py --noise 1 dump/raw/test_in/wav.scp downloads/espeak/es/*/*.wav

prints, for each table or folder of recordings of speech, in how many Speech2Text would find none, names these, and says
in how many of the noises that are made here it would hear speech: --noise of each kind, length and level.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.signal import chirp, lfilter, sawtooth

from espnet_blrmoe import audio
from espnet_blrmoe.inference.pauses import at_pauses
from espnet_blrmoe.inference.speech2text import CHUNK_SECONDS
from espnet_blrmoe.tables import read_table, text_table

FS = 16_000
LEVELS = (-60, -50, -40, -30, -20, -10)  # dB of the root mean square
SECONDS = (1.0, 3.0, 8.0)


def coloured(generator: np.random.Generator, seconds: np.ndarray, slope: float) -> np.ndarray:
    """Noise whose power falls with frequency ** slope."""
    frequencies = np.fft.rfftfreq(len(seconds), 1 / FS)
    frequencies[0] = frequencies[1]
    return np.fft.irfft(np.fft.rfft(generator.standard_normal(len(seconds))) / frequencies ** (slope / 2), len(seconds))


def harmonics(generator: np.random.Generator, seconds: np.ndarray, pitch: float) -> np.ndarray:
    """A tone and its overtones."""
    phases = generator.uniform(0, 2 * np.pi, 10)
    return sum(np.sin(2 * np.pi * n * pitch * seconds + phase) / n for n, phase in enumerate(phases, start=1))


def melody(generator: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Three plucked notes a second."""
    notes = (3 * seconds).astype(int)
    pitches = 220 * 2 ** (generator.integers(0, 24, notes[-1] + 1)[notes] / 12)
    return harmonics(generator, seconds, pitches) * np.exp(-9 * (seconds - notes / 3))


def clicks(generator: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Four a second on average."""
    return (generator.random(len(seconds)) < 4 / FS) * generator.choice([-1.0, 1.0], len(seconds)) + 1e-6


NOISES = {
    "white noise": lambda generator, seconds: generator.standard_normal(len(seconds)),
    "pink noise": lambda generator, seconds: coloured(generator, seconds, 1),
    "brown noise": lambda generator, seconds: coloured(generator, seconds, 2),
    "white noise that swells": lambda generator, seconds: (
        generator.standard_normal(len(seconds)) * (1 + np.sin(8 * np.pi * seconds))
    ),
    "hum of 50 Hz": lambda generator, seconds: harmonics(generator, seconds, 50),
    "hum of 60 Hz": lambda generator, seconds: harmonics(generator, seconds, 60),
    "tone": lambda generator, seconds: np.sin(2 * np.pi * generator.uniform(60, 3000) * seconds),
    "sawtooth": lambda generator, seconds: sawtooth(2 * np.pi * generator.uniform(80, 300) * seconds),
    "chord": lambda generator, seconds: sum(harmonics(generator, seconds, pitch) for pitch in (262, 330, 392)),
    "beeps": lambda generator, seconds: np.sin(2000 * np.pi * seconds) * (seconds % 1 < 0.5),
    "sweep": lambda generator, seconds: chirp(seconds, 50, seconds[-1], 7000),
    "clicks": clicks,
    "thumps": lambda generator, seconds: lfilter([1.0], [1.0, -1.9, 0.91], clicks(generator, seconds)),
    "melody": melody,
}


def recordings(sources: list[Path]) -> Iterator[tuple[str, str]]:
    """The set that each recording belongs to, and its file."""
    for source in sources:
        if source.name == "wav.scp":
            yield from ((str(source.parent), file) for file in read_table(source).values())
        else:
            yield str(source.parent), str(source)


def made_noises(number: int) -> Iterator[tuple[str, torch.Tensor]]:
    """The name of each noise, and (samples,) of it as a file of 16 bits has it."""
    for name, make in NOISES.items():
        for seed in range(number):
            for seconds in SECONDS:
                noise = make(np.random.default_rng(seed), np.arange(round(seconds * FS)) / FS)
                for level in LEVELS:
                    scaled = noise * 10 ** (level / 20) / np.sqrt(np.mean(noise**2))
                    yield name, torch.from_numpy(np.round(scaled.clip(-1, 1) * 32767) / 32768)


def is_spoken(wave: torch.Tensor) -> bool:
    """Whether Speech2Text would recognise any part of the recording."""
    return any(stretch.has_speech for stretch in at_pauses(wave, FS, CHUNK_SECONDS))


def main(cmd: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="*", help="wav.scp of a data directory, or a file of audio")
    parser.add_argument("--noise", type=int, default=5)
    args = parser.parse_args(cmd)
    found: dict[str, list[bool]] = defaultdict(list)
    for name, file in recordings(args.speech):
        try:
            found[name].append(is_spoken(audio.load(file, FS)))
        except ValueError as error:
            print(f"left out: {error}")
        else:
            if not found[name][-1]:
                print(f"no speech found in {file}")
    rows = [(name, str(len(results)), str(results.count(False))) for name, results in found.items()]
    print(text_table(("speech", "recordings", "no speech found"), rows))
    found.clear()
    for name, wave in made_noises(args.noise):
        found[name].append(is_spoken(wave))
    rows = [(name, str(len(results)), str(results.count(True))) for name, results in found.items()]
    print(text_table(("noise", "recordings", "speech found"), rows))


if __name__ == "__main__":
    main()
