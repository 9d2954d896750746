"""Score routers on audio-language pairs, side by side: before and after fine-tuning, say.

    python -m espnet_blrmoe.bin.router_eval --model exp/asr --model exp/router \\
        --data_dir dump/raw/test_in --data_dir dump/raw/test_out

prints, for every data directory and each of its domains (utt2domain), the accuracy over frames and over utterances, the
equal error rate over languages and the calibration error, all in %. Only what the router needs is run. A frame is right
if it went to the language of the stretch that it lies in; frames of no language do not count. Utterances in several
languages (docs/corpora.md) count for frames only: a set without others has "-" for its other scores. Those of which
only the order of the languages is known are left out.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_blrmoe.files.model_files import CONFIG_NAME, WEIGHTS_NAME, ModelFiles
from espnet_blrmoe.files.output_folder import check_file
from espnet_blrmoe.program import command, start

if TYPE_CHECKING:  # loading PyTorch takes seconds, which --help does not need
    from espnet_blrmoe.inference.lid_scores import HeardSpeech, LidScores

HEAD = ("data", "domain", "model", "utterances", "frames %", "utterances %", "EER %", "calibration error %")


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", required=True, metavar="FOLDER",
                        help=f"folder of a model, with {CONFIG_NAME} and {WEIGHTS_NAME}; may be given several times")
    parser.add_argument("--data_dir", type=Path, action="append", required=True,
                        help="folder with wav.scp, utt2lang and, if it has them, utt2domain, segments, and stretches "
                        "or timeline; repeatable")
    parser.add_argument("--ngpu", type=int, default=0, help="0 scores on the CPU (the default), 1 on a GPU")
    parser.add_argument("--output", type=Path, help="file for the same table, separated by tabs")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Score; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)

    from espnet_blrmoe.tables import text_table

    try:
        if args.output:
            check_file(args.output)
        rows = [row for data_dir in args.data_dir for row in rows_of(data_dir, args.model, args.ngpu)]
        print(text_table(HEAD, rows, names=3))
        if args.output:
            args.output.write_text("".join("\t".join(row) + "\n" for row in [HEAD, *rows]), encoding="utf-8")
    except (ValueError, OSError) as error:
        sys.exit(f"{command('router_eval')}: {error}")


def rows_of(data_dir: Path, folders: list[Path], ngpu: int = 0) -> list[tuple[str, ...]]:
    """Rows of the table for one data directory: domain by domain, then all of them, each for all models.

    Raises:
        ValueError: a file is missing or does not fit, or a model has one language, and so no router.
    """
    models = [ModelFiles.of_folder(folder) for folder in folders]

    from espnet_blrmoe.files.trained_model import load_asr_model, read_blr_moe_config, sampling_rate
    from espnet_blrmoe.inference.lid_scores import LidScores, hear

    heard = []
    for folder, files in zip(folders, models):
        model = load_asr_model(files).eval().to("cuda" if ngpu else "cpu")
        if model.encoder.router is None:
            raise ValueError(f"the model of {folder} has one language, and so no router to score")
        heard.append(hear(model, sampling_rate(read_blr_moe_config(files.config)), data_dir))
    if not heard[0].domains:
        print(f"{data_dir}: no utterance says when each language is spoken, so nothing is scored",
              file=sys.stderr)
    domains = sorted(set(heard[0].domains))
    parts: dict[str, list[HeardSpeech]] = {domain: [speech.of_domain(domain) for speech in heard] for domain in domains}
    if len(domains) > 1:
        parts["all"] = heard
    return [
        (data_dir.name, domain, folder.resolve().name, *cells(LidScores.of(speech)))
        for domain, speeches in parts.items()
        for speech, folder in zip(speeches, folders)
    ]


def cells(scores: LidScores) -> list[str]:
    """The scores' columns."""
    rates = (scores.frame_accuracy, scores.utterance_accuracy, scores.equal_error_rate, scores.calibration_error)
    return [str(scores.utterances), *("-" if math.isnan(rate) else f"{100 * rate:.1f}" for rate in rates)]


if __name__ == "__main__":
    start(main)
