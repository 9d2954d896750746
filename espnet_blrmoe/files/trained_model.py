"""Trained models: their configuration read and checked, the model built, and its folder written whole or not at all."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import humanfriendly
import sentencepiece
import torch
from espnet2.tasks.abs_task import AbsTask
from espnet2.tasks.asr import ASRTask
from torch.overrides import TorchFunctionMode

from espnet_blrmoe.files.model_files import CONFIG_NAME, OF_TRAINING, WEIGHTS_NAME, ModelFiles, check_is_file
from espnet_blrmoe.files.output_folder import check_new
from espnet_blrmoe.files.weights import load_weights, put_weights, read_weights, refuse_compressed
from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping
from espnet_blrmoe.model.asr_model import BLRMoEModel

# Options that name a file: the mapping that they are in, and what programs that gather the files call it.
NAMED_FILES = {
    "bpemodel": (None, "bpe.model"),
    "non_linguistic_symbols": (None, "non_linguistic_symbols.txt"),
    "stats_file": ("normalize_conf", "feats_stats.npz"),
}
CONFS = ("frontend_conf", "encoder_conf", "model_conf", "preprocessor_conf")  # that ESPnet or the plugin look into
MEL_MATRIX = "frontend.logmel.melmat"
MOST_CALLS = 100  # of torch for each tensor of a checkpoint while its model is built; ESPnet's parts need 5 to 15


def read_config(path: str | Path) -> dict:
    """Read a training configuration as ESPnet saves it, safely.

    Raises:
        ValueError: it is missing, not a YAML mapping, or has YAML aliases.
    """
    check_is_file(Path(path), OF_TRAINING)
    return read_mapping(Path(path))


def read_blr_moe_config(path: str | Path) -> dict:
    """Read the config.yaml of a trained BLR-MoE model.

    Raises:
        ValueError: it is missing, not a YAML mapping, of another model, malformed, or only the options that a training
            started from.
    """
    config = read_config(path)
    if config.get("model") != "blr_moe":
        raise ValueError(
            f"{path} is not of a BLR-MoE model: it says 'model: {config.get('model')}'; decode it with "
            "espnet2.bin.asr_inference"
        )
    check_options(config, path)
    if "languages" not in config["encoder_conf"]:
        raise ValueError(
            f"{path} has no languages in encoder_conf; give the {CONFIG_NAME} that training wrote to exp/"
        )
    return config


def check_options(config: dict, path: str | Path, others: Sequence[str] = ()) -> None:
    """Check that a configuration has what every program looks into, and these other options.

    Raises:
        ValueError: one is missing or malformed.
    """
    for option in (*CONFS, "token_list", "token_type", "bpemodel", *others):
        if option not in config:
            raise ValueError(f"{path} has no {option}; give the {CONFIG_NAME} that training wrote to exp/")
    for option in CONFS:
        if not isinstance(config[option], dict):
            raise ValueError(f"{path}: {option} must be options and their values, not {config[option]!r}")
    if not isinstance(config["token_list"], list):
        raise ValueError(f"{path}: token_list must be a list of tokens, not {config['token_list']!r}")


def with_files(config: dict, place: Callable[[str, str], str]) -> dict:
    """A configuration whose options of NAMED_FILES name what `place` makes of option and path."""
    config = dict(config)
    for option, (part, _) in NAMED_FILES.items():
        options = config if part is None else dict(config.get(part) or {})
        if options.get(option):
            options[option] = place(option, options[option])
            if part is not None:
                config[part] = options
    return config


def sampling_rate(config: dict) -> int:
    """The model's sampling rate in Hz; ESPnet takes 16000 and "16k"."""
    return humanfriendly.parse_size(str(config["frontend_conf"].get("fs", 16000)))


def load_asr_model(files: ModelFiles) -> BLRMoEModel:
    """Build a trained BLR-MoE model.

    Raises:
        ValueError: a file is missing or of another model, or they do not fit.
    """
    config = read_blr_moe_config(files.config)
    check_model(ASRTask, config, files.config, files.weights)
    model = build_asr_model(config)
    load_weights(model, files.weights)
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
    _import_librosa()
    try:
        _check_arrays(config, weights)
        with torch.device("meta"), _FewCalls(MOST_CALLS * len(weights)):  # tensors have shapes, but no memory
            model = task.build_model(argparse.Namespace(**config))
    except ImportError as error:
        raise ValueError(f"{config_file} needs a library that cannot be imported: {error}") from error
    except OSError as error:
        raise ValueError(f"{config_file} needs a file that cannot be read: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{config_file} describes a model that needs more memory than there is") from error
    except Exception as error:  # ESPnet does not check configurations: TypeError, KeyError, AssertionError, ...
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"{config_file} describes no model that can be built: {reason}") from error
    put_weights(model, weights, model_file, assign=True)


def _import_librosa() -> None:
    """Import what ESPnet's front end imports when it is built, and which says nothing of the configuration if it fails.

    Raises:
        ValueError: numba, which librosa is built on, finds no folder for its cache.
    """
    try:
        from librosa import filters  # noqa: F401
    except RuntimeError as error:
        raise ValueError(
            "numba finds no folder for its cache; name one that you can write in the environment variable "
            "NUMBA_CACHE_DIR, or one for all temporary files in TMPDIR"
        ) from error


def check_bpemodel(path: str | Path) -> None:
    """Check that a file is a sentencepiece model, which ESPnet reads only when it has a text to write.

    Raises:
        ValueError: it is missing or something else.
    """
    try:
        sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"bpemodel {path} is missing or not a sentencepiece model") from error


def _check_arrays(config: dict, weights: dict[str, torch.Tensor]) -> None:
    """Check what ESPnet makes from NumPy arrays, which take memory on every device.

    Raises:
        ValueError: the frontend's size is not the checkpoint's, or the file of statistics is compressed.
    """
    if config.get("frontend") == "default":
        options = config["frontend_conf"]
        size = options.get("n_fft", 512) // 2 + 1, options.get("n_mels", 80)
        if MEL_MATRIX not in weights or weights[MEL_MATRIX].shape != size:
            raise ValueError("frontend_conf: its n_fft and n_mels are not those of the checkpoint")
    if stats_file := (config.get("normalize_conf") or {}).get("stats_file"):
        refuse_compressed(stats_file)


class _FewCalls(TorchFunctionMode):
    """Stops building a model that calls torch more often, such as one with a billion layers."""

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


def write_model(config: dict, weights: dict[str, torch.Tensor], folder: Path) -> ModelFiles:
    """Write a model's two files into a folder, which may have those of another: both, or neither.

    Raises:
        ValueError: the weights do not fit the configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished_folder:  # so that nothing half-written stays
        unfinished, written = ModelFiles.in_folder(unfinished_folder), ModelFiles.in_folder(folder)
        write_mapping(unfinished.config, config)
        torch.save(weights, unfinished.weights)
        load_asr_model(unfinished)  # raises where the weights do not fit: a router that keeps more than its last layer
        unfinished.config.replace(written.config)
        unfinished.weights.replace(written.weights)
    return written


def write_new_model(config: dict, weights: dict[str, torch.Tensor], folder: Path) -> ModelFiles:
    """Write a model's folder, with the files that its configuration names: all of it, or nothing.

    Args:
        config: names files, such as `bpemodel`, where they are now; they are copied.
        weights: may be views, which are written out.
        folder: must not exist; takes its place when everything is in it. Of several runs, the first to end writes it.

    Raises:
        ValueError: there is no room, something cannot be written, or another run has written the folder.
    """
    size = sum(value.numel() * value.element_size() for value in weights.values())

    def copy(option: str, path: str) -> str:
        name = NAMED_FILES[option][1]
        shutil.copyfile(path, unfinished / name)
        return str(folder / name)

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.unfinished.") as own:
            unfinished = Path(own) / folder.name  # with the usual permissions, which `own` does not have
            unfinished.mkdir()
            if shutil.disk_usage(unfinished).free < size:
                raise OSError(f"it takes {humanfriendly.format_size(size)}, and there is less room")
            write_mapping(unfinished / CONFIG_NAME, with_files(config, copy))
            torch.save({name: value.contiguous() for name, value in weights.items()}, unfinished / WEIGHTS_NAME)
            check_new(folder)
            unfinished.rename(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's of a full disk
        raise ValueError(f"{folder} cannot be written: {str(error).strip().partition(chr(10))[0]}") from error
    return ModelFiles.in_folder(folder)
