"""Router augmentation: trains the router alone, on audio-language pairs without transcripts (paper section
"Router augmentation"), with ESPnet's own Trainer."""

import argparse
import inspect
import logging
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from espnet2.asr.specaug.abs_specaug import AbsSpecAug
from espnet2.tasks.asr import ASRTask, specaug_choices
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet_blrmoe.asr_model import BLRMoEModel
from espnet_blrmoe.checkpoint import load_weights, read_blr_moe_config, read_weights, sampling_rate, with_router_of
from espnet_blrmoe.encoder import BLRMoEEncoder
from espnet_blrmoe.preprocessor import BLRMoEPreprocessor

NEW_ROUTER = ("router", "router_conf", "router_input")  # options of the encoder that a new router may change


class RouterModel(AbsESPnetModel):
    """A trained ASR model of which only the router learns; the rest stays frozen and in evaluation mode.

    Args:
        asr_model: the trained model.
        specaug: masks features in training; None for no masks.
    """

    def __init__(self, asr_model: BLRMoEModel, specaug: AbsSpecAug | None = None):
        super().__init__()
        self.specaug = specaug
        self.asr_model = asr_model.requires_grad_(False)
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
        routing = self.asr_model.route(speech, speech_lengths, self.specaug if self.training else None)
        loss, stats = self.asr_model.lid_loss_and_stats(routing, labels)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, len(speech)), loss.device)

    def collect_feats(self, speech: torch.Tensor, speech_lengths: torch.Tensor, **kwargs) -> dict[str, torch.Tensor]:
        """ESPnet's interface; features of this model are those of the ASR model."""
        feats, lengths = self.asr_model._extract_feats(speech, speech_lengths)
        return {"feats": feats, "feats_lengths": lengths}


class RouterTask(ASRTask):
    """ESPnet task of RouterModel: data are `speech` and `lid`, the model comes from a trained ASR model."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's ASR options keep their place, but the model is that of --asr_train_config, and only these have a
        meaning: --specaug, and --encoder_conf with `router`, `router_conf` and `router_input` for a new router."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group("The trained model whose router is fine-tuned")
        group.add_argument("--asr_train_config", help="config.yaml of the ASR training")
        group.add_argument("--asr_model_file", help="its checkpoint, for example valid.loss.ave.pth")
        parser.set_defaults(required=["output_dir", "asr_train_config", "asr_model_file"])

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
        fs = sampling_rate(read_blr_moe_config(args.asr_train_config))
        return BLRMoEPreprocessor(train=True, repeatable=not train, **{"fs": fs, **args.preprocessor_conf})

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> RouterModel:
        """Build the ASR model of --asr_train_config, load --asr_model_file, and put a new router on it if one is wanted.

        Raises:
            ValueError: a file is missing or no BLR-MoE model, or they do not fit, or the new router does not exist.
        """
        asr_model = load_asr_model(args.asr_train_config, args.asr_model_file)
        if asr_model.encoder.router is None:
            raise ValueError(f"the model of {args.asr_train_config} has one language, and so no router to train")
        if args.encoder_conf:
            conf = with_new_router(read_blr_moe_config(args.asr_train_config), args.encoder_conf)["encoder_conf"]
            asr_model.encoder.put_router(*(conf[name] for name in NEW_ROUTER))
        specaug = specaug_choices.get_class(args.specaug)(**args.specaug_conf) if args.specaug else None
        return RouterModel(asr_model, specaug)


def with_new_router(config: dict, encoder_conf: dict) -> dict:
    """The training configuration of the model with another router.

    Args:
        config: the model's training configuration.
        encoder_conf: `router`, `router_conf` and `router_input`; what is missing is the encoder's default.

    Raises:
        ValueError: another option of the encoder.
    """
    unknown = sorted(set(encoder_conf) - set(NEW_ROUTER))
    if unknown:
        raise ValueError(f"encoder_conf: {unknown[0]} is fixed by the trained model; a new router takes "
                         f"{', '.join(NEW_ROUTER)}")
    defaults = inspect.signature(BLRMoEEncoder).parameters
    new = {name: encoder_conf.get(name, defaults[name].default) for name in NEW_ROUTER}
    return {**config, "encoder_conf": {**config["encoder_conf"], **new}}


def load_asr_model(asr_train_config: str, asr_model_file: str) -> BLRMoEModel:
    """Build a trained BLR-MoE model.

    Raises:
        ValueError: a file is missing or no BLR-MoE model, or they do not fit.
    """
    config = read_blr_moe_config(asr_train_config)
    model = ASRTask.build_model(argparse.Namespace(**config))
    load_weights(model, asr_model_file)
    return model


def write_asr_model(args: argparse.Namespace, router_model_file: str | Path) -> None:
    """Write the ASR model with its fine-tuned router: OUTPUT_DIR/asr.yaml and OUTPUT_DIR/asr.pth.

    Every tensor that is not the router's is bit-identical to the one in --asr_model_file.

    Args:
        args: the training's options.
        router_model_file: checkpoint that RouterTask's training wrote.
    """
    config = read_blr_moe_config(args.asr_train_config)
    if args.encoder_conf:
        config = with_new_router(config, args.encoder_conf)
    tuned = RouterTask.build_model(args)
    load_weights(tuned, router_model_file)
    folder = Path(args.output_dir)
    (folder / "asr.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    torch.save(with_router_of(read_weights(args.asr_model_file), tuned.router), folder / "asr.pth")
    logging.info(f"The ASR model with its fine-tuned router is {folder / 'asr.pth'}, with {folder / 'asr.yaml'}")
