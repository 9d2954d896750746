"""What the trainings of a part of a trained ASR model share: its router, or a language that is added to it."""

import argparse
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet_blrmoe.files.model_files import ModelFiles, add_model_options
from espnet_blrmoe.files.output_folder import check_writable
from espnet_blrmoe.files.trained_model import read_blr_moe_config, sampling_rate
from espnet_blrmoe.files.weights import naming_damaged_files
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.training.balancing_task import BalancingTask
from espnet_blrmoe.training.data_tables import check_tables
from espnet_blrmoe.training.labels import DATA, check_labels
from espnet_blrmoe.training.trainer import WholeFilesTrainer, missing_no_batch, trained_checkpoint


class FineTunedModel(AbsESPnetModel):
    """A trained ASR model, frozen; a subclass says which part of it learns, and how."""

    def __init__(self, asr_model: BLRMoEModel):
        super().__init__()
        self.asr_model = asr_model.requires_grad_(False)

    def collect_feats(self, speech: torch.Tensor, speech_lengths: torch.Tensor, **kwargs) -> dict[str, torch.Tensor]:
        """ESPnet's interface; features of this model are those of the ASR model."""
        return ESPnetASRModel.collect_feats(self.asr_model, speech, speech_lengths, text=None, text_lengths=None)


class FineTuningTask(BalancingTask):
    """ESPnet task of a FineTunedModel, which comes from a trained ASR model."""

    trainer = WholeFilesTrainer
    # Without ESPnet's --model and --model_conf, a class and its options: the model is a trained one.
    class_choices_list = [choices for choices in BalancingTask.class_choices_list if choices.name != "model"]

    @classmethod
    def rate_of(cls, args: argparse.Namespace) -> int:
        """The trained model's.

        Raises:
            ValueError: it is missing, or no BLR-MoE model.
        """
        return sampling_rate(read_blr_moe_config(ModelFiles.of_options(args).config))

    @classmethod
    @abstractmethod
    def languages_of(cls, args: argparse.Namespace) -> Sequence[str]:
        """The languages that utterances of the training may have."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's ASR options keep their place, but the model's shape is that of the trained model."""
        super().add_task_arguments(parser)
        add_model_options(parser.add_argument_group("The trained model"))
        parser.set_defaults(required=["output_dir"])

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """ESPnet's training; audio of the type `sound` is read by BLRMoEPreprocessor, whatever its sampling rate.

        ESPnet's own reader does not report the rate; with the type `text` it hands on the path.

        Raises:
            ValueError: a checkpoint is damaged.
            ChildProcessError: a process that reads ahead has ended.
        """
        for option in DATA:
            data = getattr(args, option)
            setattr(args, option, [(path, name, "text" if kind == "sound" else kind) for path, name, kind in data])
        with missing_no_batch(), naming_damaged_files():
            super().main_worker(args)

    @classmethod
    def check_task_requirements(cls, *args, **kwargs) -> None:
        """ESPnet's check of the data's names.

        Raises:
            ValueError: a name is missing or not known (ESPnet: RuntimeError).
        """
        try:
            super().check_task_requirements(*args, **kwargs)
        except RuntimeError as error:
            raise ValueError(" ".join(str(error).split())) from error


def reason_of(error: Exception) -> str:
    """The sentence of an error; from a process that reads data it comes at the end of that process's traceback."""
    return str(error).strip().rpartition("\nValueError: ")[2]


def train_part(task: type[FineTuningTask], args: argparse.Namespace) -> Path | None:
    """Train a part of the model; ESPnet's own files go to OUTPUT_DIR/training, statistics to OUTPUT_DIR.

    Returns:
        The checkpoint of the training, see `trained_checkpoint`.

    Raises:
        ValueError, OSError: a file is missing, damaged or does not fit, no audio is named, a language is not the
            training's, or OUTPUT_DIR is the trained model's own or cannot be written.
    """
    trained, written = ModelFiles.of_options(args), ModelFiles.in_folder(args.output_dir)
    if trained.config.resolve() == written.config.resolve():
        raise ValueError(f"{args.output_dir} is the folder of the trained model; choose another --output_dir")
    check_writable(Path(args.output_dir))
    for option in DATA:
        if not (getattr(args, option) or args.dry_run):
            raise ValueError(f"no audio; add --{option} FOLDER/wav.scp,speech,sound")
    check_labels(args, task.languages_of(args))
    check_tables(args)
    if not args.collect_stats:
        args.output_dir = str(Path(args.output_dir) / "training")
    task.main(args=args)
    return trained_checkpoint(args)
