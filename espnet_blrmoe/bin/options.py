"""Options that several programs have: the model, the languages that it may detect, hotwords, and n-grams."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import espnet_blrmoe
from espnet_blrmoe.files.model_files import ModelFiles, add_model_options, check_model_options
from espnet_blrmoe.inference.hotwords import DEFAULT_WEIGHT
from espnet_blrmoe.inference.ngram import NGRAM_WEIGHT
from espnet_blrmoe.program import command


def add_language_options(parser: argparse.ArgumentParser, of_streams: bool = False) -> argparse._ArgumentGroup:
    """Add the options of expert pruning, or those that a stream can have; returns their group."""
    group = parser.add_argument_group("Languages that may be detected (expert pruning)")
    group.add_argument("--languages", metavar="LIST",
                       help="for every utterance: en,de, or \"en,de 12:fr\", from second 12 on French (default: all)")
    group.add_argument("--language_penalty", type=float, default=math.inf, metavar="NATS",
                       help="make other languages less likely by this much instead of excluding them")
    if not of_streams:
        group.add_argument("--language_escape", type=float, metavar="PROBABILITY",
                           help="ignore an utterance's list where the other languages are more probable than this")
    smoothing = "what the router averages over before it chooses a frame's language"
    if of_streams:
        group.add_argument("--language_smoothing", default="frame", metavar="frame|MILLISECONDS",
                           help=f"{smoothing} (default: frame)")
        return group
    group.add_argument("--language_smoothing", metavar="viterbi|frame|utterance|MILLISECONDS",
                       default=argparse.SUPPRESS,  # Speech2Text's
                       help=f"{smoothing}; viterbi (default): it chooses all at once, and a switch has a cost")
    group.add_argument("--language_switch_cost", type=float, metavar="NATS",
                       help="cost of a switch with --language_smoothing viterbi (default: 5)")
    return group  # fmt: skip


def add_hotword_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name hotwords."""
    group = parser.add_argument_group("Words that are likely to be said (hotwords)")
    group.add_argument("--hotwords", metavar="LIST",
                       help="words, and phrases joined by _, each with or without a weight in nats, for all languages "
                       f"or some: \"Zamenhof:9.5 New_York de=Zug\" (default weight: {DEFAULT_WEIGHT:g})")
    group.add_argument("--hotwords_file", metavar="FILE", type=Path,
                       help="file with a word or phrase on each line, with or without a weight and languages: "
                       "en,de=New York:9.5")


def add_ngram_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of word n-grams; ESPnet's programs have --ngram_weight, for its n-grams of tokens."""
    group = parser.add_argument_group("Which words follow each other (word n-grams; docs/ngram.md)")
    group.add_argument("--ngram", metavar="FOLDER",
                       help="folder with an ARPA file for each language, en.arpa; that of the detected one is used")
    if "--ngram_weight" not in parser._option_string_actions:
        group.add_argument("--ngram_weight", type=float, metavar="WEIGHT", default=argparse.SUPPRESS,
                           help=f"of its log-probabilities (default: {NGRAM_WEIGHT:g})")


def check_named_model(program: str, cmd: list[str] | None) -> None:
    """End a training with one sentence if its command line names a model that is not there, before ESPnet is loaded.

    The training's own parser is ESPnet's, which takes seconds to load. A configuration file may name the model, too;
    that is not looked at.

    Args:
        program: its module, for messages.
        cmd: its command line.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    add_model_options(parser)
    args, _ = parser.parse_known_args(cmd)
    if not args.help and (args.model or args.asr_train_config and args.asr_model_file):
        try:
            ModelFiles.of_options(args)
        except ValueError as error:
            sys.exit(f"{command(program)}: {error}")


def check_options(args: argparse.Namespace, language_lists: tuple[str, ...] = ("languages",)) -> None:
    """Check that the options of a program that recognises fit each other.

    Args:
        args: of the program.
        language_lists: the program's options that list languages, of which one may be given.

    Raises:
        ValueError: they name no model or two, or options of hotwords or of languages exclude or need each other.
    """
    check_model_options(args)
    if getattr(args, "hotwords", None) is not None and args.hotwords_file is not None:
        raise ValueError("give --hotwords or --hotwords_file, not both")
    given = [option for option in language_lists if getattr(args, option) is not None]
    if len(given) > 1:
        raise ValueError("give --languages for all utterances or --utt2langs for each, not both")
    if not given and (args.language_penalty < math.inf or getattr(args, "language_escape", None) is not None):
        needed = " or ".join(f"--{option}" for option in language_lists)
        raise ValueError(f"--language_penalty and --language_escape need {needed}")


def load_model(args: argparse.Namespace, options: dict, recogniser: str = "Speech2Text") -> Any:
    """Load the model that a program's options name.

    Args:
        args: all of the program's options.
        options: those of them that are the recogniser's, without the model's files.
        recogniser: class of espnet_blrmoe that recognises: Speech2Text or StreamingRecogniser.

    Raises:
        ValueError: as that class and its from_pretrained.
    """
    tag = getattr(args, "model_tag", None)
    files = None if tag else ModelFiles.of_options(args)  # first: PyTorch takes seconds to load

    from espnet_blrmoe.inference.checks import check_device

    options = dict(options)
    if (file := options.pop("hotwords_file", None)) is not None:
        options["hotwords"] = file
    recogniser_class = getattr(espnet_blrmoe, recogniser)
    check_device(options["device"])  # before a model is fetched
    if files is None:
        return recogniser_class.from_pretrained(tag, **options)
    return recogniser_class(**options | files.as_options())
