"""Router augmentation: trains the router alone, on audio-language pairs without transcripts (paper section
"Router augmentation"), with ESPnet's own Trainer."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_blrmoe.asr_model import BLRMoEModel
from espnet_blrmoe.checkpoint import load_asr_model, load_weights, read_weights, with_router_of
from espnet_blrmoe.finetuning import FineTunedModel, FineTuningTask
from espnet_blrmoe.preprocessor import BLRMoEPreprocessor


class RouterModel(FineTunedModel):
    """A trained ASR model of which only the router learns; the rest stays frozen and in evaluation mode."""

    def __init__(self, asr_model: BLRMoEModel):
        super().__init__(asr_model)
        self.router.requires_grad_(True)

    @property
    def router(self) -> torch.nn.Module:
        """The part that learns."""
        return self.asr_model.encoder.router

    def train(self, mode: bool = True) -> "RouterModel":
        """Only the router's dropout follows `mode`."""
        super().train(mode)
        self.asr_model.eval()
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
        labels = self.asr_model.expert_labels(lid, utt_id).to(speech.device)
        routing = self.asr_model.route(speech, speech_lengths)
        loss, stats = self.asr_model.lid_loss_and_stats(routing, labels)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, len(speech)), loss.device)


class RouterTask(FineTuningTask):
    """ESPnet task of RouterModel: data are `speech` and `lid`, the model comes from a trained ASR model."""

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
        """Language labels; `preprocessor_conf` may add ESPnet's augmentation."""
        return BLRMoEPreprocessor(train=train, **args.preprocessor_conf)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> RouterModel:
        """Build the ASR model of --asr_train_config and load --asr_model_file.

        Raises:
            ValueError: a file is missing or no BLR-MoE model, or they do not fit.
        """
        asr_model = load_asr_model(args.asr_train_config, args.asr_model_file)
        if asr_model.encoder.router is None:
            raise ValueError(f"the model of {args.asr_train_config} has one language, and so no router to train")
        return RouterModel(asr_model)


def write_asr_checkpoint(
    asr_train_config: str, asr_model_file: str, router_model_file: str | Path, output: str | Path
) -> None:
    """Write the ASR checkpoint with the fine-tuned router in it; all other tensors are bit-identical.

    Args:
        asr_train_config, asr_model_file: the ASR model before.
        router_model_file: checkpoint that RouterTask's training wrote.
        output: file to write.
    """
    tuned = RouterModel(load_asr_model(asr_train_config, asr_model_file))
    load_weights(tuned, router_model_file)
    torch.save(with_router_of(read_weights(asr_model_file), tuned.router), output)
    logging.info(f"The ASR model with its fine-tuned router is {output}")
