"""Pack a trained model for espnet_model_zoo: one zip of weights, configuration, its files, results and model card.

    python local/pack.py --model exp/router --results exp/asr/RESULTS.md --outpath exp/asr/model.zip
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jinja2
import yaml
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump
from shared.kaldi_tables import UserError

from espnet_blrmoe.files.trained_model import NAMED_FILES, with_files
from espnet_blrmoe.program import start

TEMPLATE = Path(__file__).with_name("templates") / "model_card.md.j2"


def main(argv: list[str] | None = None) -> None:
    """Gather the model's files in one folder, then let espnet2.bin.pack make the zip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder with config.yaml and model.pth; or the two files:")
    parser.add_argument("--asr_train_config", type=Path, help="config.yaml of the ASR training")
    parser.add_argument("--asr_model_file", type=Path, help="checkpoint")
    parser.add_argument("--results", type=Path, required=True, help="RESULTS.md of stage 18")
    parser.add_argument("--outpath", type=Path, required=True, help="zip to write")
    args = parser.parse_args(argv)
    if args.model:
        config, weights = args.model / "config.yaml", args.model / "model.pth"
    elif args.asr_train_config and args.asr_model_file:
        config, weights = args.asr_train_config, args.asr_model_file
    else:
        parser.error("give --model, or --asr_train_config and --asr_model_file")
    for path, stage in ((config, 11), (weights, 16 if args.model else 11), (args.results, 18)):
        if not path.is_file():
            raise UserError(f"{path} does not exist: run stage {stage} first")
    # Only relative names of one folder: a zip with this machine's paths would look for them on the next one.
    with tempfile.TemporaryDirectory() as folder:
        options = gather(Path(folder), config, weights, args.results)
        command = ["espnet2.bin.pack", "asr", "--asr_train_config", "config.yaml", "--asr_model_file", "model.pth"]
        command += [word for option in options for word in ("--option", option)]
        subprocess.run(
            [sys.executable, "-m", *command, "--outpath", str(args.outpath.resolve())],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    print(f"{args.outpath}: {args.outpath.stat().st_size / 2**20:.1f} MiB")


def gather(folder: Path, config_file: Path, weights: Path, results: Path) -> list[str]:
    """Put everything into the folder; the names of what ESPnet calls options: all but configuration and weights.

    Raises:
        UserError: a file that the configuration names does not exist.
    """
    options = ["README.md", "RESULTS.md"]

    def copy(option: str, path: str) -> str:
        if not Path(path).is_file():
            raise UserError(f"{config_file} names {option} {path}, which does not exist")
        options.append(NAMED_FILES[option][1])
        shutil.copy(path, folder / options[-1])
        return options[-1]

    config = with_files(yaml.safe_load(config_file.read_text(encoding="utf-8")), copy)
    (folder / "config.yaml").write_text(yaml_no_alias_safe_dump(config, sort_keys=False), encoding="utf-8")
    (folder / "README.md").write_text(model_card(config, results.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(results, folder / "RESULTS.md")
    shutil.copy(weights, folder / "model.pth")
    return options


def model_card(config: dict, results: str) -> str:
    """The README.md of a shared model: what it is, how to install the plugin, how to load it and restrict languages."""
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True)
    languages, measured = config["encoder_conf"]["languages"], languages_of(results)
    is_pruned = not set(measured) <= set(languages)  # the results are of the model that knew them all
    return template.render(config=config, languages=languages, measured=measured, is_pruned=is_pruned, results=results)


def languages_of(results: str) -> list[str]:
    """The languages that RESULTS.md has rows for."""
    _, _, by_language = results.partition("### WER by language\n")
    rows = re.findall(r"^\|[^|]+/[^|]+\|([^|]+)\|", by_language.partition("\n#")[0], flags=re.MULTILINE)
    return sorted(set(rows))


if __name__ == "__main__":
    start(main)
