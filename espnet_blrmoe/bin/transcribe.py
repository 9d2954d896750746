"""Print what is said in audio files, and in which language.

    espnet-blrmoe transcribe talk.mp3 interview.wav --model_tag model.zip --languages en,de
    espnet-blrmoe transcribe talk.mp3 --model exp/router --json

print a line for each file: its name, the detected language and the probability of it, the text. A file that holds
nothing but silence or noise has "no speech" in place of the language, and no text. Files may be of any length,
sampling rate and number of channels: wav, flac, ogg, opus, mp3 and what else docs/audio.md lists; "-" is standard
input. A file that cannot be read whole is not transcribed but named on stderr, and the exit status is 1. With --json,
each line is a JSON object: file, duration (seconds), language (null without speech), language_probability, text, chunks
(the pieces that it was cut into; pauses have no language), timeline (which stretch of speech was in which language) and
words (each with its times, confidence and language).

    espnet-blrmoe transcribe talk.mp3 --model exp/router --format srt

prints the subtitles of one file; `> talk.srt` behind it puts them into another. --format tsv has a line for each word,
with file, start, end, language, confidence and word.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from espnet_blrmoe.bin.options import (
    add_hotword_options,
    add_language_options,
    add_ngram_options,
    check_options,
    load_model,
)
from espnet_blrmoe.files.model_files import add_model_options
from espnet_blrmoe.inference.subtitles import as_srt, as_vtt, subtitles_of
from espnet_blrmoe.program import start

if TYPE_CHECKING:
    from espnet_blrmoe.inference.speech2text import Transcript

CONTROLS = {code: json.dumps(chr(code))[1:-1] for code in range(32)}  # names may have line ends
WHOLE_FILES = ("srt", "vtt")  # formats that have no place for a second recording
TSV = "file\tstart\tend\tlanguage\tconfidence\tword"
OWN_OPTIONS = ("files", "format", "model", "asr_train_config", "asr_model_file", "model_tag")  # not Speech2Text's


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio file, or - for standard input")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--format",
        choices=SHOWN,
        default="text",
        help="text (default), json for programs, srt or vtt for subtitles of one file, tsv for a table of words",
    )
    shown.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    group = parser.add_argument_group("The model: a shared one, a folder, or the files of a training")
    group.add_argument("--model_tag", help="packed file, URL, id on the Hugging Face hub, or name in espnet_model_zoo")
    add_model_options(group)
    group.add_argument(
        "--beam_size",
        type=int,
        default=argparse.SUPPRESS,
        help="hypotheses kept in the search (default: 1 for a model trained with CTC only, 10 with hotwords "
        "or n-grams; else ESPnet's)",
    )
    group.add_argument(
        "--chunk_seconds",
        type=float,
        default=argparse.SUPPRESS,
        help="longer audio is cut into chunks of at most this, recognised one by one (default: 8, best for a model "
        "trained on short sentences: docs/long_audio.md; about as long as the clips that yours was trained on)",
    )
    group.add_argument(
        "--vad",
        choices=("silero", "none"),
        default="silero",
        help="where audio is cut: at pauses, which silero-vad's network finds and which are not recognised (default); "
        "or, whether anybody pauses or not, where it is quiet near the end of a chunk",
    )
    group.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    add_language_options(parser)
    add_hotword_options(parser)
    add_ngram_options(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Transcribe; a mistake in the options ends in one sentence, one with a file after the other files are done."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(format="transcribe: %(message)s")
    options = {name: value for name, value in vars(args).items() if name not in OWN_OPTIONS}
    try:
        check_options(args)
        if args.format in WHOLE_FILES and len(args.files) > 1:
            raise ValueError(f"--format {args.format} is for one file at a time: give one FILE")
        if "ngram_weight" in options and args.ngram is None:
            raise ValueError("--ngram_weight needs --ngram FOLDER, whose n-grams it weighs")
        speech2text = load_model(args, options)
    except (ValueError, OSError) as error:
        sys.exit(f"transcribe: {error}")
    if args.format == "tsv":
        print(TSV)
    failed = False
    for file in args.files:
        try:
            print(SHOWN[args.format](file, speech2text(file)), end="", flush=True)
        except ValueError as error:
            print(f"transcribe: {error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)


def as_line(file: str, transcript: Transcript) -> str:
    """For people: one line, whatever the file's name."""
    language = f"{transcript.language}, {transcript.language_probability:.0%}" if transcript.language else "no speech"
    return f"{file.translate(CONTROLS)} ({language}): {transcript.text}\n"


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
            "words": [asdict(word) for word in transcript.words],
        },
        ensure_ascii=False,
    ) + "\n"


def as_tsv(file: str, transcript: Transcript) -> str:
    """For tables: a line for each word."""
    name = file.translate(CONTROLS)
    return "".join(
        f"{name}\t{word.start:.3f}\t{word.end:.3f}\t{word.language}\t{word.confidence:.3f}\t{word.text}\n"
        for word in transcript.words
    )


SHOWN: dict[str, Callable[[str, Transcript], str]] = {
    "text": as_line,
    "json": as_json,
    "srt": lambda file, transcript: as_srt(subtitles_of(transcript.words)),
    "vtt": lambda file, transcript: as_vtt(subtitles_of(transcript.words)),
    "tsv": as_tsv,
}


if __name__ == "__main__":
    start(main)
