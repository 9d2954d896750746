"""Where a model is: its folder, with config.yaml and model.pth, or two files; and the options that say so."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG_NAME, WEIGHTS_NAME = "config.yaml", "model.pth"
GIVE_FOLDER = f"give the folder with a model's {CONFIG_NAME} and {WEIGHTS_NAME}"
OF_TRAINING = f"give the {CONFIG_NAME} that training writes to exp/"
TRAIN_FIRST = "train a model first or correct the path"
WAYS = "give --model FOLDER, or --asr_train_config FILE and --asr_model_file FILE"


@dataclass(frozen=True)
class ModelFiles:
    """Where a model is.

    Attributes:
        config: configuration of its training.
        weights: checkpoint.
    """

    config: Path
    weights: Path

    @classmethod
    def in_folder(cls, folder: str | Path) -> "ModelFiles":
        """The files that a model's folder has, or will have."""
        return cls(Path(folder) / CONFIG_NAME, Path(folder) / WEIGHTS_NAME)

    @classmethod
    def of_folder(cls, folder: str | Path) -> "ModelFiles":
        """The files of a model's folder.

        Raises:
            ValueError: the folder or one of its files is missing; says what is there.
        """
        folder, files = Path(folder), cls.in_folder(folder)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; {GIVE_FOLDER}")
        if not folder.is_dir():
            raise ValueError(f"{folder} does not exist; {GIVE_FOLDER}")
        if not files.config.is_file():
            raise ValueError(f"{folder} has no {CONFIG_NAME}, and so is not a model's folder")
        if not files.weights.is_file():
            raise ValueError(f"{folder} has no {WEIGHTS_NAME}; {_instead(folder)}")
        return files

    @classmethod
    def of_options(cls, args: argparse.Namespace) -> "ModelFiles":
        """The files that a program's options name, those of `add_model_options`.

        Raises:
            ValueError: they name none or two, the folder is not a model's, or a file is missing.
        """
        check_model_options(args)
        if args.model:
            return cls.of_folder(args.model)
        files = cls(Path(args.asr_train_config), Path(args.asr_model_file))
        check_is_file(files.config, OF_TRAINING)
        check_is_file(files.weights, TRAIN_FIRST)
        return files

    def as_options(self) -> dict[str, str]:
        """ESPnet's options that name the files."""
        return {"asr_train_config": str(self.config), "asr_model_file": str(self.weights)}


def find_dense_model(args: argparse.Namespace) -> ModelFiles:
    """Where the dense model is that a program's options name, --model_tag among them; a shared one is fetched.

    In a folder that ESPnet's training wrote it is the averaged checkpoint, if there is one.

    Raises:
        ValueError: they name none or two, it is nowhere, or cannot be fetched, or is damaged or hostile.
    """
    check_model_options(args)
    if args.model:
        files, averaged = ModelFiles.in_folder(args.model), sorted(Path(args.model).glob("*.ave.pth"))
        if files.config.is_file() and not files.weights.is_file() and len(averaged) == 1:
            return ModelFiles(files.config, averaged[0])
    if not args.model_tag:
        return ModelFiles.of_options(args)
    from espnet_blrmoe.files.sharing import fetch_model  # whose libraries take a second to import

    fetched = fetch_model(args.model_tag)
    return ModelFiles(Path(fetched["asr_train_config"]), Path(fetched["asr_model_file"]))


def check_is_file(path: Path, advice: str) -> None:
    """Raise ValueError, with what to do about it, unless there is a file."""
    if not path.is_file():
        raise ValueError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; {advice}")


def files_of(model_tag: str | Path, cachedir: str | Path | None) -> dict[str, Any]:
    """The files of a model as options; see Speech2Text.from_pretrained."""
    if Path(model_tag).is_dir():
        return ModelFiles.of_folder(model_tag).as_options()
    from espnet_blrmoe.files.sharing import fetch_model  # whose libraries take a second to import

    return fetch_model(model_tag, cachedir)


def _instead(folder: Path) -> str:
    """What to do about a folder without model.pth, from the checkpoints that are there."""
    checkpoints = sorted(path.name for path in folder.glob("*.*.*.pth"))  # as training names them: valid.loss.best.pth
    if not checkpoints:
        return "train the model first, or give another folder"
    return (
        f"training has left {', '.join(checkpoints)} there: give one of them by "
        f"--asr_train_config {folder / CONFIG_NAME} --asr_model_file {folder / checkpoints[0]}"
    )


def add_model_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, espnet_has_files: bool = False
) -> None:
    """Add the options that name a model's files.

    Args:
        parser: of the program, or a group of its options.
        espnet_has_files: ESPnet's own options, --asr_train_config and --asr_model_file, are there already.
    """
    parser.add_argument("--model", metavar="FOLDER", help=f"folder of a model, with {CONFIG_NAME} and {WEIGHTS_NAME}")
    if not espnet_has_files:
        parser.add_argument("--asr_train_config", metavar="FILE", help=f"or instead: {CONFIG_NAME} of a training")
        parser.add_argument("--asr_model_file", metavar="FILE", help="and its checkpoint, such as valid.loss.ave.pth")


def check_model_options(args: argparse.Namespace) -> None:
    """Check that a program's options name one model; programs that take packed ones have --model_tag too.

    Raises:
        ValueError: they name none or two.
    """
    files, tag = (args.asr_train_config, args.asr_model_file), getattr(args, "model_tag", None)
    if [bool(args.model), bool(tag), any(files)].count(True) != 1 or any(files) != all(files):
        raise ValueError(f"{WAYS}, or --model_tag MODEL; only one" if hasattr(args, "model_tag") else WAYS)
