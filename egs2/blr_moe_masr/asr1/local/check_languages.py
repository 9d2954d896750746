"""Check data directories before they are used: complete tables, and no language that the model does not know.

    python local/check_languages.py --train dump/raw/train dump/raw/valid dump/raw/test_in
    python local/check_languages.py --asr_train_config exp/asr/config.yaml --groups "es,pt" dump/raw/test_in

The known languages are those of the training set, or of a trained model. `--groups` are those of --allowed_languages.
"""

import argparse
from pathlib import Path

import yaml
from allowed_languages import groups_of
from shared.data_dir import Utterance, parse_timeline, stream_data_dir
from shared.kaldi_tables import UserError

from espnet_blrmoe.program import start


def main(argv: list[str] | None = None) -> None:
    """Say nothing, or what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--train", type=Path, help="data directory of the training set")
    known.add_argument("--asr_train_config", type=Path, help="config.yaml of a trained model")
    parser.add_argument("--groups", default="own", help="those of --allowed_languages")
    parser.add_argument("data_dirs", type=Path, nargs="+")
    args = parser.parse_args(argv)
    if args.train:
        source, languages = args.train, {code for u in stream_data_dir(args.train) for code in u.languages}
    else:
        config = yaml.safe_load(args.asr_train_config.read_text(encoding="utf-8"))
        if "languages" not in config["encoder_conf"]:  # a model without experts takes any
            return
        source, languages = args.asr_train_config, set(config["encoder_conf"]["languages"])
    listed = ", ".join(sorted(languages))
    for language in groups_of(args.groups, languages):
        if language not in languages:
            raise UserError(f"--allowed_languages: language {language} is not among those of {source}: {listed}")
    for folder in args.data_dirs:
        for u in stream_data_dir(folder):
            for table, code in _languages_of(u, folder):
                if code not in languages:
                    raise UserError(
                        f"{table}: utterance {u.id} has language {code}, which {source} lacks ({listed}): leave the "
                        "language out with --langs, or train with it"
                    )


def _languages_of(u: Utterance, folder: Path) -> list[tuple[Path, str]]:
    """The codes of an utterance's languages, each with the table that says so."""
    codes = [(folder / "utt2lang", code) for code in u.languages]
    if u.timeline is None:
        return codes
    said = parse_timeline(u.timeline, f"{folder / 'timeline'}: {u.id}")
    return codes + [(folder / "timeline", code) for _, _, code, _ in said]


if __name__ == "__main__":
    start(main)
