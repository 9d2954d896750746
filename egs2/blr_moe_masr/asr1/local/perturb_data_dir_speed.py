"""Stage 2: several speeds of every training clip, for as many times more voices.

    python local/perturb_data_dir_speed.py --factors "0.9 1.0 1.1" data/train data/train_sp

Utterances and speakers of factor 0.9 are named sp0.9-...; those of factor 1 keep their names. The audio is not
touched: the table `utt2speed` tells stage 3 how fast to play each clip.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from shared.data_dir import Utterance, stream_data_dir
from shared.write_data_dir import write_data_dir

from espnet_blrmoe.program import start


def perturb(utterance: Utterance, factor: float) -> Utterance:
    """The utterance under the name that it has at another speed: another voice, so another speaker too."""
    prefix = "" if factor == 1 else f"sp{factor}-"
    return replace(utterance, id=prefix + utterance.id, speaker=prefix + utterance.speaker, speed=factor)


def speed_factors(text: str) -> list[float]:
    """Parse "0.9 1.0 1.1"."""
    try:
        factors = sorted({float(word) for word in text.split()})
    except ValueError:
        factors = []
    if not factors or not all(0 < factor < float("inf") for factor in factors):
        raise argparse.ArgumentTypeError(f"{text!r}: speeds are numbers above 0, such as \"0.9 1.0 1.1\"")
    return factors


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factors", type=speed_factors, default="0.9 1.0 1.1",
                        help='speeds (default "0.9 1.0 1.1"); above 1 is faster and higher')
    parser.add_argument("source", type=Path, help="data directory to read, e.g. data/train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. data/train_sp")
    args = parser.parse_args(argv)

    perturbed = (perturb(u, factor) for u in stream_data_dir(args.source) for factor in args.factors)
    summary = write_data_dir(args.target, perturbed)
    number, speeds = summary.utterances.total(), ", ".join(map(str, args.factors))
    print(f"{args.target}: {number} utterances at the speeds {speeds}")


if __name__ == "__main__":
    start(main)
