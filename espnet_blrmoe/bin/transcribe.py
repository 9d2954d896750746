"""Print what is said in audio files, and in which language.

    espnet-blrmoe transcribe talk.mp3 interview.wav --model_tag model.zip --languages en,de
    espnet-blrmoe transcribe talk.mp3 --model exp/router --json

print a line for each file: its name, the detected language and the probability of it, the text. A file that holds
nothing but silence or noise has "no speech" in place of the language, and no text. Files may be of any length,
sampling rate and number of channels: wav, flac, ogg, opus, mp3 and what else docs/audio.md lists; "-" is standard
input. A file that cannot be read whole is not transcribed but named on stderr, and the exit status is 1. With --json,
each line is a JSON object: file, duration (seconds), language (null without speech), language_probability, text, chunks
(the pieces that long audio was cut into) and timeline (which stretch of speech was in which language).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from espnet_blrmoe.bin.options import add_language_options, check_options, load_model
from espnet_blrmoe.files.model_files import add_model_options
from espnet_blrmoe.program import start

if TYPE_CHECKING:
    from espnet_blrmoe.inference.speech2text import Transcript

CONTROLS = {code: json.dumps(chr(code))[1:-1] for code in range(32)}  # names may have line ends
OWN_OPTIONS = ("files", "json", "model", "asr_train_config", "asr_model_file", "model_tag")  # not Speech2Text's


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio file, or - for standard input")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    group = parser.add_argument_group("The model: a shared one, a folder, or the files of a training")
    group.add_argument("--model_tag", help="packed file, URL, id on the Hugging Face hub, or name in espnet_model_zoo")
    add_model_options(group)
    group.add_argument(
        "--beam_size",
        type=int,
        default=argparse.SUPPRESS,
        help="hypotheses kept in the search (default: 1 for a model trained with CTC only, else ESPnet's)",
    )
    group.add_argument(
        "--chunk_seconds",
        type=float,
        default=argparse.SUPPRESS,
        help="longer audio is cut into chunks of at most this, recognised one by one (default: 8, best for a model "
        "trained on short sentences: docs/long_audio.md; about as long as the clips that yours was trained on)",
    )
    group.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    add_language_options(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Transcribe; a mistake in the options ends in one sentence, one with a file after the other files are done."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    check_options(parser, args)
    logging.basicConfig(format="transcribe: %(message)s")
    options = {name: value for name, value in vars(args).items() if name not in OWN_OPTIONS}
    try:
        speech2text = load_model(args, options)
    except (ValueError, OSError) as error:
        sys.exit(f"transcribe: {error}")
    show = as_json if args.json else as_line
    failed = False
    for file in args.files:
        try:
            print(show(file, speech2text(file)), flush=True)
        except ValueError as error:
            print(f"transcribe: {error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)


def as_line(file: str, transcript: Transcript) -> str:
    """For people: one line, whatever the file's name."""
    language = f"{transcript.language}, {transcript.language_probability:.0%}" if transcript.language else "no speech"
    return f"{file.translate(CONTROLS)} ({language}): {transcript.text}"


def as_json(file: str, transcript: Transcript) -> str:
    """For programs."""
    return json.dumps(
        {
            "file": file,
            "duration": transcript.chunks[-1].end,
            "language": transcript.language,
            "language_probability": transcript.language_probability,
            "text": transcript.text,
            "chunks": [asdict(chunk) for chunk in transcript.chunks],
            "timeline": [asdict(span) for span in transcript.timeline],
        },
        ensure_ascii=False,
    )


if __name__ == "__main__":
    start(main)
