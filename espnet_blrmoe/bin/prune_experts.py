"""Write a smaller model that knows some of a model's languages: experts and router rows of the others are removed.

    python -m espnet_blrmoe.bin.prune_experts --asr_train_config exp/asr/config.yaml \\
        --asr_model_file exp/router/asr.pth --languages en,de --output_dir exp/asr_en_de

writes OUTPUT_DIR/config.yaml and OUTPUT_DIR/model.pth, which are used like any other model's. Its results are those of
the whole model with --languages en,de. A model of one language has no router. With --text and --utt2lang, tokens that
the kept languages do not use are removed too.
"""

import argparse
import sys
from pathlib import Path

from humanfriendly import format_size


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asr_train_config", required=True, help="config.yaml of the training")
    parser.add_argument("--asr_model_file", required=True, help="checkpoint")
    parser.add_argument("--languages", required=True, help="languages to keep, for example en,de")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write; must not hold a model yet")
    parser.add_argument("--text", help="transcripts (utterance, text): keep only the tokens that they use")
    parser.add_argument("--utt2lang", help="their languages (utterance, code); those of other languages do not count")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Prune; a mistake in the options or files ends in one sentence."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    if bool(args.text) != bool(args.utt2lang):
        parser.error("--text and --utt2lang need each other")
    try:
        prune(args)
    except (ValueError, OSError) as error:
        sys.exit(f"prune_experts: {error}")


def prune(args: argparse.Namespace) -> None:
    """Read the whole model, write the pruned one.

    Raises:
        ValueError, OSError: a file is missing, damaged or does not fit, a language is unknown, or the folder holds a
            model already.
    """
    from espnet_blrmoe.files.checkpoint import load_asr_model, read_config, refuse_to_overwrite, write_model
    from espnet_blrmoe.files.pruning import prune_languages, prune_vocabulary

    written = [args.output_dir / "config.yaml", args.output_dir / "model.pth"]
    refuse_to_overwrite(*written)
    config = read_config(args.asr_train_config)
    model = load_asr_model(args.asr_train_config, args.asr_model_file)
    experts, tokens = len(model.languages), len(config["token_list"])
    config = prune_languages(config, model, args.languages)
    if args.text:
        config = prune_vocabulary(config, model, texts_of(args.text, args.utt2lang, model.languages))
    write_model(config, model.state_dict(), *written)
    before, after = Path(args.asr_model_file).stat().st_size, written[1].stat().st_size
    print(
        f"{written[1]}: {len(model.languages)} of {experts} languages ({', '.join(model.languages)}), "
        f"{len(config['token_list'])} of {tokens} tokens, {format_size(after)} instead of {format_size(before)}"
    )


def texts_of(text: str, utt2lang: str, languages: tuple[str, ...]) -> list[str]:
    """The transcripts of some languages.

    Raises:
        ValueError: a file is missing or broken, an utterance has no language, or a language has no transcript.
    """
    from espnet_blrmoe.tables import read_table

    transcripts, language_of = read_table(text), read_table(utt2lang)
    for utterance in transcripts:
        if utterance not in language_of:
            raise ValueError(f"{utt2lang} has no line for utterance {utterance} of {text}; add its language")
    for language in languages:
        if language not in {language_of[utterance] for utterance in transcripts}:
            raise ValueError(f"{text} has no transcript in {language}; its tokens would all be removed")
    return [transcript for utterance, transcript in transcripts.items() if language_of[utterance] in languages]


if __name__ == "__main__":
    main()
