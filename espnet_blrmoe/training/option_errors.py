"""Options that ESPnet's classes do not take: a sentence that names the option in place of a traceback."""

import argparse
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature

import yaml
from espnet2.tasks.abs_task import scheduler_classes

UNKNOWN = re.compile(r"(?:(\w+)\.__init__\(\) )?got an unexpected keyword argument '(\w+)'")
SET_ALREADY = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")
LACKING = re.compile(r"(?:(\w+)\.__init__\(\) )?missing (?:an?|\d+) required .*arguments?: (.+)")
NO_MAPPING = re.compile(r"(\w+)\(\) argument after \*\* must be a mapping")


class OptionError(ValueError):
    """An option of a training is wrong."""


@contextmanager
def naming_options(args: argparse.Namespace, part: str = "") -> Iterator[None]:
    """Inside the `with`, errors of the classes that are made of options become sentences.

    Args:
        args: all of the training's options.
        part: how the sentences begin, for example "optim_conf".

    Raises:
        OptionError: a class does not know an option or its value, lacks one, or does not find a file.
    """
    try:
        yield
    except (OptionError, TypeError, ValueError, AssertionError, OSError) as error:
        sentence = sentence_of(error, args)
        if sentence is None:
            raise
        raise OptionError(f"{part}: {sentence}" if part and part not in sentence else sentence) from error


def sentence_of(error: Exception, args: argparse.Namespace) -> str | None:
    """What an error says of the options; None if that is nothing, and so a traceback is needed."""
    text = " ".join(str(error).split())
    if isinstance(error, TypeError):
        if found := UNKNOWN.search(text):
            return f"{_place_of(found[2], args)}{found[2]}: {found[1] or 'the class'} has no such option"
        if found := SET_ALREADY.search(text):
            return f"{_place_of(found[1], args)}{found[1]} comes from elsewhere; leave it out"
        if found := LACKING.search(text):
            return f"{found[1] or 'the class'} needs {found[2]}: add it to its options"
        if found := NO_MAPPING.search(text):
            return f"options of {found[1]} must be a mapping, `name: value`"
        return None
    if isinstance(error, AssertionError) and not text:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"no model can be made of these options: in {last.name} of ESPnet, `{last.line}` fails"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be read: {error.strerror}"
    return text


def _place_of(option: str, args: argparse.Namespace) -> str:
    """The mappings that have the option: "encoder_conf: "."""
    places = [name for name, value in vars(args).items() if isinstance(value, dict) and option in value]
    return " or ".join(places) + ": " if places else ""


def check_numbers(options: dict, part: str, taker: type | None) -> None:
    """Check that numbers are numbers, not text, as YAML takes 1e-3 for; classes say nothing of them that helps.

    Args:
        options: of a class.
        part: how the sentence begins, for example "optim_conf".
        taker: the class, whose defaults say what is a number; None: it does not exist.

    Raises:
        OptionError: one is something else.
    """
    parameters = signature(taker).parameters if taker else {}
    for name, value in options.items():
        if isinstance(value, (int, float, list)):  # a list has a number for each group of parameters
            continue
        if isinstance(value, str) and (number := _number_of(value)) is not None:
            written = yaml.safe_dump(number).split()[0]
            raise OptionError(f"{part}: {name}: {value} is text to YAML, not a number; write {written}")
        default = parameters[name].default if name in parameters else None
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            raise OptionError(f"{part}: {name}: {value} is not a number")


def _number_of(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check_workers(args: argparse.Namespace) -> None:
    """Check the number of processes that read ahead.

    Raises:
        OptionError: there cannot be so many.
    """
    if not isinstance(args.num_workers, int) or args.num_workers < 0:
        raise OptionError(f"num_workers must be 0 or more processes, not {args.num_workers}")


def check_scheduler(args: argparse.Namespace) -> None:
    """Check the class and options of the learning rate's schedule.

    Raises:
        OptionError: the class does not exist, or does not know an option, or lacks one.
    """
    if args.scheduler is None:
        return
    if args.scheduler not in scheduler_classes:
        raise OptionError(f"scheduler must be one of {', '.join(scheduler_classes)}, not {args.scheduler}")
    check_numbers(args.scheduler_conf, "scheduler_conf", scheduler_classes[args.scheduler])
    with naming_options(args, "scheduler_conf"):
        signature(scheduler_classes[args.scheduler]).bind(None, **args.scheduler_conf)
