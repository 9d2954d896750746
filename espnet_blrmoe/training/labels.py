"""Languages of a training's utterances, checked before it starts: ESPnet would meet a wrong one in some batch."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_blrmoe.languages import label_languages, parse_label
from espnet_blrmoe.tables import read_table

DATA = ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type")  # ESPnet's options


def check_labels(args: argparse.Namespace, known: Sequence[str], needed: bool = False) -> None:
    """Check that a training knows the language of every utterance, also of those for validation.

    Args:
        args: its options; the languages are the data input called `lid`.
        known: those that it knows.
        needed: whether utterances must have one.

    Raises:
        ValueError: a table is missing or broken, or an utterance is in another language; names the table.
    """
    for option in DATA:
        data = getattr(args, option)
        tables = [Path(path) for path, name, _ in data if name == "lid"]
        if needed and data and not tables:
            raise ValueError(f"the utterances have no languages; add --{option} FOLDER/utt2lang,lid,text")
        for path in tables:
            # With --multiple_iterator it is a folder with parts of the table.
            for part in sorted(path.glob("split.*")) if path.is_dir() else [path]:
                _check_table(part, known)


def _check_table(path: Path, known: Sequence[str]) -> None:
    for utterance, label in read_table(path).items():
        try:
            parse_label(label)
        except ValueError as error:
            raise ValueError(f"{path}: utterance {utterance}: {error}") from error
        for language in label_languages(label):
            if language not in known:
                raise ValueError(
                    f"{path}: utterance {utterance} has language {language!r}, but this training is of "
                    f"{', '.join(known)}; correct the table, or leave the utterance out"
                )
