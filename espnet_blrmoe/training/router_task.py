"""Router augmentation: trains only the router, on audio-language pairs without transcripts (paper section
"Router augmentation"), with ESPnet's own Trainer."""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from espnet2.asr.specaug.abs_specaug import AbsSpecAug
from espnet2.tasks.asr import specaug_choices
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import (
    build_asr_model,
    load_asr_model,
    read_blr_moe_config,
    write_model,
)
from espnet_blrmoe.files.weights import load_weights, read_weights, with_router_of
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.training.finetuning import FineTunedModel, FineTuningTask
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

NEW_ROUTER = ("router", "router_conf", "router_input")  # options of the encoder that a new router may change


class RouterModel(FineTunedModel):
    """A trained ASR model of which only the router learns; the rest stays frozen and in evaluation mode.

    Args:
        asr_model: the trained model.
        specaug: masks features in training; None for no masks.
    """

    def __init__(self, asr_model: BLRMoEModel, specaug: AbsSpecAug | None = None):
        super().__init__(asr_model)
        self.specaug = specaug
        self.router.requires_grad_(True)

    @property
    def router(self) -> torch.nn.Module:
        """The part that learns."""
        return self.asr_model.encoder.router

    def train(self, mode: bool = True) -> "RouterModel":
        """Only the router's dropout follows `mode`, and whether chunks are drawn."""
        super().train(mode)
        self.asr_model.eval()
        self.asr_model.encoder.training = mode
        self.router.train(mode)
        return self

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        lid: torch.Tensor,
        utt_id: list[str] | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """LID loss and statistics of a batch; arguments as in BLRMoEModel.forward."""
        labels = self.asr_model.language_labels(lid, utt_id).to(speech.device)
        routing = self.asr_model.route(speech, speech_lengths, self.specaug if self.training else None)
        loss, stats = self.asr_model.lid_loss_and_stats(routing, labels)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, len(speech)), loss.device)


class RouterTask(FineTuningTask):
    """ESPnet task of RouterModel: data are `speech` and `lid`, the model comes from a trained ASR model.

    Of ESPnet's options of a model it takes `specaug`, and in `encoder_conf` the options of a new router.
    """

    @classmethod
    def languages_of(cls, args: argparse.Namespace) -> Sequence[str]:
        """Those of the trained model."""
        return parse_languages(config_of(args)["encoder_conf"]["languages"])

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Audio and language; no transcript."""
        return "speech", "lid"

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """None."""
        return ()

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        """Language labels and augmentation; validation hears an utterance under the same conditions every time."""
        options = {"fs": cls.rate_of(args), **args.preprocessor_conf}
        return BLRMoEPreprocessor(train=True, repeatable=not train, **options)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> RouterModel:
        """Load the trained model, and put a new router on it if one is wanted.

        Raises:
            ValueError: a file is missing or not of a BLR-MoE model, or they do not fit, or the new router or an option
                does not exist.
        """
        files = ModelFiles.of_options(args)
        asr_model = load_asr_model(files)
        if asr_model.encoder.router is None:
            raise ValueError(f"the model of {files.config} has one language, and so no router to train")
        if args.encoder_conf:
            weights = asr_model.state_dict()
            asr_model = build_asr_model(config_of(args))
            asr_model.load_state_dict(with_router_of(weights, asr_model.encoder.router))
        try:
            specaug = specaug_choices.get_class(args.specaug)(**args.specaug_conf) if args.specaug else None
        except TypeError as error:  # an option that does not exist
            raise ValueError(f"specaug_conf: {error}") from error
        return RouterModel(asr_model, specaug)


def config_of(args: argparse.Namespace) -> dict:
    """The training configuration of the trained model, with the new router that the options put on it, if any.

    Options of a new router that are not given are the encoder's defaults, not the old router's.

    Raises:
        ValueError: `encoder_conf` names anything but a router's options.
    """
    config = read_blr_moe_config(ModelFiles.of_options(args).config)
    if not args.encoder_conf:
        return config
    fixed = sorted(set(args.encoder_conf) - set(NEW_ROUTER))
    if fixed:
        raise ValueError(f"encoder_conf: {fixed[0]} is fixed by the trained model; a new router takes "
                         f"{', '.join(NEW_ROUTER)}")
    kept = {name: value for name, value in config["encoder_conf"].items() if name not in NEW_ROUTER}
    return {**config, "encoder_conf": {**kept, **args.encoder_conf}}


def write_asr_model(args: argparse.Namespace, router_model_file: str | Path, folder: Path) -> None:
    """Write the ASR model with its fine-tuned router.

    Every tensor that is not the router's is bit-identical to the trained model's.

    Args:
        args: the training's options.
        router_model_file: checkpoint that the training wrote.
        folder: to write the model's files into.
    """
    tuned = RouterTask.build_model(args)
    load_weights(tuned, router_model_file)
    weights = with_router_of(read_weights(ModelFiles.of_options(args).weights), tuned.router)
    write_model(config_of(args), weights, folder)
    logging.info(f"The ASR model with its fine-tuned router is in {folder}")
