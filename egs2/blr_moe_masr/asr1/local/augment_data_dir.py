"""Router augmentation: play audio-language pairs under other conditions (noise, room, telephone, codec, ...).

    python local/augment_data_dir.py --conditions "clean noise codec" --seed 0 --nj 2 dump/raw/org/router_train \\
        dump/raw/router_train

Every clip is written once, under one condition drawn by seed and utterance; utt2domain names the condition. The
result depends neither on --nj nor on the other clips.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
from audio import read_audio, write_audio_data_dir
from conditions import CONDITIONS, degrade
from data_dir import Utterance, read_data_dir


def draw_condition(utterance: Utterance, conditions: list[str], seed: int) -> Utterance:
    """The utterance with one of the conditions as its domain."""
    return replace(utterance, domain=str(rng_of(f"condition of {utterance.id}", seed).choice(conditions)))


def degraded(utterance: Utterance, seed: int) -> tuple[np.ndarray, int]:
    """The utterance's audio under the condition that its domain names: float32 (samples,), and their rate in Hz."""
    audio, rate = read_audio(utterance.audio)
    return degrade(audio, rate, utterance.domain, rng_of(utterance.id, seed)), rate


def rng_of(name: str, seed: int) -> np.random.Generator:
    """Random numbers that belong to a name."""
    return np.random.default_rng([seed, crc32(name.encode())])


def known_conditions(text: str) -> list[str]:
    """Parse "clean noise codec"."""
    for name in text.split():
        if name not in CONDITIONS:
            raise argparse.ArgumentTypeError(f"there is no condition '{name}', only {', '.join(CONDITIONS)}")
    return text.split()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conditions", type=known_conditions, default=" ".join(CONDITIONS),
                        help=f'conditions to draw from (default "{" ".join(CONDITIONS)}")')
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other conditions (default 0)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default 2)")
    parser.add_argument("source", type=Path, help="data directory of stage 3, e.g. dump/raw/org/router_train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. dump/raw/router_train")
    args = parser.parse_args(argv)

    utterances = [draw_condition(u, args.conditions, args.seed) for u in read_data_dir(args.source)]
    clips = [(u, partial(degraded, u, args.seed)) for u in utterances]
    write_audio_data_dir(args.target, clips, args.nj, audio_format="wav")


if __name__ == "__main__":
    main()
