"""Checkpoints of weights only: read without executing anything in them, loaded, and given another router's."""

import textwrap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from espnet_blrmoe.files.model_files import TRAIN_FIRST, check_is_file

ROUTER_PREFIX = "encoder.router."


class UnusableFile(ValueError):
    """A file of a training is damaged or does not fit; says which, and what to do."""


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint of weights only; nothing in it is executed.

    Raises:
        ValueError: it is missing, broken, holds anything but tensors, unpacks to more than its size, or cannot be read.
    """
    path = Path(path)
    check_is_file(path, TRAIN_FIRST)
    refuse_compressed(path)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise ValueError(f"{path} needs more memory than there is") from error
    except Exception as error:  # torch raises many kinds for a file that is not a checkpoint, and advises executing it
        if isinstance(error, OSError) and error.filename is not None:  # it is not to be read
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        weights = None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(
            f"{path} is damaged or holds more than weights; give a model file such as valid.loss.best.pth"
        )
    # Tensors may name one place in the file many times; twice is fine: a layer may use another's weights.
    if sum(value.numel() * value.element_size() for value in weights.values()) > 2 * path.stat().st_size:
        raise ValueError(f"{path} is damaged: its tensors are larger than the file")
    return weights


@contextmanager
def naming_damaged_files() -> Iterator[None]:
    """Inside the `with`, torch.load says which file is damaged: "[Errno 22] Invalid argument" is all that PyTorch says.

    Raises:
        UnusableFile: from torch.load, for a file that is cut off or no checkpoint.
    """
    load = torch.load

    def load_or_name(file: str | Path, *args, **kwargs) -> object:
        try:
            return load(file, *args, **kwargs)
        except (ImportError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of many kinds
            if getattr(error, "filename", None) is not None:  # it is not there, or not to be read
                raise
            raise UnusableFile(f"{file} is damaged or cut off; put a whole copy in its place") from error

    torch.load = load_or_name
    try:
        yield
    finally:
        torch.load = load


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
    put_weights(model, read_weights(path), path)


def put_weights(
    model: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | Path, assign: bool = False
) -> None:
    """Give a model weights that were read from a checkpoint.

    Args:
        model: gets them.
        weights: by name.
        path: of the checkpoint, for messages.
        assign: put these very tensors in the place of the model's own.

    Raises:
        ValueError: as `load_weights`.
    """
    try:
        model.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        first_difference = textwrap.shorten(str(error).splitlines()[1], 200, placeholder=" ...")
        raise ValueError(f"{path} does not fit the training configuration: {first_difference}") from error


def with_router_of(weights: dict[str, torch.Tensor], router: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The same weights with another router's; every other tensor is the very same."""
    own = {f"{ROUTER_PREFIX}{name}": value.detach().cpu() for name, value in router.state_dict().items()}
    others = {name: value for name, value in weights.items() if name in own or not name.startswith(ROUTER_PREFIX)}
    return others | own
