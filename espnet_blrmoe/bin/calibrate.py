"""Calibrate the confidences of a model's words, so that of those with 0.8 about 80 % are right.

    espnet-blrmoe calibrate --model exp/router --data_dir dump/raw/valid --eval_dir dump/raw/test_in \\
        --output exp/router/confidence.json

recognises the validation set, fits confidences to which of its words are right (Platt scaling), and writes the two
numbers into the model's config.yaml, from where recognition takes them, and packed models too. It prints, for
each data directory, how far confidences are from the share of right words before and after (expected calibration
error); those of --data_dir after come from fits to four fifths of its utterances, which leave the scored fifth out.
Where words are all right, all wrong, or too few, the model stays as it is. --output gets the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espnet_blrmoe.files.model_files import ModelFiles, add_model_options
from espnet_blrmoe.files.output_folder import check_file, check_writable
from espnet_blrmoe.program import command, start

if TYPE_CHECKING:  # loading PyTorch takes seconds, which --help does not need
    from espnet_blrmoe.inference.confidence import Calibration
    from espnet_blrmoe.inference.speech2text import Speech2Text

HEAD = ("data", "words", "right %", "calibration error %", "calibrated %")
FOLDS = 5
AT_ONCE = 16  # utterances
FEWEST_WORDS = 50  # that two numbers are fitted to


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--data_dir", type=Path, required=True, help="validation set: folder with wav.scp and text")
    parser.add_argument("--eval_dir", type=Path, action="append", default=[], help="another set to score; repeatable")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    parser.add_argument("--output", type=Path, help="file for the figures as JSON")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Calibrate; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        files = ModelFiles.of_options(args)
        check_writable(files.config.resolve().parent, "calibrate a copy of the model, in a folder of your own")
        if args.output:
            check_file(args.output)
        results = calibrate(files, args.data_dir, args.eval_dir, args.device)
        show(results)
        if args.output:
            args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (ValueError, OSError) as error:
        sys.exit(f"{command('calibrate')}: {error}")


def calibrate(files: ModelFiles, data_dir: Path, eval_dirs: list[Path], device: str) -> dict[str, Any]:
    """Fit the calibration, write it into the model's configuration, and score it.

    Returns:
        calibration: slope and offset; None where none was fitted.
        data: an entry for each data directory: its name, `words`, `right` (share), and `before` and `after`, the
            reliability of the probabilities and of the confidences (None without a calibration).

    Raises:
        ValueError: a file is missing or damaged, or does not fit, or there is no such device.
    """
    from espnet_blrmoe.inference.checks import check_device
    from espnet_blrmoe.inference.confidence import OPTION, Calibration, reliability
    from espnet_blrmoe.inference.speech2text import Speech2Text

    check_device(device)
    speech2text = Speech2Text(**files.as_options(), device=device)
    speech2text.calibration = Calibration()
    heard = {folder: hear(speech2text, folder) for folder in (data_dir, *eval_dirs)}
    probabilities, right, utterances = heard[data_dir]
    fitted = Calibration.fitted(probabilities, right) if len(right) >= FEWEST_WORDS else None
    entries = []
    for folder, (own, own_right, _) in heard.items():
        entry = {"name": folder.name, "words": len(own), "right": float(own_right.mean()) if len(own) else 0.0,
                 "before": reliability(own, own_right), "after": None}
        if fitted is not None:
            confidences = left_out(fitted, own, own_right, utterances) if folder == data_dir else fitted.of_all(own)
            entry["after"] = reliability(confidences, own_right)
        entries.append(entry)
    if fitted is not None:
        write_option(files.config, fitted)
    return {"calibration": None if fitted is None else fitted.as_options()[OPTION], "data": entries}


def hear(speech2text: Speech2Text, data_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is recognised in a data directory: of each word the probability, (W,) float64, whether it is right, (W,)
    bool, and the number of its utterance, (W,) int64.

    Raises:
        ValueError: a table or an audio file is missing or damaged, or an utterance has no text.
    """
    from espnet_blrmoe.inference.confidence import right_words
    from espnet_blrmoe.progress import progress_bar
    from espnet_blrmoe.segments import read_audio_table
    from espnet_blrmoe.tables import read_table

    audio, texts = read_audio_table(data_dir / "wav.scp"), read_table(data_dir / "text")
    if missing := audio.keys() - texts.keys():
        raise ValueError(f"{data_dir / 'text'} has no line for utterance {min(missing)}; add it")
    words = []
    utterances = list(audio)
    for first in progress_bar(range(0, len(utterances), AT_ONCE), desc=str(data_dir)):
        batch = utterances[first : first + AT_ONCE]
        transcripts = speech2text.batch([audio[utterance] for utterance in batch], return_timeline=False)
        for n, (utterance, transcript) in enumerate(zip(batch, transcripts), start=first):
            rights = right_words(texts[utterance], transcript.words)
            words += [(word.confidence, is_right, n) for word, is_right in zip(transcript.words, rights)]
    columns = list(zip(*words)) or [(), (), ()]
    probabilities, right, numbers = (np.array(column, kind) for column, kind in zip(columns, (float, bool, int)))
    return probabilities, right, numbers


def left_out(
    fitted: Calibration, probabilities: np.ndarray, right: np.ndarray, utterances: np.ndarray
) -> np.ndarray:
    """(W,) confidences, each by a fit to the words of other utterances; `fitted` where that is none."""
    confidences = np.empty(len(probabilities))
    for fold in range(FOLDS):
        own = utterances % FOLDS == fold
        other = type(fitted).fitted(probabilities[~own], right[~own]) if not own.all() else None
        confidences[own] = (other or fitted).of_all(probabilities[own])
    return confidences


def write_option(config_file: Path, calibration: Calibration) -> None:
    """Put a calibration into a model's configuration: the file is changed as a whole, or not at all."""
    from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping

    place = config_file.resolve()  # in the recipe it may be a link
    config = read_mapping(place) | calibration.as_options()
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        write_mapping(Path(folder) / place.name, config)
        (Path(folder) / place.name).replace(place)


def show(results: dict[str, Any]) -> None:
    """Print what `calibrate` gives back."""
    from espnet_blrmoe.tables import text_table

    print(text_table(HEAD, [cells(entry) for entry in results["data"]]))
    if results["calibration"] is None:
        reason = f"its words are all right or all wrong, or fewer than {FEWEST_WORDS}"
        print(f"the model stays as it is: {reason}")


def cells(entry: dict[str, Any]) -> list[str]:
    """The values of HEAD."""
    from espnet_blrmoe.inference.confidence import calibration_error

    errors = [f"{100 * calibration_error(bins):.1f}" if bins else "-" for bins in (entry["before"], entry["after"])]
    return [entry["name"], str(entry["words"]), f"{100 * entry['right']:.1f}", *errors]


if __name__ == "__main__":
    start(main)
