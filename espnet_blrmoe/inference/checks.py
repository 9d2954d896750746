"""What is checked before ESPnet builds a recogniser: the model's configuration, and options that do not fit it."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.lm import LMTask

from espnet_blrmoe.files.trained_model import check_bpemodel, check_model, read_blr_moe_config, read_config
from espnet_blrmoe.inference.ngram import KENLM

# ESPnet's options of a beam search, and the values with which they ask for nothing.
BEAM_SEARCH = {"nbest": 1, "penalty": 0.0, "lm_file": None, "ngram_file": None}


def checked_config(
    asr_train_config: str | Path, asr_model_file: str | Path, espnet_options: dict[str, Any]
) -> dict[str, Any]:
    """The model's configuration, once all that ESPnet is going to build, unpickle and read has been looked at.

    Raises:
        ValueError: a file is missing, broken or of another kind, the device cannot be used, or an option is out of its
            range.
    """
    check_device(espnet_options.get("device", "cpu"))
    if espnet_options.get("beam_size", 1) < 1:
        raise ValueError(f"beam_size must be at least 1, not {espnet_options['beam_size']}")
    config = read_blr_moe_config(asr_train_config)
    check_tokens_and_ngram(config, espnet_options)
    check_model(ASRTask, config, asr_train_config, asr_model_file)
    lm_train_config, lm_file = (espnet_options.get(option) for option in ("lm_train_config", "lm_file"))
    if bool(lm_train_config) != bool(lm_file):
        raise ValueError("lm_train_config and lm_file need each other")
    if lm_train_config and lm_file:
        check_model(LMTask, read_config(lm_train_config), lm_train_config, lm_file)
    if bpemodel := espnet_options.get("bpemodel") or config.get("bpemodel"):
        check_bpemodel(bpemodel)
    return config


def check_device(device: str | torch.device) -> None:
    """Raise ValueError unless torch can use a device."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        reason = str(error).partition("\n")[0]
        raise ValueError(f"cannot use device {str(device)!r}: {reason}") from error


def check_best_path(espnet_options: Mapping[str, Any]) -> None:
    """Raise ValueError for options of a beam search, which the CTC's best path would ignore."""
    for option, harmless in BEAM_SEARCH.items():
        if (given := espnet_options.get(option, harmless)) != harmless:
            raise ValueError(f"{option} {given} needs a beam search: give a beam_size of more than 1, for example 10")


def check_tokens_and_ngram(config: dict[str, Any], espnet_options: Mapping[str, Any]) -> None:
    """Check options of ESPnet's Speech2Text that it would find wrong only once the model is loaded, or not at all.

    Raises:
        ValueError: tokens of another type than the model's, or an n-gram that is missing or cannot be read here.
    """
    token_type, ngram_file = espnet_options.get("token_type"), espnet_options.get("ngram_file")
    if token_type is not None and token_type != config.get("token_type"):
        own = config.get("token_type")
        raise ValueError(f"token_type {token_type}: the model's tokens are of the type {own}; leave the option out")
    if ngram_file is not None:
        if find_spec("kenlm") is None:
            raise ValueError(f"ngram_file {ngram_file} needs {KENLM}")
        if not Path(ngram_file).is_file():
            raise ValueError(f"ngram_file {ngram_file} does not exist")
