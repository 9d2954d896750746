"""Every part of ESPnet that the plugin builds on and that ESPnet does not promise to keep in place.

Works with ESPnet 202511 and 202611; what differs between them is told apart here. Two things stand elsewhere, because
they are needed before PyTorch is loaded: the lines of ESPnet's log (espnet_log.py) and what its import prints
(quiet.py).
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType

import torch
from espnet2.fileio.sound_scp import SoundScpReader
from espnet2.train import dataset, iterable_dataset
from espnet2.train.dataset import AdapterForSoundScpReader
from rapidfuzz.distance import Levenshtein

try:  # 202511
    from espnet.nets.beam_search import BeamSearch, Hypothesis
    from espnet.nets.pytorch_backend.nets_utils import get_activation
    from espnet.nets.pytorch_backend.transformer import subsampling
    from espnet.nets.pytorch_backend.transformer.embedding import PositionalEncoding, RelPositionalEncoding
    from espnet.nets.scorer_interface import BatchScorerInterface
except ModuleNotFoundError:
    from espnet2.legacy.nets.beam_search import BeamSearch, Hypothesis
    from espnet2.legacy.nets.pytorch_backend.nets_utils import get_activation
    from espnet2.legacy.nets.pytorch_backend.transformer import subsampling
    from espnet2.legacy.nets.pytorch_backend.transformer.embedding import PositionalEncoding, RelPositionalEncoding
    from espnet2.legacy.nets.scorer_interface import BatchScorerInterface

try:
    import editdistance  # noqa: F401
except ModuleNotFoundError:
    # 202611 leaves it to an extra; its trainings import it all the same. It has no wheel for Python 3.13.
    sys.modules["editdistance"] = ModuleType("editdistance")
    sys.modules["editdistance"].eval = Levenshtein.distance

TooShortUttError = subsampling.TooShortUttError

# ESPnet's names for `input_layer`.
CONV_SUBSAMPLINGS = {
    "conv1d2": subsampling.Conv1dSubsampling2,
    "conv2d": subsampling.Conv2dSubsampling,
    "conv2d1": subsampling.Conv2dSubsampling1,
    "conv2d2": subsampling.Conv2dSubsampling2,
    "conv2d6": subsampling.Conv2dSubsampling6,
    "conv2d8": subsampling.Conv2dSubsampling8,
}

# What reads one utterance's data of each of ESPnet's types, from its value in a table.
DATA_READERS: dict[str, Callable] = iterable_dataset.DATA_TYPES

__all__ = [
    "CONV_SUBSAMPLINGS",
    "DATA_READERS",
    "AdapterForSoundScpReader",
    "BatchScorerInterface",
    "Hypothesis",
    "PositionalEncoding",
    "RelPositionalEncoding",
    "SoundScpReader",
    "TooShortUttError",
    "decode_encoded",
    "extract_features",
    "get_activation",
    "inference_parser",
    "name_projection_as_here",
    "replace_loaders",
    "replace_sound_readers",
    "takes_scorers",
]


def name_projection_as_here(
    name: str, owner: torch.nn.Module, state_dict: dict[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Hook before loading, when `name` is bound: weights that were saved with either release fit this one.

    The projection behind the convolutions is `out.0` in 202511 and `out` in 202611, which loads the older name too, but
    with --init_param, which puts a checkpoint over fresh weights, keeps the fresh ones.

    Args:
        name: attribute of the owner that may be one of CONV_SUBSAMPLINGS'.
        owner: module that loads.
        state_dict: the weights, which are changed.
        prefix: of the owner's keys.
    """
    front_end = getattr(owner, name)
    if not isinstance(front_end, tuple(CONV_SUBSAMPLINGS.values())):
        return
    here, there = ("out", "out.0") if isinstance(front_end.out, torch.nn.Linear) else ("out.0", "out")
    for part in ("weight", "bias"):
        if (value := state_dict.pop(f"{prefix}{name}.{there}.{part}", None)) is not None:
            state_dict[f"{prefix}{name}.{here}.{part}"] = value


def extract_features(
    model: torch.nn.Module, speech: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """An ESPnet ASR model's features of (B, samples) and (B,): (B, T, F), not normalised, and (B,)."""
    return model._extract_feats(speech, lengths)


def decode_encoded(
    speech2text, encoder_out: torch.Tensor, scorers: Mapping[str, BatchScorerInterface] = MappingProxyType({})
) -> list[tuple]:
    """The n-best list that ESPnet's Speech2Text finds for the encoder's output (T, D) of one utterance.

    Its search adds what other scorers say, by name, to its own; see `takes_scorers`.
    """
    search = speech2text.beam_search
    weights = dict.fromkeys(scorers, 1.0)
    places = [(search.scorers, scorers), (search.full_scorers, scorers), (search.weights, weights)] if scorers else []
    for place, added in places:
        place.update(added)
    try:
        return speech2text._decode_single_sample(encoder_out)
    finally:
        for place, added in places:
            for name in added:
                del place[name]


def takes_scorers(speech2text) -> bool:
    """Whether the search of ESPnet's Speech2Text goes token by token, so that scorers can be added to it."""
    return isinstance(speech2text.beam_search, BeamSearch)


def inference_parser(program: str = "asr_inference") -> argparse.ArgumentParser:
    """The parser of one of ESPnet's programs that recognise, without a demand for the model's files: there are other
    ways to name a model here. A bare % in a text of 202611 ends its --help in an error."""
    parser = import_module(f"espnet2.bin.{program}").get_parser()  # imports ESPnet's task, which imports this module
    for action in parser._actions:
        if action.help:
            action.help = re.sub(r"(?<!%)%(?![(%])", "%%", action.help)
        if action.dest in ("asr_train_config", "asr_model_file"):
            action.required = False
    return parser


def replace_loaders(data_set: dataset.ESPnetDataset, replacement: Callable) -> None:
    """Let an ESPnet data set ask others for the values of utterances; `replacement` makes them from its own loaders."""
    data_set.loader_dict = {name: replacement(loader) for name, loader in data_set.loader_dict.items()}


def replace_sound_readers(load_table: Callable, read_value: Callable) -> None:
    """Let ESPnet's data type `sound` be read by others, in this process.

    Args:
        load_table: for trainings: takes a wav.scp, `float_dtype` and `allow_multi_rates`; gives a mapping.
        read_value: for statistics and decoding: takes an utterance's value in it.
    """
    dataset.DATA_TYPES["sound"]["func"] = load_table
    iterable_dataset.DATA_TYPES["sound"] = read_value
