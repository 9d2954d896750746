"""How large the model of a training configuration is, and what it costs, before there are data or weights."""

import argparse
from dataclasses import dataclass

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_blrmoe.files.trained_model import sampling_rate
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.config_files import over
from espnet_blrmoe.training.freezing import freeze

SECONDS = 10  # of the utterance whose FLOPs are counted; those of attention scores grow with its length


@dataclass(frozen=True)
class Footprint:
    """Size and cost of a model.

    Attributes:
        parameters: all of them, a decoder's too.
        active: those that speech of one language runs through, the router's too.
        trainable: those that `freeze_param` lets learn.
        router: the router's; 0 without a router.
        flops: of encoder, router and CTC for a second of speech, one multiplication with its addition counted as two.
            Only matrix products and convolutions are counted; everything else is about one per cent.
        checkpoint: bytes of the weights.
        gradients: bytes that a step of training makes, and that every process sends where there are several.
    """

    parameters: int
    active: int
    trainable: int
    router: int
    flops: float
    checkpoint: int
    gradients: int

    @classmethod
    def of(cls, config: dict) -> "Footprint":
        """Footprint of the configured model.

        Args:
            config: complete options of a training, with `token_list`, and `languages` in the `encoder_conf` of a
                BLR-MoE encoder.

        Raises:
            ValueError, TypeError, AssertionError: an option of the model or a class does not exist, or does not fit.
        """
        with torch.device("meta"):  # shapes without memory, however many languages there are
            model = build(config)
        freeze(model, config["freeze_param"])
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        path = build(of_one_language(config))
        router = getattr(model.encoder, "router", None) or torch.nn.Identity()
        router_parameters = count(router)
        frames, flops = path_flops(path, SECONDS * sampling_rate(config))
        if router_parameters:
            flops += router_flops(router, frames, model.encoder.router_input.size)
        return cls(
            parameters=count(model),
            active=count(path) + router_parameters,
            trainable=sum(parameter.numel() for parameter in trainable),
            router=router_parameters,
            flops=flops / SECONDS,
            checkpoint=sum(weight.numel() * weight.element_size() for weight in model.state_dict().values()),
            gradients=sum(parameter.numel() * parameter.element_size() for parameter in trainable),
        )


def of_one_language(config: dict) -> dict:
    """The configuration of what one language's speech runs through in this model, without the router."""
    if config["encoder"] != "blr_moe":
        return config
    return over(config, {"encoder_conf": {"languages": config["encoder_conf"]["languages"][:1], "experts": None}})


def as_dense(config: dict) -> dict:
    """The configuration of the dense model of the same shape as this BLR-MoE, all of which learns."""
    return over(of_one_language(config), {"encoder_conf": {"expert_rank": None}, "freeze_param": []})


def as_lr_moe(config: dict) -> dict:
    """The configuration of the LR-MoE (arXiv 2307.05956) of the same shape as this BLR-MoE, all of which learns."""
    experts = {"attention_experts": "", "ffn_experts": True, "expert_rank": None}
    return over(
        config,
        {"encoder_conf": {**experts, "router": "linear", "router_input": "shared"}, "freeze_param": []},
    )


def build(config: dict) -> AbsESPnetModel:
    """The configuration's model; features are not normalised by statistics, which need data."""
    return BLRMoETask.build_model(argparse.Namespace(**{**config, "normalize": None})).eval()


def count(module: torch.nn.Module) -> int:
    """Its parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def path_flops(model: AbsESPnetModel, samples: int) -> tuple[int, int]:
    """Frames that the encoder makes of one utterance, and FLOPs of encoder and CTC for it."""
    feats, lengths = model.frontend(torch.randn(1, samples), torch.tensor([samples]))
    model.frontend = None  # from here on features are the model's input
    # PyTorch does not count fused attention on CPUs.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        encoded, frames = model.encode(feats, lengths)
        model.ctc.ctc_lo(encoded)
    return int(frames), counter.get_total_flops()


@torch.no_grad()
def router_flops(router: torch.nn.Module, frames: int, input_size: int) -> int:
    """FLOPs of a router on the meta device for one utterance."""
    x, valid = torch.empty(1, frames, input_size, device="meta"), torch.ones(1, frames, device="meta").bool()
    with FlopCounterMode(display=False) as counter:
        router(x, valid)
    return counter.get_total_flops()
