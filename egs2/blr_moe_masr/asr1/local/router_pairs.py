"""Gather audio-language pairs for the router from data directories; transcripts are not needed.

    python local/router_pairs.py --utterances 100 dump/raw/train dump/raw/router_train exp/router/pairs

writes the tables of one data directory, over the audio of the others, and `category2utt`, from which ESPnet draws all
languages equally often (`batch_type: catpow`). An utterance that several directories have counts once.
"""

import argparse
import random
from pathlib import Path

import soundfile
from data_dir import UserError, Utterance, read_data_dir, read_utterance_table, write_data_dir


def samples_of(folder: Path, utterances: list[Utterance]) -> dict[str, str]:
    """Samples of every utterance: the table utt2num_samples of stage 3, or else what the audio files say."""
    if (folder / "utt2num_samples").is_file():
        return read_utterance_table(folder, "utt2num_samples")
    try:
        return {u.id: str(soundfile.info(u.audio).frames) for u in utterances}
    except (OSError, RuntimeError) as error:
        raise UserError(f"{folder / 'wav.scp'}: {error}: remove the line, or repair the audio") from error


def few_of_each(pairs: list[Utterance], utterances: int, seed: int) -> list[Utterance]:
    """So many utterances of every language, drawn at random; a smaller number of them is part of a larger one.

    Raises:
        UserError: a language has fewer.
    """
    kept = []
    for language in sorted({u.language for u in pairs}):
        own = [u for u in pairs if u.language == language]
        if len(own) < utterances:
            raise UserError(f"--utterances {utterances}: language {language} has only {len(own)} audio-language pairs")
        random.Random(f"{language} {seed}").shuffle(own)
        kept += own[:utterances]
    return kept


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, help="of every language (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other utterances (default 0)")
    parser.add_argument("sources", type=Path, nargs="+", help="data directories: wav.scp and utt2lang")
    parser.add_argument("target", type=Path, help="data directory to write")
    args = parser.parse_args(argv)

    pairs, samples = {}, {}
    for folder in args.sources:
        utterances = read_data_dir(folder)
        pairs |= {u.id: u for u in utterances}
        samples |= samples_of(folder, utterances)
    chosen = list(pairs.values())
    if args.utterances is not None:
        chosen = few_of_each(chosen, args.utterances, args.seed)
    ids: dict[str, list[str]] = {}
    for u in chosen:
        ids.setdefault(u.language, []).append(u.id)
    write_data_dir(
        args.target,
        chosen,
        utt2num_samples={u.id: samples[u.id] for u in chosen},
        category2utt={language: " ".join(own) for language, own in ids.items()},
    )
    print(f"{args.target}: " + ", ".join(f"{len(own)} {language}" for language, own in sorted(ids.items())))


if __name__ == "__main__":
    main()
