"""Tables of a training's data, checked before it starts: ESPnet meets a missing line in some batch, as a KeyError."""

import argparse

from espnet_blrmoe.tables import read_table

TABLES = ("sound", "text")  # ESPnet's types of data in tables with a line for every utterance


def check_tables(args: argparse.Namespace) -> None:
    """Check that the tables of a training have all utterances that it draws: those of its first shape file, or of its
    first data where there is none.

    Args:
        args: its options. With --multiple_iterator the tables of the training set are folders of parts, and not read.

    Raises:
        ValueError: a table is missing, broken or empty, or lacks an utterance; names it.
    """
    for part in ("valid",) if args.multiple_iterator else ("train", "valid"):
        shapes = getattr(args, f"{part}_shape_file")
        data = getattr(args, f"{part}_data_path_and_name_and_type")
        paths = [*shapes, *(path for path, _, kind in data if kind in TABLES)]
        if shapes or (data and data[0][2] in TABLES):
            _check_against_first(paths, len(shapes))


def _check_against_first(paths: list[str], shapes: int) -> None:
    """Check tables, of which so many are shape files, which must all have the same utterances."""
    drawn = _utterances_of(paths[0])
    for n, path in enumerate(paths[1:], start=1):
        own = _utterances_of(path)
        _check_complete(own, path, drawn, paths[0])
        if n < shapes:
            _check_complete(drawn, paths[0], own, path)


def _utterances_of(path: str) -> set[str]:
    utterances = set(read_table(path))
    if not utterances:
        raise ValueError(f"{path} has no utterance")
    return utterances


def _check_complete(own: set[str], path: str, others: set[str], other: str) -> None:
    if lacking := others - own:
        raise ValueError(f"{path} has no line for utterance {min(lacking)} of {other}; add it")
