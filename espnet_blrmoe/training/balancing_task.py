"""An ESPnet task whose training balances the languages and joins utterances."""

import argparse
import logging
from abc import abstractmethod
from collections.abc import Sequence

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.tasks.abs_task import IteratorOptions
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet_blrmoe.espnet_internals import replace_loaders
from espnet_blrmoe.training.balancing import LANGUAGE_BATCHES, BalancedBatchSampler
from espnet_blrmoe.training.config_files import ConfigFileTask
from espnet_blrmoe.training.joining import JoinedLoader, Joining


class BalancingTask(ConfigFileTask):
    """A task with options for how languages are balanced in training, and for what it hears joined."""

    @classmethod
    @abstractmethod
    def rate_of(cls, args: argparse.Namespace) -> int:
        """Samples a second of what the model hears."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's, how languages are balanced in training, and what it hears joined."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group("Languages in training")
        group.add_argument(
            "--language_temperature",
            type=float,
            default=1.0,
            help="a language with n hours gets a share of n^(1/T) of what training hears: 1 as the corpus has it, "
            "inf all languages equally",
        )
        group.add_argument(
            "--language_batches",
            default="mixed",
            help=f"batches of several languages, or of one each: {' or '.join(LANGUAGE_BATCHES)}",
        )
        group.add_argument(
            "--joined_conf",
            action=NestedDictAction,
            default={},
            help="join utterances to longer ones: share=0.3, parts=[2,5], pause=[0.0,2.0], one_language=0.5, "
            "seconds=30 (docs/long_audio.md)",
        )

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """ESPnet's check, then those of the options here.

        Raises:
            ValueError: as `check_balancing` and `check_joining`.
        """
        super().check_required_command_args(args)
        check_balancing(args)
        check_joining(args)

    @classmethod
    def build_sequence_iter_factory(
        cls, args: argparse.Namespace, iter_options: IteratorOptions, mode: str
    ) -> AbsIterFactory:
        """ESPnet's, or for training one that balances the languages and joins utterances.

        Raises:
            ValueError: as BalancedBatchSampler does.
        """
        if mode != "train" or not wants_balancing(args):
            return super().build_sequence_iter_factory(args=args, iter_options=iter_options, mode=mode)
        sampler = training_sampler(args, iter_options, cls.rate_of(args))
        logging.info(f"[train] Batch sampler: {sampler}")
        logging.info(f"[train] languages:\n{sampler.table()}")
        # Other utterances every epoch: every process needs the tables of all.
        dataset = cls.build_dataset(args, iter_options, set(sampler.keys))
        if args.joined_conf:
            replace_loaders(dataset, JoinedLoader)
        logging.info(f"[train] dataset:\n{dataset}")
        return SequenceIterFactory(
            dataset=dataset,
            batches=sampler,
            seed=args.seed,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            shuffle=True,
            shuffle_within_batch=args.shuffle_within_batch,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )


def training_sampler(args: argparse.Namespace, iter_options: IteratorOptions, rate: int) -> BalancedBatchSampler:
    """This process's batches of the training set, whose audio has `rate` samples a second.

    Raises:
        ValueError: as BalancedBatchSampler does.
    """
    rank, world_size = 0, 1
    if iter_options.distributed:
        rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    return BalancedBatchSampler(
        iter_options.shape_files,
        language_table(iter_options.data_path_and_name_and_type),
        args.language_temperature,
        args.language_batches,
        batch_options={
            "type": iter_options.batch_type,
            "batch_size": iter_options.batch_size,
            "batch_bins": iter_options.batch_bins,
            "fold_lengths": args.fold_length,
            "sort_in_batch": args.sort_in_batch,
            "sort_batch": args.sort_batch,
            "drop_last": args.drop_last_iter,
            "min_batch_size": max(world_size, args.min_batch_size),
        },
        rank=rank,
        world_size=world_size,
        joining=Joining(**args.joined_conf) if args.joined_conf else None,
        rate=rate,
    )


def wants_balancing(args: argparse.Namespace) -> bool:
    """Whether training hears something else than what the corpus and ESPnet's samplers would give."""
    return args.language_temperature != 1 or args.language_batches != "mixed" or bool(args.joined_conf)


def check_balancing(args: argparse.Namespace) -> None:
    """Check the options of balancing; nothing else checks options from a configuration file.

    Raises:
        ValueError: a value does not exist, or does not go with the other options.
    """
    temperature, batches = args.language_temperature, args.language_batches
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not temperature >= 1:
        raise ValueError(
            f"language_temperature must be 1 or more, not {temperature}; 1: languages as the corpus has them, "
            "inf: all equally"
        )
    if batches not in LANGUAGE_BATCHES:
        raise ValueError(f"language_batches must be {' or '.join(LANGUAGE_BATCHES)}, not {batches}")
    if wants_balancing(args) and args.iterator_type != "sequence":
        raise ValueError(
            "language_temperature, language_batches and joined_conf need iterator_type: sequence, not "
            f"{args.iterator_type}"
        )
    if batches == "single" and args.shuffle_within_batch:
        raise ValueError("language_batches: single and shuffle_within_batch cannot be combined")
    if wants_balancing(args) and args.train_data_path_and_name_and_type:
        language_table(args.train_data_path_and_name_and_type)


def check_joining(args: argparse.Namespace) -> None:
    """Check the options of joined speech.

    Raises:
        ValueError: an option or its value does not exist, or what it needs is missing.
    """
    if not args.joined_conf:
        return
    try:
        Joining(**args.joined_conf)
    except TypeError as error:  # an option that does not exist, or none at all for the share
        raise ValueError(f"joined_conf: {error}") from error
    names = sorted(name for _, name, _ in args.train_data_path_and_name_and_type)
    if not set(names) <= {"lid", "speech", "text"}:
        raise ValueError(f"joined_conf: speech, text and lid can be joined, the training data are {', '.join(names)}")


def language_table(data: Sequence[tuple[str, str, str]]) -> str:
    """The path of the utterances' languages among the data inputs (path, name, type).

    Raises:
        ValueError: it is not there.
    """
    for path, name, _ in data:
        if name == "lid":
            return path
    raise ValueError(
        "language_temperature, language_batches and joined_conf need the languages: "
        "--train_data_path_and_name_and_type .../utt2lang,lid,text"
    )
