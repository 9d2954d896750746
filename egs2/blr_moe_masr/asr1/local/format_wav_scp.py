"""Stage 3: write every clip of a data directory as 16-bit mono audio of one sampling rate.

    python local/format_wav_scp.py --nj 2 --fs 16000 --audio_format wav data/train dump/raw/org/train

Reads wav, flac, ogg, opus and mp3. With a table `utt2speed` (stage 2) clips are played faster or slower, with the
pitch. The new data directory has the same tables, without the unusable clips, which its table `skipped` lists, and
`utt2num_samples`; paths in its wav.scp start at the recipe's folder, as ESPnet's do.
"""

import argparse
from functools import partial
from pathlib import Path

from audio import read_audio, write_audio_data_dir
from data_dir import read_data_dir


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nj", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz (default 16000)")
    parser.add_argument("--audio_format", choices=("wav", "flac"), default="wav",
                        help="wav (default) reads faster; flac takes half the space")
    parser.add_argument("source", type=Path, help="data directory to read, e.g. data/train")
    parser.add_argument("target", type=Path, help="data directory to write, e.g. dump/raw/org/train")
    args = parser.parse_args(argv)

    utterances = read_data_dir(args.source)
    clips = [(u, partial(read_audio, u.audio, args.fs, u.speed or 1)) for u in utterances]
    write_audio_data_dir(args.target, clips, args.nj, args.audio_format)


if __name__ == "__main__":
    main()
