"""espnet-blrmoe: the programs of the plugin under one name.

    espnet-blrmoe transcribe talk.mp3 --model_tag model.zip
    espnet-blrmoe transcribe --help
"""

import argparse
import importlib
import sys

from espnet_blrmoe.program import ALL_COMMANDS, start

COMMANDS = {  # name: (module of espnet_blrmoe.bin, what it does)
    "transcribe": ("transcribe", "print what is said in audio files, and in which language"),
    "stream": ("stream", "print what is said while it is said, in a microphone's audio or in files"),
    "prune": ("prune_experts", "write a smaller model that knows some of a model's languages"),
    "from-dense": ("from_dense", "make a model with experts of a trained dense one"),
    "add-language": ("add_language", "train an expert for one more language"),
    "train-router": ("router_train", "fine-tune the router of a model on audio with language labels"),
    "eval-router": ("router_eval", "score routers on audio with language labels, side by side"),
    "calibrate": ("calibrate", "calibrate the confidences of a model's words"),
    "summary": ("summary", "print sizes and costs of models from their training configurations"),
    "export": ("export_onnx", "write a model as ONNX, also in int8"),
}


def get_parser() -> argparse.ArgumentParser:
    """The parser of the command's name; its options are its own."""
    commands = "\n".join(f"  {name:14} {purpose}" for name, (_, purpose) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=ALL_COMMANDS,
        description=__doc__,
        epilog=f"commands:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the command's; --help lists them")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """The command espnet-blrmoe, which pip installs."""
    start(lambda: hand_over(get_parser(), cmd))


def hand_over(parser: argparse.ArgumentParser, cmd: list[str] | None) -> None:
    """Run the program that the command line names."""
    args = parser.parse_args(cmd)
    if args.command is None:
        return parser.print_help()
    module, _ = COMMANDS[args.command]
    typed, sys.argv = sys.argv, [f"{ALL_COMMANDS} {args.command}", *args.arguments]  # what its messages call it
    try:
        importlib.import_module(f"espnet_blrmoe.bin.{module}").main(args.arguments)
    finally:
        sys.argv = typed


if __name__ == "__main__":
    main()
