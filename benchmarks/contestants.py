"""What benchmarks/speed.py compares: ESPnet's dense encoders, BLR-MoE's, and the same experts in slower ways."""

import copy
import inspect
from collections.abc import Callable, Sequence

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder
from espnet2.asr.encoder.transformer_encoder import TransformerEncoder
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe import router_choices
from espnet_blrmoe.espnet_internals import PositionalEncoding
from espnet_blrmoe.model.attention import SelfAttention
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.experts import ExpertLinear, FeedForward, PackedExperts
from espnet_blrmoe.model.router import LinearRouter, TDNNRouter

SIZE = {"output_size": 256, "attention_heads": 4, "linear_units": 2048}
NUM_SHARED_BLOCKS, NUM_MOE_BLOCKS = 6, 6
# ESPnet 202511 has no such option.
HAS_SDPA = "use_sdpa" in inspect.signature(TransformerEncoder).parameters
# Options of ESPnet's encoders and of ours alike.
BLOCK_CONFS = {
    "transformer": {},
    "conformer": {"macaron_style": True, "cnn_module_kernel": 31},
    # As ESPnet's recipes have it, but with feed-forward modules of the common size.
    "e_branchformer": {
        "use_ffn": True,
        "macaron_ffn": True,
        "cgmlp_linear_units": 1024,
        "cgmlp_conv_kernel": 31,
        "merge_conv_kernel": 31,
    },
}


class Planned:
    """A router, at its full cost, whose choice is then overruled by a plan: timings need realistic choices."""

    plan: torch.Tensor  # (B, T) int64

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(B, T, E)."""
        logits = super().forward(x, valid)
        return logits + 1e4 * F.one_hot(self.plan[:, : x.size(1)], logits.size(-1))


class PlannedLinearRouter(Planned, LinearRouter):
    """LR-MoE's."""


class PlannedTDNNRouter(Planned, TDNNRouter):
    """BLR-MoE's."""


ROUTERS = {"linear": PlannedLinearRouter, "tdnn": PlannedTDNNRouter}
router_choices.classes.update({f"planned_{name}": router for name, router in ROUTERS.items()})


def plan_of(lengths: Sequence[int], num_experts: int, misrouted: float, seed: int) -> torch.Tensor:
    """(B, T) int64: every utterance has one random language, and a share of its frames goes to random other experts.

    Padding goes to its utterance's expert, which only the naive contestants notice.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(lengths)
    language = torch.randint(num_experts, (len(lengths), 1), generator=generator).expand(shape)
    other = (language + torch.randint(1, max(2, num_experts), shape, generator=generator)) % num_experts
    return torch.where(torch.rand(shape, generator=generator) < misrouted, other, language)


def dense(block_type: str, **options) -> nn.Module:
    """ESPnet's own encoder, of the common size where the options do not say another, without a front end."""
    options = {**SIZE, "num_blocks": NUM_SHARED_BLOCKS + NUM_MOE_BLOCKS, **options}
    if block_type == "transformer":
        encoder = TransformerEncoder(options["output_size"], input_layer=None, **options)
        encoder.embed = PositionalEncoding(options["output_size"], 0.1)  # left out without a front end
        return encoder
    encoder_class = ConformerEncoder if block_type == "conformer" else EBranchformerEncoder
    own = BLOCK_CONFS[block_type]
    return encoder_class(options["output_size"], input_layer=None, rel_pos_type="latest", **own, **options)


def blr_moe(
    block_type: str,
    plan: torch.Tensor,
    num_experts: int,
    router: str = "linear",
    expert_rank: int | None = None,
    **router_conf,
) -> BLRMoEEncoder:
    """BLR-MoE's encoder, of the same active size but for experts of low rank, routed by the plan."""
    encoder = BLRMoEEncoder(
        SIZE["output_size"],
        input_layer=None,
        num_shared_blocks=NUM_SHARED_BLOCKS,
        num_moe_blocks=NUM_MOE_BLOCKS,
        languages=[f"l{n}" for n in range(num_experts)],
        expert_rank=expert_rank,
        block_type=block_type,
        block_conf=BLOCK_CONFS[block_type],
        router=f"planned_{router}",
        router_conf=router_conf,
        router_input="shared",
        label_routing=0.0,
        **SIZE,
    )
    encoder.router.plan = plan
    return encoder


def by_products(encoder: BLRMoEEncoder, products: Callable) -> BLRMoEEncoder:
    """The same encoder, its experts' products by that back end."""
    model = copy.deepcopy(encoder)
    for module in model.modules():
        if isinstance(module, PackedExperts):
            module.products = products
    return model


class LoopOverExperts(nn.Module):
    """The experts one after another, each on its own frames of the padded batch, found anew in every layer."""

    def __init__(self, experts: Sequence[nn.Module], plan: torch.Tensor):
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.plan = plan

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        y = None
        for e, expert in enumerate(self.experts):
            chosen = self.plan == e
            if chosen.any():
                own = expert(x[chosen])
                y = own.new_zeros(*x.shape[:2], own.size(1)) if y is None else y
                y[chosen] = own
        return y


class AllExpertsDense(LoopOverExperts):
    """Every expert on every frame, summed with one-hot weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        return sum((self.plan == e).unsqueeze(-1) * expert(x) for e, expert in enumerate(self.experts))


def naive(encoder: BLRMoEEncoder, block_type: str, experts: type[LoopOverExperts]) -> nn.Module:
    """ESPnet's encoder with the experts of `encoder`, same weights, put into its layers as peers do."""
    model = dense(
        block_type,
        output_size=encoder.output_size(),
        attention_heads=next(module.heads for module in encoder.modules() if isinstance(module, SelfAttention)),
        linear_units=encoder.encoders[0].feed_forward.w_1.weight.size(-2),
        num_blocks=len(encoder.encoders),
    )
    for layer, own in zip(model.encoders, encoder.encoders):
        for name, module in list(own.named_modules()):
            if isinstance(module, FeedForward) and isinstance(module.w_1, ExpertLinear):
                loop = experts(_copies(getattr(layer, name), module), encoder.router.plan)
            elif isinstance(module, ExpertLinear) and name.startswith(("self_attn.", "attn.")):
                loop = experts(_copies(layer.get_submodule(name), module), encoder.router.plan)
            else:
                continue
            parent, _, child = name.rpartition(".")
            setattr(layer.get_submodule(parent), child, loop)
    dense_weights = encoder.state_dict()
    model.load_state_dict({name: dense_weights.get(name, own) for name, own in model.state_dict().items()})
    return model


def _copies(template: nn.Module, packed: nn.Module) -> list[nn.Module]:
    """One module like the template for every expert of the packed one, with its weights."""
    weights = packed.state_dict()
    copies = []
    for e in range(len(next(iter(weights.values())))):
        expert = copy.deepcopy(template)
        expert.load_state_dict({name: weight[e] for name, weight in weights.items()})
        copies.append(expert)
    return copies
