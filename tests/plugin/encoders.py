"""Small encoders, batches of features for them, and a third party's router, block and router input."""

import torch
from torch.nn import functional as F

from espnet_blrmoe import AbsRouter
from espnet_blrmoe.model.blocks import AbsBlock, BlockOptions
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.packing import PackedFrames
from espnet_blrmoe.model.router_inputs import AbsRouterInput, SubsampledBatch
from espnet_blrmoe.model.subsampling import InputLayer

LANGUAGES = ("en", "de", "es")
WIDTH = 40  # of the features
LENGTHS = (61, 34, 50)
BLOCK_TYPES = ("transformer", "conformer", "e_branchformer")
BLOCK_CONFS = {
    "conformer": {"cnn_module_kernel": 5},
    "e_branchformer": {"cgmlp_linear_units": 12, "cgmlp_conv_kernel": 5, "merge_conv_kernel": 7, "cgmlp_experts": True},
}

# (kernel, stride) over time of every convolution of an `input_layer`.
CONVOLUTIONS = {
    "linear": [],
    "conv1d2": [(3, 1), (3, 2)],
    "conv2d": [(3, 2), (3, 2)],
    "conv2d1": [(3, 1), (3, 1)],
    "conv2d2": [(3, 2), (3, 1)],
    "conv2d6": [(3, 2), (5, 3)],
    "conv2d8": [(3, 2), (3, 2), (3, 2)],
    "dwconv2d": [(3, 2), (3, 2)],
    "dwconv2d8": [(3, 2), (3, 2), (3, 2)],
}


class FixedRouter(AbsRouter):
    """Routes any batch of B utterances by fixed random logits: frames of one utterance differ from each other."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.register_buffer("logits", torch.randn(8, 100, num_languages))

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(x), : x.size(1)]


class BrokenRouter(AbsRouter):
    """Must not be called."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the router was called")


class HalvedBlock(AbsBlock):
    """Halves every frame, and reaches two frames each way."""

    reach = 2

    def __init__(self, options: BlockOptions, factor: float = 0.5):
        super().__init__()
        self.feed_forward = options.feed_forward(torch.nn.ReLU())
        self.factor = factor

    def forward(self, x: torch.Tensor, frames: PackedFrames, pos_emb: torch.Tensor | None) -> torch.Tensor:
        assert pos_emb is None
        return self.factor * x + 0 * self.feed_forward(x, frames.spans)


class Loudness(AbsRouterInput):
    """One number a frame."""

    def __init__(self, front_end: InputLayer, input_size: int, output_size: int):
        super().__init__()
        self.size = 1

    def forward(self, batch: SubsampledBatch, shared: torch.Tensor | None) -> torch.Tensor:
        assert shared is None or not self.reads_shared_blocks
        return batch.frames.square().mean(-1, keepdim=True)


def encoder_of(seed: int = 0, **options) -> BLRMoEEncoder:
    """A small encoder in evaluation mode, without dropout."""
    options = {
        "input_size": WIDTH,
        "languages": LANGUAGES,
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 12,
        "num_shared_blocks": 1,
        "num_moe_blocks": 2,
        "input_layer": "dwconv2d",
        "router": "tdnn",
        **options,
    }
    if options["router"] == "tdnn":
        options.setdefault("router_conf", {"channels": 8, "layers": 2, "dropout_rate": 0.0})
    options.setdefault("block_conf", BLOCK_CONFS.get(options.get("block_type")))
    dropouts = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0}
    torch.manual_seed(seed)
    return BLRMoEEncoder(**options, **dropouts).eval()


def features_of(lengths=LENGTHS, padding: float = 0.0, extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, WIDTH) random features and (B,) their lengths; the padding is noise of that scale."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(lengths), max(lengths), WIDTH, generator=generator)
    x = F.pad(x, (0, 0, 0, extra))
    valid = torch.arange(x.size(1)) < torch.tensor(lengths).unsqueeze(1)
    noise = padding * torch.randn(x.shape, generator=generator)
    return torch.where(valid.unsqueeze(-1), x, noise), torch.tensor(lengths)


def encode(encoder: BLRMoEEncoder, x: torch.Tensor, lengths: torch.Tensor, labels=None, **known):
    """Encoder output, its lengths and the Routing; `labels`, (B,), are the utterances' languages."""
    if labels is not None:
        known["labels"] = LanguageLabels.throughout(labels)
    with encoder.route(**known) as routings:
        output, output_lengths, _ = encoder(x, lengths)
    assert len(routings) == 1
    return output, output_lengths, routings[0]
