"""Write a smaller model that knows some of a model's languages: what only the others need of experts and router goes.

    python -m espnet_blrmoe.bin.prune_experts --model exp/router --languages en,de --output_dir exp/asr_en_de
    python -m espnet_blrmoe.bin.prune_experts --model exp/router --languages en,de --output_dir exp/asr_en_de_small \\
        --text dump/raw/train/text --utt2lang dump/raw/train/utt2lang

write OUTPUT_DIR/config.yaml and OUTPUT_DIR/model.pth, which are used like any other model's. Its results are those of
the whole model with --languages en,de. A model of one language has no router. The second command also removes the
tokens that the kept languages do not use.
"""

import argparse
import sys
from pathlib import Path

from humanfriendly import format_size

from espnet_blrmoe.files.model_files import ModelFiles, add_model_options
from espnet_blrmoe.files.output_folder import check_new
from espnet_blrmoe.program import command, start


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--languages", required=True, help="languages to keep, for example en,de")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write; must not hold a model yet")
    parser.add_argument("--text", help="transcripts (utterance, text): keep only the tokens that they use")
    parser.add_argument("--utt2lang", help="their languages (utterance, code); those with other languages do not count")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Prune; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        prune(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{command('prune_experts')}: {error}")


def prune(args: argparse.Namespace) -> None:
    """Read the whole model, write the pruned one.

    Raises:
        ValueError, OSError: a file is missing, damaged or does not fit, a language is unknown, or the folder cannot be
            written or holds a model already.
    """
    if bool(args.text) != bool(args.utt2lang):
        raise ValueError("--text and --utt2lang need each other")
    files, written = ModelFiles.of_options(args), ModelFiles.in_folder(args.output_dir)
    check_new(written.config, written.weights)

    from espnet_blrmoe.files.pruning import prune_languages, prune_vocabulary
    from espnet_blrmoe.files.trained_model import load_asr_model, read_blr_moe_config, write_model

    config, model = read_blr_moe_config(files.config), load_asr_model(files)
    languages, tokens = len(model.languages), len(config["token_list"])
    config = prune_languages(config, model, args.languages)
    if args.text:
        config = prune_vocabulary(config, model, texts_of(args.text, args.utt2lang, model.languages))
    write_model(config, model.state_dict(), args.output_dir)
    before, after = (own.weights.stat().st_size for own in (files, written))
    print(
        f"{args.output_dir}: {len(model.languages)} of {languages} languages ({', '.join(model.languages)}), "
        f"{len(config['token_list'])} of {tokens} tokens, {format_size(after)} instead of {format_size(before)}"
    )


def texts_of(text: str, utt2lang: str, languages: tuple[str, ...]) -> list[str]:
    """The transcripts of some languages.

    Raises:
        ValueError: a file is missing or broken, an utterance has no language, or a language has no transcript.
    """
    from espnet_blrmoe.languages import label_languages
    from espnet_blrmoe.tables import read_table

    transcripts, labels = read_table(text), read_table(utt2lang)
    for utterance in transcripts:
        if utterance not in labels:
            raise ValueError(f"{utt2lang} has no line for utterance {utterance} of {text}; add its language")
    kept = {utterance for utterance in transcripts if set(label_languages(labels[utterance])) <= set(languages)}
    found = {language for utterance in kept for language in label_languages(labels[utterance])}
    for language in languages:
        if language not in found:
            raise ValueError(f"{text} has no transcript in {language}; its tokens would all be removed")
    return [transcript for utterance, transcript in transcripts.items() if utterance in kept]


if __name__ == "__main__":
    start(main)
