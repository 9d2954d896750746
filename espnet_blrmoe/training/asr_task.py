"""ESPnet's ASR training with what BLR-MoE adds to its options."""

import argparse
import sys
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_blrmoe.files.output_folder import check_writable
from espnet_blrmoe.files.trained_model import check_bpemodel, sampling_rate
from espnet_blrmoe.files.weights import UnusableFile, naming_damaged_files
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.training.balancing_task import BalancingTask
from espnet_blrmoe.training.data_tables import check_tables
from espnet_blrmoe.training.freezing import freeze
from espnet_blrmoe.training.labels import check_labels
from espnet_blrmoe.training.option_errors import OptionError, naming_options
from espnet_blrmoe.training.sound import read_stretches
from espnet_blrmoe.training.trainer import WholeFilesTrainer, missing_no_batch


class BLRMoETask(BalancingTask):
    """ESPnet's ASRTask; `python -m espnet_blrmoe.run -m espnet2.bin.asr_train` runs it in ASRTask's place."""

    trainer = WholeFilesTrainer

    @classmethod
    def rate_of(cls, args: argparse.Namespace) -> int:
        """The front end's."""
        return sampling_rate(vars(args))

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """ESPnet's training in one process, which reads stretches of recordings.

        A missing or damaged file or a wrong option ends in a sentence.

        Raises:
            ChildProcessError: a process that reads ahead has ended.
        """
        read_stretches()
        try:
            with missing_no_batch(), naming_damaged_files():
                super().main_worker(args)
        except (UnusableFile, OptionError) as error:
            sys.exit(f"asr_train: error: {error}")
        except OSError as error:
            if error.filename is None:
                raise
            sys.exit(f"asr_train: error: {error.filename}: {error.strerror}")

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """The model of the options; the recipe names its languages to every encoder, but only BLR-MoE's has experts.

        Raises:
            OptionError: a class does not know an option or its value, or a file is missing.
        """
        if args.encoder != "blr_moe":
            args.encoder_conf.pop("languages", None)
        with naming_options(args):
            return super().build_model(args)

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: ESPnetASRModel) -> list[torch.optim.Optimizer]:
        """ESPnet's, of what `freeze_param` leaves to learn; here it may have patterns.

        Raises:
            OptionError: one of its names fits no parameter, or the optimizer or its schedule cannot be made.
        """
        with naming_options(args):
            freeze(model, args.freeze_param)
        return super().build_optimizers(args, model)

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """ESPnet's check, then those of the options here; a mistake ends the program in one sentence."""
        try:
            super().check_required_command_args(args)
            check_preprocessor(args)
            check_criteria(args)
            if args.output_dir is not None:
                check_writable(Path(args.output_dir))
            if args.token_type == "bpe" and args.bpemodel:
                check_bpemodel(args.bpemodel)
            if args.encoder == "blr_moe" and "languages" in args.encoder_conf:
                check_labels(args, parse_languages(args.encoder_conf["languages"]), needed=args.model == "blr_moe")
            check_tables(args)
        except ValueError as error:
            sys.exit(f"asr_train: error: {error}")


def check_preprocessor(args: argparse.Namespace) -> None:
    """Check that what reads the data can join them, if they are to be joined.

    Raises:
        ValueError: it cannot.
    """
    if args.joined_conf and (args.preprocessor != "blr_moe" or not args.use_preprocessor):
        raise ValueError("joined_conf needs preprocessor: blr_moe, which joins the audio")


def check_criteria(args: argparse.Namespace) -> None:
    """Check --best_model_criterion.

    Raises:
        ValueError: one is not of three words.
    """
    for criterion in args.best_model_criterion:
        if isinstance(criterion, str) or len(criterion) != 3:
            raise ValueError(
                f"best_model_criterion: {criterion} is not a set, a measure and min or max: [valid, cer_ctc, min]"
            )
