"""Print what is said while it is said, and in which language.

    espnet-blrmoe stream talk.mp3 --model exp/streaming --languages en,de --real_time
    espnet-blrmoe stream talk.mp3 --model exp/streaming --chunk_ms 640 --json

and, from a microphone,

    arecord -q -t raw -f S16_LE -r 16000 -c 1 | espnet-blrmoe stream - --model exp/streaming

print a line whenever a word is complete, which it is when the next one begins: the file, the second at which it began,
the language that is spoken now and the probability of it, and the words. "-" is standard input: samples of 16 bits, one
channel, without a header, at --rate; Ctrl-C ends it. A file is heard as fast as it goes, or, with --real_time, as if
somebody spoke now. With --json, a line is a JSON object with file, start, end (seconds), text (all so far), final (what
of it stays), words, language (null before the first frame), language_probability and timeline, whenever anything has
been heard; docs/streaming.md has more.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from espnet_blrmoe.bin.options import add_language_options, check_options, load_model
from espnet_blrmoe.bin.transcribe import CONTROLS
from espnet_blrmoe.files.model_files import add_model_options
from espnet_blrmoe.program import start

if TYPE_CHECKING:
    from espnet_blrmoe.inference.transcript import StreamPart

PIECE = 0.1  # seconds of a file that are heard at a time
BYTES = 2  # of a sample on standard input
HEADERS = (b"RIFF", b"OggS", b"fLaC", b"ID3")  # with which files begin that people could pipe into it
NOT_RECOGNISERS = (
    "files", "json", "real_time", "rate", "model", "asr_train_config", "asr_model_file", "model_tag"
)  # fmt: skip


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio file, or - for samples on standard input")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--real_time", action="store_true", help="hear files as if they were spoken now")
    parser.add_argument("--rate", type=int, help="sampling rate of standard input in Hz (default: the model's)")
    group = parser.add_argument_group("The model: a shared one, a folder, or the files of a training")
    group.add_argument("--model_tag", help="packed file, URL, id on the Hugging Face hub, or name in espnet_model_zoo")
    add_model_options(group)
    group.add_argument("--chunk_ms", type=float, default=320, help="audio that is recognised at a time (default: 320)")
    group.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    add_language_options(parser, of_streams=True)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Listen; a mistake in the options ends in one sentence, one with a file after the other files are done."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(format="stream: %(message)s")
    options = {name: value for name, value in vars(args).items() if name not in NOT_RECOGNISERS}
    failed = False
    try:
        check_options(args)
        recogniser = load_model(args, options, "StreamingRecogniser")
        recogniser.start(rate=args.rate)  # a wrong one is told before anything is heard
    except (ValueError, OSError) as error:
        sys.exit(f"stream: {error}")
    for file in args.files:
        try:
            said = ""
            for part in parts_of(recogniser, file, args):
                show(file, part, part.final[len(said) :].strip(), args.json)
                said = part.final
        except ValueError as error:
            print(f"stream: {error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)


def parts_of(recogniser, file: str, args: argparse.Namespace) -> Iterator[StreamPart]:
    """What comes out of a file, or of standard input, as it comes out.

    Raises:
        ValueError: the file is unusable, or standard input no samples; what there was of them has come out then.
    """
    is_raw, cut = file == "-", None
    session = recogniser.start(rate=args.rate if is_raw else None)
    try:
        for piece in raw_pieces() if is_raw else pieces_of(file, recogniser.fs, args.real_time):
            yield from session.feed(piece)
    except KeyboardInterrupt:  # how people end a recording
        if not is_raw:
            raise
    except CutSample as error:
        cut = error
    yield session.finish()
    if cut is not None:
        raise cut


class CutSample(ValueError):
    """Standard input ends within a sample."""


def raw_pieces() -> Iterator[np.ndarray]:
    """(samples,) float32 each: what there is on standard input, as soon as it is there.

    Raises:
        CutSample: it ends within a sample.
        ValueError: it is closed, or begins as a file does.
    """
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    rest, is_first = b"", True
    while data := sys.stdin.buffer.read1():
        if is_first and data.startswith(HEADERS):
            raise ValueError("standard input is an audio file; write samples without a header, as with arecord -t raw")
        data, is_first = rest + data, False
        whole = len(data) - len(data) % BYTES
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
    if rest:
        raise CutSample("standard input ends within a sample; it must be samples of 16 bits, little-endian")


def pieces_of(file: str, fs: int, real_time: bool) -> Iterator[np.ndarray]:
    """(samples,) each, of a file at any rate; in real time, each when it would have been spoken."""
    from espnet_blrmoe import audio

    wave, begun, size = audio.load(file, fs).numpy(), time.monotonic(), round(PIECE * fs)
    for first in range(0, len(wave), size):
        piece = wave[first : first + size]
        if real_time:
            time.sleep(max(0.0, begun + (first + len(piece)) / fs - time.monotonic()))
        yield piece


def show(file: str, part: StreamPart, said: str, as_json: bool) -> None:
    """Print a part: for programs, or for people, who get a line where words, which are `said`, are complete."""
    if as_json:
        print(json.dumps({"file": file, **asdict(part)}, ensure_ascii=False), flush=True)
    elif part.words:
        language = f"{part.language}, {part.language_probability:.0%}" if part.language else "no language"
        print(f"{file.translate(CONTROLS)} {part.words[0].start:.2f} ({language}): {said}", flush=True)


if __name__ == "__main__":
    start(main)
