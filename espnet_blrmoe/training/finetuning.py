"""What the trainings of a part of a trained ASR model share: its router, or a language that is added to it."""

import argparse
from pathlib import Path

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import get_node_rank

from espnet_blrmoe.espnet_internals import extract_features
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.tables import read_table
from espnet_blrmoe.training.config_files import ConfigFileTask
from espnet_blrmoe.training.trainer import WholeFilesTrainer


class FineTunedModel(AbsESPnetModel):
    """A trained ASR model, frozen; a subclass says which part of it learns, and how."""

    def __init__(self, asr_model: BLRMoEModel):
        super().__init__()
        self.asr_model = asr_model.requires_grad_(False)

    def collect_feats(self, speech: torch.Tensor, speech_lengths: torch.Tensor, **kwargs) -> dict[str, torch.Tensor]:
        """ESPnet's interface; features of this model are those of the ASR model."""
        feats, lengths = extract_features(self.asr_model, speech, speech_lengths)
        return {"feats": feats, "feats_lengths": lengths}


class FineTuningTask(ConfigFileTask):
    """ESPnet task of a FineTunedModel, which comes from a trained ASR model."""

    trainer = WholeFilesTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's ASR options keep their place, but the model's shape is that of --asr_train_config."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group("The trained model")
        group.add_argument("--asr_train_config", help="config.yaml of the ASR training")
        group.add_argument("--asr_model_file", help="its checkpoint, for example valid.loss.ave.pth")
        parser.set_defaults(required=["output_dir", "asr_train_config", "asr_model_file"])

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """ESPnet's training; audio of the type `sound` is read by BLRMoEPreprocessor, whatever its sampling rate.

        ESPnet's own reader says nothing of the rate. As `text`, it hands on the path.

        Raises:
            ValueError: a table is missing or broken, or lacks an utterance.
        """
        for part in ("train", "valid"):
            option = f"{part}_data_path_and_name_and_type"
            data = getattr(args, option)
            if not args.multiple_iterator:  # whose tables are folders of parts
                check_tables([*getattr(args, f"{part}_shape_file"), *(path for path, _, _ in data)])
            setattr(args, option, [(path, name, "text" if kind == "sound" else kind) for path, name, kind in data])
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


def check_tables(paths: list[str]) -> None:
    """Check that tables of a data set fit; ESPnet meets a missing line in the midst of the training, as a KeyError.

    Args:
        paths: the first says which utterances the training draws.

    Raises:
        ValueError: one is missing, broken or empty, or lacks an utterance of the first.
    """
    tables = {path: read_table(path) for path in paths}
    for path, table in tables.items():
        if not table:
            raise ValueError(f"{path} has no utterance")
        if lacking := tables[paths[0]].keys() - table.keys():
            raise ValueError(f"{path} has no line for utterance {min(lacking)} of {paths[0]}; add it")


def reason_of(error: Exception) -> str:
    """The sentence of an error; from a process that reads data it comes at the end of that process's traceback."""
    return str(error).strip().rpartition("\nValueError: ")[2]


def trained_checkpoint(args: argparse.Namespace) -> Path | None:
    """The averaged or best checkpoint of the first criterion of --best_model_criterion, as ESPnet names it.

    None where there is nothing to hand on: after --dry_run or --collect_stats, and in all processes but the first.
    """
    if args.dry_run or args.collect_stats or get_node_rank(args.dist_rank, args.dist_launcher) not in (None, 0):
        return None
    phase, criterion, _ = args.best_model_criterion[0]
    averaged, best = (Path(args.output_dir) / f"{phase}.{criterion}.{kind}.pth" for kind in ("ave", "best"))
    return averaged if averaged.exists() else best
