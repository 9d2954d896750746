"""Reading and writing the weights of BLR-MoE models."""

import argparse
import tempfile
import textwrap
import zipfile
from pathlib import Path

import humanfriendly
import sentencepiece
import torch
import yaml
from espnet2.tasks.abs_task import AbsTask
from espnet2.tasks.asr import ASRTask
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump
from torch.overrides import TorchFunctionMode

from espnet_blrmoe.model.asr_model import BLRMoEModel

ROUTER_PREFIX = "encoder.router."
CONFS = ("frontend_conf", "encoder_conf", "model_conf", "preprocessor_conf")  # that ESPnet or the plugin look into
MEL_MATRIX = "frontend.logmel.melmat"
MOST_CALLS = 100  # of torch for each tensor of a checkpoint while its model is built; ESPnet's parts need 5 to 15


class _AliasError(ValueError):
    pass


class _NoAliasLoader(yaml.SafeLoader):
    """Refuses aliases, by which a short file stands for more than any memory holds; ESPnet saves none."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise _AliasError(f"has a YAML alias, *{self.peek_event().anchor}, which no saved configuration has")
        return super().compose_node(parent, index)


def read_mapping(path: Path) -> dict:
    """Read a YAML file that a program has written, safely: nothing in it is executed, and it stays as small as it is.

    Raises:
        ValueError: it holds anything but a mapping, or aliases. Says what is wrong, to be put behind the file's name.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_NoAliasLoader)
    except _AliasError:
        raise
    except (ValueError, yaml.YAMLError, RecursionError):  # ValueError: no UTF-8, or no such date
        content = None
    if not isinstance(content, dict):
        raise ValueError("is no configuration: expected 'option: value' lines")
    return content


def write_mapping(path: Path, content: dict) -> None:
    """Write a YAML file that `read_mapping` reads."""
    path.write_text(yaml_no_alias_safe_dump(content, sort_keys=False), encoding="utf-8")


def read_config(path: str | Path) -> dict:
    """Read a training configuration as ESPnet saves it, safely.

    Raises:
        ValueError: it is missing, no YAML mapping, or has YAML aliases.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} {_is_no_file(path)}; give the config.yaml that training writes to exp/")
    try:
        return read_mapping(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def _is_no_file(path: Path) -> str:
    return "is a folder" if path.is_dir() else "does not exist"


def read_blr_moe_config(path: str | Path) -> dict:
    """Read the config.yaml of a trained BLR-MoE model.

    Raises:
        ValueError: it is missing, no YAML mapping, of another model, malformed, or only the options that a training
            started from.
    """
    config = read_config(path)
    if config.get("model") != "blr_moe":
        raise ValueError(
            f"{path} is no BLR-MoE model: it says 'model: {config.get('model')}'; decode it with "
            "espnet2.bin.asr_inference"
        )
    for option in (*CONFS, "token_list", "token_type", "bpemodel"):
        if option not in config:
            raise ValueError(f"{path} has no {option}; give the config.yaml that training wrote to exp/")
    for option in CONFS:
        if not isinstance(config[option], dict):
            raise ValueError(f"{path}: {option} must be options and their values, not {config[option]!r}")
    if not isinstance(config["token_list"], list):
        raise ValueError(f"{path}: token_list must be a list of tokens, not {config['token_list']!r}")
    if "languages" not in config["encoder_conf"]:
        raise ValueError(f"{path} has no languages in encoder_conf; give the config.yaml that training wrote to exp/")
    return config


def sampling_rate(config: dict) -> int:
    """The model's sampling rate in Hz; ESPnet takes 16000 and "16k"."""
    return humanfriendly.parse_size(str(config["frontend_conf"].get("fs", 16000)))


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint of weights alone; nothing in it is executed.

    Raises:
        ValueError: it is missing, broken, holds anything but tensors, or unpacks to more than its size.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} {_is_no_file(path)}; train a model first or correct the path")
    refuse_compressed(path)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a file that is no checkpoint, and advises to execute it
        weights = None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(
            f"{path} is damaged or holds anything but weights; give a model file such as valid.loss.best.pth"
        )
    # Tensors may name one place of the file many times; twice, where a layer uses the weights of another.
    if sum(value.numel() * value.element_size() for value in weights.values()) > 2 * path.stat().st_size:
        raise ValueError(f"{path} is damaged: its tensors are larger than the file")
    return weights


def refuse_compressed(path: str | Path) -> None:
    """Check that a file of PyTorch or NumPy holds its arrays as they are: compressed, they may be of any size.

    Raises:
        ValueError: they are compressed, or the file is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as arrays:
            size = sum(member.file_size for member in arrays.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if size > Path(path).stat().st_size:
        raise ValueError(f"{path} is compressed; save it as torch.save or numpy.savez does")


def load_weights(model: torch.nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model of exactly its architecture and languages.

    Raises:
        ValueError: another architecture or other languages; says what differs.
    """
    _load(model, read_weights(path), path)


def _load(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | Path, assign: bool = False) -> None:
    try:
        model.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        first_difference = textwrap.shorten(str(error).splitlines()[1], 200, placeholder=" ...")
        raise ValueError(f"{path} does not fit the training configuration: {first_difference}") from error


def load_asr_model(asr_train_config: str | Path, asr_model_file: str | Path) -> BLRMoEModel:
    """Build a trained BLR-MoE model.

    Raises:
        ValueError: a file is missing or no BLR-MoE model, or they do not fit.
    """
    config = read_blr_moe_config(asr_train_config)
    check_model(ASRTask, config, asr_train_config, asr_model_file)
    model = build_asr_model(config)
    load_weights(model, asr_model_file)
    return model


def check_model(task: type[AbsTask], config: dict, config_file: str | Path, model_file: str | Path) -> None:
    """Check that a model can be built and its checkpoint fits, with no more memory than the checkpoint takes.

    Args:
        task: ESPnet's, of the model.
        config: the training configuration.
        config_file: where it is from.
        model_file: the checkpoint.

    Raises:
        ValueError: names the file, and what is wrong.
    """
    weights = read_weights(model_file)
    try:
        _check_arrays(config, weights)
        with torch.device("meta"), _FewCalls(MOST_CALLS * len(weights)):  # tensors have shapes, but no memory
            model = task.build_model(argparse.Namespace(**config))
    except Exception as error:  # ESPnet checks no configuration: TypeError, KeyError, OSError, ...
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"{config_file} describes no model that can be built: {reason}") from error
    _load(model, weights, model_file, assign=True)


def check_bpemodel(path: str | Path) -> None:
    """Check that a file is a sentencepiece model, which ESPnet reads only when it has a text to write.

    Raises:
        ValueError: it is missing or something else.
    """
    try:
        sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"bpemodel {path} is missing or no sentencepiece model") from error


def _check_arrays(config: dict, weights: dict[str, torch.Tensor]) -> None:
    """Check what ESPnet makes of NumPy arrays, which take memory on every device.

    Raises:
        ValueError: the frontend is of another size than the checkpoint's, or the file of statistics is compressed.
    """
    if config.get("frontend") == "default":
        options = config["frontend_conf"]
        size = options.get("n_fft", 512) // 2 + 1, options.get("n_mels", 80)
        if MEL_MATRIX not in weights or weights[MEL_MATRIX].shape != size:
            raise ValueError("frontend_conf: its n_fft and n_mels are not those of the checkpoint")
    if stats_file := (config.get("normalize_conf") or {}).get("stats_file"):
        refuse_compressed(stats_file)


class _FewCalls(TorchFunctionMode):
    """Ends the building of a model that calls torch more often, such as one of a billion layers."""

    def __init__(self, calls: int):
        super().__init__()
        self.calls = calls

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.calls -= 1
        if self.calls < 0:
            raise ValueError("it has far more layers than the checkpoint")
        return function(*args, **(kwargs or {}))


def build_asr_model(config: dict) -> BLRMoEModel:
    """The model of a training configuration, with fresh weights."""
    return ASRTask.build_model(argparse.Namespace(**config))


def refuse_to_overwrite(*files: Path) -> None:
    """Check that no model is there yet.

    Raises:
        ValueError: one of the files exists, or its folder is a file.
    """
    for path in files:
        if path.parent.exists() and not path.parent.is_dir():
            raise ValueError(f"{path.parent} is a file; choose a folder as --output_dir")
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
        write_mapping(unfinished[0], config)
        torch.save(weights, unfinished[1])
        load_asr_model(*unfinished)  # raises where the weights do not fit: a router that keeps more than its last layer
        for source, target in zip(unfinished, (config_file, model_file)):
            source.replace(target)


def with_router_of(weights: dict[str, torch.Tensor], router: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same weights with another router's; every other tensor is the very same."""
    own = {f"{ROUTER_PREFIX}{name}": value.detach().cpu() for name, value in router.state_dict().items()}
    others = {name: value for name, value in weights.items() if name in own or not name.startswith(ROUTER_PREFIX)}
    return others | own
