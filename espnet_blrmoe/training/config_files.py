"""Configuration files that build on others: `base: ../train_asr.yaml` in a file that ESPnet takes with --config."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.tasks.abs_task import optim_classes
from espnet2.tasks.asr import ASRTask
from espnet2.utils import config_argparse

from espnet_blrmoe.files.yaml_files import read_mapping
from espnet_blrmoe.training.option_errors import (
    check_numbers,
    check_scheduler,
    check_workers,
    naming_options,
)

BASE = "base"  # the key that names the file which a configuration builds on, relative to its own folder


class ConfigFileParser(config_argparse.ArgumentParser):
    """ESPnet's parser, whose --config file may name a base."""

    @classmethod
    def of(cls, parser: config_argparse.ArgumentParser) -> "ConfigFileParser":
        """A parser with the options of another, which one of ESPnet's programs has made."""
        formatters = (parser.formatter_class, argparse.RawDescriptionHelpFormatter)  # the latter keeps examples' lines
        return cls(
            parents=[parser],
            add_help=False,
            conflict_handler="resolve",  # both have --config
            formatter_class=type("HelpFormatter", formatters, {}),
        )

    def introduced_by(self, text: str | None) -> "ConfigFileParser":
        """This parser, whose --help begins with a program's docstring in place of the names of ESPnet's options."""
        self.usage, self.description = "%(prog)s [--config FILE] [options]", text
        return self

    def parse_known_args(self, args=None, namespace=None):
        """Options of the --config file and its bases as defaults, then those of the command line."""
        parse = super(config_argparse.ArgumentParser, self).parse_known_args  # ESPnet's own reads the file, as it is
        path = parse(args, namespace)[0].config
        if path is not None:
            try:
                self.set_defaults(**read_options(path, {action.dest for action in self._actions}))
            except ValueError as error:
                self.error(str(error))
        return parse(args, namespace)


class ConfigFileTask(ASRTask):
    """ESPnet's ASRTask, whose configuration files may build on others; what is wrong in them is told in a sentence."""

    @classmethod
    def get_parser(cls) -> ConfigFileParser:
        """ESPnet's parser of the task."""
        return ConfigFileParser.of(super().get_parser())

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """ESPnet's check, which ends the program, and that of the processes that read ahead.

        Raises:
            OptionError: there cannot be so many.
        """
        super().check_required_command_args(args)
        check_workers(args)

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """ESPnet's; their schedules, which follow, are checked, too.

        Raises:
            OptionError: a class or an option does not exist, or a number is none.
        """
        check_numbers(args.optim_conf, "optim_conf", optim_classes.get(args.optim))
        check_scheduler(args)
        with naming_options(args, "optim"):
            return super().build_optimizers(args, model)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable | None:
        """ESPnet's.

        Raises:
            OptionError: a class or an option does not exist, or a file of tokens is missing or broken.
        """
        with naming_options(args):
            return super().build_preprocess_fn(args, train)

    @classmethod
    def build_iter_factory(cls, args: argparse.Namespace, *others, **options) -> AbsIterFactory:
        """ESPnet's.

        Raises:
            OptionError: an option of batches is wrong, or a table is missing or broken.
        """
        with naming_options(args):
            return super().build_iter_factory(args, *others, **options)


def read_options(path: str | Path, known: set[str]) -> dict:
    """The options of a configuration file: its own, over those of its base, over those of the base's base, and so on.

    See `over` for what a file inherits.

    Args:
        path: YAML file.
        known: names of the program's options.

    Raises:
        ValueError: a file is missing, not YAML or not a mapping, has an option that does not exist, or builds on
            itself. Names the file.
    """
    files = [Path(path)]
    layers = [read_mapping(files[0], aliases=True)]
    while BASE in layers[-1]:
        base = layers[-1].pop(BASE)
        if not isinstance(base, str):
            raise ValueError(f"{files[-1]}: base names one file, for example ../train_asr.yaml, not {base!r}")
        files.append(files[-1].parent / base)
        if files[-1].resolve() in (file.resolve() for file in files[:-1]):
            raise ValueError(f"{files[-2]}: base {base} builds on {files[-2]} itself; remove one of the two")
        if not files[-1].is_file():
            raise ValueError(f"{files[-2]}: base {base} does not exist; its path starts from {files[-2].parent}")
        layers.append(read_mapping(files[-1], aliases=True))
    options = {}
    for file, layer in zip(reversed(files), reversed(layers)):
        for option in layer:
            if option not in known:
                raise ValueError(f"unrecognized arguments: {option} (from {file})")
        options = over(options, layer)
    return options


def over(base: dict, own: dict) -> dict:
    """A mapping of options over another one, from which it inherits the rest.

    Mappings are merged, on every level; anything else, including lists, replaces the base's. Options of a class go with
    that class: where `own` says `router: linear` and `base` does not, nothing of the base's `router_conf` is inherited.

    Args:
        base: options to inherit.
        own: options that win.
    """
    other_class = {f"{name.removesuffix('_type')}_conf" for name, value in own.items() if base.get(name) != value}
    merged = {name: value for name, value in base.items() if name not in other_class}
    for name, value in own.items():
        inherited = merged.get(name)
        merged[name] = over(inherited, value) if isinstance(inherited, dict) and isinstance(value, dict) else value
    return merged
