"""Pack a trained model for espnet_model_zoo: one zip of weights, configuration, tokens, results and model card.

Example:
    python local/pack.py --asr_train_config exp/asr/config.yaml --asr_model_file exp/router/asr.pth \\
        --results exp/asr/RESULTS.md --outpath exp/asr/model.zip
"""

import argparse
import subprocess
import sys
from pathlib import Path

import jinja2
import yaml
from data_dir import UserError

TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def main(argv: list[str] | None = None) -> None:
    """Write the model card, then hand everything to espnet2.bin.pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asr_train_config", type=Path, required=True, help="config.yaml of the ASR training")
    parser.add_argument("--asr_model_file", type=Path, required=True, help="checkpoint")
    parser.add_argument("--results", type=Path, required=True, help="RESULTS.md of stage 18")
    parser.add_argument("--outpath", type=Path, required=True, help="zip to write")
    args = parser.parse_args(argv)
    for path, stage in ((args.asr_train_config, 11), (args.asr_model_file, 16), (args.results, 18)):
        if not path.is_file():
            raise UserError(f"{path} does not exist: run stage {stage} first")
    config = yaml.safe_load(args.asr_train_config.read_text(encoding="utf-8"))
    card = args.outpath.with_name("README.md")
    card.write_text(model_card(config, args.results.read_text(encoding="utf-8")), encoding="utf-8")
    options = [card, args.results, *([config["bpemodel"]] if config.get("bpemodel") else [])]
    subprocess.run(
        [sys.executable, "-m", "espnet2.bin.pack", "asr", "--asr_train_config", args.asr_train_config]
        + ["--asr_model_file", args.asr_model_file, "--outpath", args.outpath]
        + [word for option in options for word in ("--option", option)],
        check=True,
        stderr=subprocess.DEVNULL,  # the command line again
    )
    print(f"{args.outpath}: {args.outpath.stat().st_size / 2**20:.1f} MiB; its model card is {card}")


def model_card(config: dict, results: str) -> str:
    """The README.md of a shared model: what it is, how to install the plugin, how to load it and restrict languages."""
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), keep_trailing_newline=True)
    return template.render(config=config, languages=config["encoder_conf"]["languages"], results=results)


if __name__ == "__main__":
    main()
