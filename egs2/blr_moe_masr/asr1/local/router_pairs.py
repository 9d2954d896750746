"""Gather audio-language pairs for the router from data directories; transcripts are not needed.

    python local/router_pairs.py --utterances 100 dump/raw/train dump/raw/router_train exp/router/pairs

writes the tables of one data directory, over the audio of the others, and `category2utt`, from which ESPnet draws all
languages equally often (`batch_type: catpow`); an utterance in several languages counts as in its first. An utterance
that several directories have counts once. Any Kaldi folder will do; of `segments`, `wav.scp` then has
"rec.wav[16000:47999]", the first and last sample of each.
"""

import argparse
import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from shared.data_dir import Utterance, stream_data_dir
from shared.kaldi_tables import UserError, write_inverse
from shared.path_lists import split_paths
from shared.stretches import located
from shared.write_data_dir import replacing, with_audio_outside, write_tables

from espnet_blrmoe.languages import main_language
from espnet_blrmoe.program import start
from espnet_blrmoe.recordings.unusable import UnusableAudio


def read_pairs(folder: Path) -> Iterator[Utterance]:
    """Audio-language pairs of a data directory with their samples: of stage 3, or else what the audio files say.

    Raises:
        UserError: an audio file cannot be read.
    """
    for u in stream_data_dir(folder):
        try:
            yield located(replace(u, text=None, speed=None))
        except UnusableAudio as error:
            table = folder / ("segments" if error.reason == "no such stretch" else "wav.scp")
            raise UserError(f"{table}: utterance {u.id}: {error}: remove the line, or repair the audio") from error


def combine(folders: list[Path]) -> Iterator[Utterance]:
    """The pairs of all folders, sorted by id; the first folder that has an utterance gives it."""
    merged = heapq.merge(*map(read_pairs, folders), key=lambda u: u.id)
    for _, same in groupby(merged, key=lambda u: u.id):
        yield next(same)


def few_of_each(pairs: Iterable[Utterance], utterances: int, seed: int) -> Iterator[Utterance]:
    """This many utterances of every language, drawn at random; a smaller draw is part of a larger one.

    Raises:
        UserError: a language has fewer.
    """
    drawn: dict[str, list[tuple[float, str, Utterance]]] = {}  # heaps: the last drawn of each language is on top
    for u in pairs:
        own = drawn.setdefault(u.language, [])
        lot = random.Random(f"{u.id} {seed}").random()
        if len(own) < utterances:
            heapq.heappush(own, (-lot, u.id, u))
        else:
            heapq.heappushpop(own, (-lot, u.id, u))
    for language, own in sorted(drawn.items()):
        if len(own) < utterances:
            raise UserError(f"--utterances {utterances}: language {language} has only {len(own)} audio-language pairs")
        yield from (u for _, _, u in own)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, help="of every language (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other utterances (default 0)")
    parser.add_argument("sources", nargs="+", help="data directories: wav.scp, utt2lang and, maybe, segments")
    parser.add_argument("target", type=Path, help="data directory to write")
    args = parser.parse_args(argv)

    pairs = combine([Path(folder) for text in args.sources for folder in split_paths(text)])
    if args.utterances is not None:
        pairs = few_of_each(pairs, args.utterances, args.seed)
    with replacing(args.target) as unfinished:
        summary = write_tables(unfinished, with_audio_outside(args.target, pairs))
        write_inverse(unfinished / "category2utt", unfinished / "utt2lang", main_language)
    print(f"{args.target}: " + ", ".join(f"{number} {name}" for name, number in sorted(summary.utterances.items())))


if __name__ == "__main__":
    start(main)
