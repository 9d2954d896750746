"""Trained dense models of ESPnet: read without trusting them, as what they compute is to become a BLR-MoE model's."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask

from espnet_blrmoe.espnet_internals import name_projection_as_here
from espnet_blrmoe.files.dense_options import SOURCES, computed, dense_encoder_conf
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import check_bpemodel, check_model, check_options, read_config, with_files
from espnet_blrmoe.files.weights import put_weights, read_weights

# Options that the config.yaml of an older ESPnet lacks; that is how ESPnet takes it.
ADDED_LATER = {
    "model": "espnet", "preencoder": None, "preencoder_conf": {}, "postencoder": None, "postencoder_conf": {},
    "preprocessor": "default", "preprocessor_conf": {},
}  # fmt: skip
NEEDED = ("encoder", "encoder_conf", "decoder", "ctc_conf", "frontend", "normalize", "specaug", "input_size", "init")
# Options that a speech recogniser does not have, by what has them.
OF_OTHER_TASKS = {
    "src_token_list": "translation",
    "subtask_series": "enhancement with recognition",
    "transcript_token_list": "spoken language understanding",
    "joint_network_conf": "ESPnet's stand-alone transducer task",
    "separator": "enhancement",
    "label_aggregator": "diarisation",
    "tts": "speech synthesis",
    "lm": "language modelling",
    "num_classes": "self-supervised learning",
    "projector": "speakers or languages",
    "generator": "unsupervised recognition",
}
OWSM_CTC = "e_branchformer_ctc"
KINDS = {  # of models with a CTC, and with a decoder that attends or without one
    "model": ("espnet", "blr_moe"),
    "preprocessor": ("default", "blr_moe"),
    "token_type": ("char", "word", "phn", "bpe"),
    "encoder": SOURCES,
    "decoder": (
        None, "transformer", "lightweight_conv", "lightweight_conv2d", "dynamic_conv", "dynamic_conv2d", "rnn", "s4"
    ),
}  # fmt: skip


class DenseTask(ASRTask):
    """ESPnet's ASRTask, whose models load front ends that either release of ESPnet has saved."""

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """The model of the options."""
        model = super().build_model(args)
        model.encoder.register_load_state_dict_pre_hook(partial(name_projection_as_here, "embed"))
        return model


def read_dense_config(path: Path, is_shared: bool = False) -> dict:
    """Read the config.yaml of a trained ESPnet ASR model; the files that it names are found from where it was trained.

    Args:
        path: of the config.yaml.
        is_shared: somebody else's, from a packed model, who must not have a file of this machine's copied into the new
            model's folder: files are those that came with it.

    Raises:
        ValueError: it is missing, malformed, incomplete or of another task, has an option that cannot be carried over,
            or names a file that is missing, or, if it is shared, did not come with it.
    """
    config = ADDED_LATER | read_config(path)
    if config.get("encoder") == OWSM_CTC:
        raise ValueError(
            f"{path} is of OWSM-CTC: its encoder, {OWSM_CTC}, reads a prompt by cross-attention, and the CTC's output "
            "between its blocks, for both of which the encoder of BLR-MoE has no place"
        )
    for option, task in OF_OTHER_TASKS.items():
        if option in config:
            raise ValueError(f"{path} is of a model for {task}, not of a speech recogniser: it has {option}")
    check_options(config, path, NEEDED)
    for option, known in KINDS.items():
        if config[option] not in known:
            raise ValueError(
                f"{path} says '{option}: {config[option]}', which cannot be given experts; it must be one of "
                f"{', '.join(map(str, known))}"
            )
    try:
        dense_encoder_conf(config)
        place = came_along if is_shared else found
        config = with_files(config, lambda option, name: place(option, name, path.resolve().parents))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if config["token_type"] == "bpe":
        check_bpemodel(config["bpemodel"])
    return config


def found(option: str, name: str, folders: Sequence[Path]) -> str:
    """Where a file is that an option names.

    ESPnet names files relative to the folder in which it was started, which is one of those above the configuration.

    Raises:
        ValueError: it does not exist.
    """
    for place in (Path(name), *(folder / name for folder in folders)):
        if place.is_file():
            return str(place)
    raise ValueError(f"{option}: {name} does not exist; start where the model was trained")


def came_along(option: str, name: str, folders: Sequence[Path]) -> str:
    """Where a file is that an option of a shared model names: in the folder, with meta.yaml, that the model unpacks to.

    Raises:
        ValueError: it is elsewhere, or does not exist.
    """
    unpacked = next(folder for folder in folders if (folder / "meta.yaml").is_file())
    place = Path(name).resolve()  # where it came along; see espnet_blrmoe.files.sharing.with_places
    if not (place.is_relative_to(unpacked) and place.is_file()):
        raise ValueError(f"{option}: {name} did not come with the packed model; pack that file too")
    return str(place)


def load_dense_model(config: dict, files: ModelFiles) -> ESPnetASRModel:
    """Build a trained dense model, in evaluation mode.

    Args:
        config: its configuration, as `read_dense_config` gives it.
        files: where it is from.

    Raises:
        ValueError: a file is missing, damaged or hostile, or they do not fit.
    """
    config = computed(config)
    check_model(DenseTask, config, files.config, files.weights)
    model = DenseTask.build_model(argparse.Namespace(**config))
    put_weights(model, read_weights(files.weights), files.weights)
    return model.eval()
