"""Reading and writing the weights of BLR-MoE models."""

import textwrap
from pathlib import Path

import torch
import yaml

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


def with_router_of(weights: dict[str, torch.Tensor], router: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same weights with another router's; every other tensor is the very same."""
    own = {f"{ROUTER_PREFIX}{name}": value.detach().cpu() for name, value in router.state_dict().items()}
    return {name: own.get(name, value) for name, value in weights.items()}
