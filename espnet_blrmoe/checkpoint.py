"""Reading and writing the weights of BLR-MoE models."""

import argparse
import tempfile
import textwrap
from pathlib import Path

import humanfriendly
import torch
import yaml
from espnet2.tasks.asr import ASRTask

from espnet_blrmoe.asr_model import BLRMoEModel

ROUTER_PREFIX = "encoder.router."


def read_mapping(path: Path) -> dict | None:
    """Read a YAML file, safely: nothing in it is executed. None if it holds anything but a mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_config(path: str | Path) -> dict:
    """Read a training configuration as ESPnet saves it, safely.

    Raises:
        ValueError: it is missing or no YAML mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; it is the config.yaml that training writes next to its checkpoints")
    config = read_mapping(path)
    if config is None:
        raise ValueError(f"{path} is not a training configuration: expected 'option: value' lines")
    return config


def read_blr_moe_config(path: str | Path) -> dict:
    """Read the config.yaml of a trained BLR-MoE model.

    Raises:
        ValueError: it is missing, no YAML mapping, of another model, or only the options that a training started from.
    """
    config = read_config(path)
    if config.get("model") != "blr_moe":
        raise ValueError(
            f"{path} is no BLR-MoE model: it says 'model: {config.get('model')}'; decode it with "
            "espnet2.bin.asr_inference"
        )
    if "token_list" not in config or "languages" not in config.get("encoder_conf", {}):
        raise ValueError(f"{path} has no token_list or languages; give the config.yaml that training wrote to exp/")
    return config


def sampling_rate(config: dict) -> int:
    """The model's sampling rate in Hz; ESPnet takes 16000 and "16k"."""
    return humanfriendly.parse_size(str(config["frontend_conf"].get("fs", 16000)))


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint of weights alone; nothing in it is executed.

    Raises:
        ValueError: it is missing, broken, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; train a model first or correct the path")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a file that is no checkpoint, and advises to execute it
        weights = None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(
            f"{path} is damaged or holds anything but weights; give a model file such as valid.loss.best.pth"
        )
    return weights


def load_weights(model: torch.nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model of exactly its architecture and languages.

    Raises:
        ValueError: another architecture or other languages; says what differs.
    """
    try:
        model.load_state_dict(read_weights(path))
    except RuntimeError as error:
        first_difference = textwrap.shorten(str(error).splitlines()[1], 200, placeholder=" ...")
        raise ValueError(f"{path} does not fit the training configuration: {first_difference}") from error


def load_asr_model(asr_train_config: str | Path, asr_model_file: str | Path) -> BLRMoEModel:
    """Build a trained BLR-MoE model.

    Raises:
        ValueError: a file is missing or no BLR-MoE model, or they do not fit.
    """
    model = build_asr_model(read_blr_moe_config(asr_train_config))
    load_weights(model, asr_model_file)
    return model


def build_asr_model(config: dict) -> BLRMoEModel:
    """The model of a training configuration, with fresh weights."""
    return ASRTask.build_model(argparse.Namespace(**config))


def refuse_to_overwrite(*files: Path) -> None:
    """Check that no model is there yet.

    Raises:
        ValueError: one of the files exists.
    """
    for path in files:
        if path.exists():
            raise ValueError(f"{path} exists already; remove it or choose another --output_dir")


def write_model(config: dict, weights: dict[str, torch.Tensor], config_file: Path, model_file: Path) -> None:
    """Write a model's two files into a folder: both, or neither.

    Raises:
        ValueError: the weights do not fit the configuration.
    """
    config_file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config_file.parent) as folder:  # so that nothing half-written stays
        unfinished = Path(folder) / config_file.name, Path(folder) / model_file.name
        unfinished[0].write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        torch.save(weights, unfinished[1])
        load_asr_model(*unfinished)  # raises where the weights do not fit: a router that keeps more than its last layer
        for source, target in zip(unfinished, (config_file, model_file)):
            source.replace(target)


def with_router_of(weights: dict[str, torch.Tensor], router: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same weights with another router's; every other tensor is the very same."""
    own = {f"{ROUTER_PREFIX}{name}": value.detach().cpu() for name, value in router.state_dict().items()}
    others = {name: value for name, value in weights.items() if name in own or not name.startswith(ROUTER_PREFIX)}
    return others | own
