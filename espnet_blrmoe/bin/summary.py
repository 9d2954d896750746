"""Print the sizes and costs of models from their training configurations, without data or weights.

    python -m espnet_blrmoe.bin.summary conf/tuning/train_asr_paper.yaml --languages 8 --vocab 5000
    python -m espnet_blrmoe.bin.summary conf/tuning/*.yaml --languages de,en,es,pt

A single BLR-MoE configuration is put next to the dense model and the LR-MoE of the same shape. "Active" are the
parameters that speech in one language runs through, "trainable" those that `freeze_param` lets learn; their gradients
are what training in several processes sends in every step. The FLOPs (a multiplication with its addition counts as two)
are of encoder, router and CTC for a second of speech in an utterance of 10 seconds, without a decoder. Below the table
stand the languages that share experts.
"""

import argparse
import logging
import sys
from pathlib import Path

from humanfriendly import format_size

from espnet_blrmoe.files.model_files import CONFIG_NAME, check_is_file
from espnet_blrmoe.language_groups import LanguageGroups
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.program import start

HEAD = ("model", "parameters", "active", "trainable", "router", "GFLOP/s of speech", "checkpoint", "gradients")
SPECIAL_TOKENS = "<blank>", "<unk>", "<sos/eos>"
WRITTEN_BY_TRAINING = {"version", "distributed"}  # what a config.yaml in exp/ has beside options


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", type=Path, help="training configuration, or a trained model's config.yaml")
    parser.add_argument("--languages", help="number of languages, or their codes (default: the configuration's, or 8)")
    parser.add_argument("--vocab", type=int, help="number of tokens (default: the configuration's, or 5000)")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print the table; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)

    from espnet_blrmoe.tables import text_table

    logging.basicConfig(level=logging.ERROR)  # ESPnet warns that a CTC model has no decoder
    try:
        given = models(args)
        rows = [row(name, config) for name, config in given]
    except ValueError as error:
        sys.exit(f"summary: {error}")
    print(text_table(HEAD, rows))
    for name, config in given[: len(args.config)]:  # without its equivalents
        if sharing := shared_experts(config):
            print(f"{name}: {sharing}")


def models(args: argparse.Namespace) -> list[tuple[str, dict]]:
    """Names and complete configurations of the models to compare.

    Raises:
        ValueError: an option, file or configuration is wrong.
    """
    languages = parse_size(args.languages)
    if args.vocab is not None and args.vocab <= len(SPECIAL_TOKENS):
        raise ValueError(f"--vocab must be more than the {len(SPECIAL_TOKENS)} special tokens, not {args.vocab}")
    for path in args.config:
        check_is_file(path, f"give a training configuration, or the {CONFIG_NAME} of a trained model")

    from espnet_blrmoe.training.footprint import as_dense, as_lr_moe

    given = [(str(path), complete(path, languages, args.vocab)) for path in args.config]
    if len(given) > 1 or given[0][1]["encoder"] != "blr_moe":
        return given
    config = given[0][1]
    return [*given, ("LR-MoE of this shape", as_lr_moe(config)), ("dense, of this shape", as_dense(config))]


def parse_size(languages: str | None) -> list[str] | None:
    """--languages as codes, invented if it is a number; None if it is not given."""
    if languages is None or not languages.strip().lstrip("-").isdigit():
        return languages and list(parse_languages(languages))
    if int(languages) < 1:
        raise ValueError(f"--languages must be at least 1, not {languages}")
    return [f"l{n}" for n in range(int(languages))]


def complete(path: Path, languages: list[str] | None, vocab: int | None) -> dict:
    """The configuration of a file with ESPnet's defaults, languages and tokens.

    Raises:
        ValueError: the file is missing or not a configuration, or has an option that does not exist.
    """
    from espnet_blrmoe.training.asr_task import BLRMoETask
    from espnet_blrmoe.training.config_files import over, read_options

    defaults = vars(BLRMoETask.get_parser().parse_args([]))
    config = {**defaults, **read_options(path, {*defaults, *WRITTEN_BY_TRAINING})}
    if config["decoder"] is None and config["model_conf"].get("ctc_weight", 0.5) < 1:
        raise ValueError(
            f"{path} has neither a decoder nor model_conf: ctc_weight: 1.0; of a training after from-dense, give the "
            f"{CONFIG_NAME} that from-dense writes, where both configurations are put together"
        )
    if config["encoder"] == "blr_moe":
        languages = languages or config["encoder_conf"].get("languages") or parse_size("8")
        config = over(config, {"encoder_conf": {"languages": languages}})
    if vocab is not None or not isinstance(config["token_list"], list):
        blank, unknown, end = SPECIAL_TOKENS
        others = [f"t{n}" for n in range((vocab or 5000) - len(SPECIAL_TOKENS))]
        config["token_list"] = [blank, unknown, *others, end]
    return config


def row(name: str, config: dict) -> tuple[str, ...]:
    """The table's row of a model.

    Raises:
        ValueError: an option of the model, or a class, does not exist.
    """
    from espnet_blrmoe.training.footprint import Footprint
    from espnet_blrmoe.training.option_errors import sentence_of

    try:
        footprint = Footprint.of(config)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: {sentence_of(error, argparse.Namespace(**config)) or error}") from error
    numbers = footprint.parameters, footprint.active, footprint.trainable, footprint.router
    millions = (f"{n / 1e6:.3f} M" if n else "-" for n in numbers)
    sizes = (format_size(size) for size in (footprint.checkpoint, footprint.gradients))
    return name, *millions, f"{footprint.flops / 1e9:.2f}", *sizes


def shared_experts(config: dict) -> str:
    """The experts of a model in which languages share some, and those languages; otherwise empty."""
    if not config["encoder_conf"].get("experts"):
        return ""
    groups = LanguageGroups.of(config["encoder_conf"]["experts"], config["encoder_conf"]["languages"])
    return f"{len(groups.experts)} experts for {len(groups.languages)} languages: {groups}"


if __name__ == "__main__":
    start(main)
