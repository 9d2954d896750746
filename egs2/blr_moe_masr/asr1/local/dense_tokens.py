"""Stage 5 with --from_dense: the tokens of a trained dense model, which a model that starts from it keeps.

    python local/dense_tokens.py --model exp/dense --text dump/raw/train/text --output_dir data/token_list/dense

writes OUTPUT_DIR/tokens.txt and, for sentencepiece's, OUTPUT_DIR/bpe.model.
"""

import argparse
from pathlib import Path

from shared.kaldi_tables import UserError
from shared.write_files import write_files

from espnet_blrmoe.files.dense_models import read_dense_config
from espnet_blrmoe.files.extending import characters_of
from espnet_blrmoe.files.model_files import add_model_options, find_dense_model
from espnet_blrmoe.files.pruning import tokens_of
from espnet_blrmoe.files.trained_model import sampling_rate
from espnet_blrmoe.program import start
from espnet_blrmoe.tables import read_table

UNKNOWN_LIMIT = 0.1  # a text with more unknown characters than this is in another script, or in other letters


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--model_tag", help="packed file, URL, or name of a shared model")
    parser.add_argument("--token_type", default="char", help="what --token_type of run.sh says (default: char)")
    parser.add_argument("--fs", type=int, default=16000, help="what --fs of run.sh says (default: 16000)")
    parser.add_argument("--text", required=True, help="transcripts of the training set")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        config = read_dense_config(find_dense_model(args).config, is_shared=bool(args.model_tag))
        check(config, args.token_type, args.fs, args.text)
    except ValueError as error:
        raise UserError(str(error)) from error
    contents = {"bpe.model": Path(config["bpemodel"]).read_bytes()} if args.token_type == "bpe" else {}
    contents["tokens.txt"] = "".join(f"{token}\n" for token in config["token_list"])
    write_files({args.output_dir / name: content for name, content in contents.items()})


def check(config: dict, token_type: str, fs: int, text: str) -> None:
    """Check that a dense model can go on with this data.

    Raises:
        ValueError: its tokens are of another type or cannot write the transcripts, its audio has another sampling
            rate, or the transcripts are missing.
    """
    for option, here, of_model in (
        ("token_type", token_type, config["token_type"]), ("fs", fs, sampling_rate(config))
    ):  # fmt: skip
        if here != of_model:
            raise ValueError(f"the dense model has {option} {of_model}: add --{option} {of_model}")
    counts = tokens_of(config, read_table(text).values())
    unknown = {token: n * characters_of(token) for token, n in counts.items() if token not in config["token_list"]}
    total = sum(n * characters_of(token) for token, n in counts.items())
    if sum(unknown.values()) > UNKNOWN_LIMIT * total:
        most = ", ".join(sorted(unknown, key=unknown.get, reverse=True)[:10])
        raise ValueError(
            f"{sum(unknown.values())} of the {total} characters in {text} are unknown to the dense model, whose tokens "
            f"stay: {most}; choose a model that writes these languages in the same letters"
        )


if __name__ == "__main__":
    start(main)
