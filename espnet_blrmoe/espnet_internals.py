"""Every part of ESPnet that the plugin builds on and that ESPnet does not promise to keep in place.

ESPnet 202511 keeps its network parts in `espnet.nets`; its next release moves them to `espnet2.legacy.nets`.
"""

try:
    from espnet.nets.beam_search import Hypothesis
    from espnet.nets.pytorch_backend.nets_utils import get_activation, make_pad_mask
    from espnet.nets.pytorch_backend.transformer import subsampling
    from espnet.nets.pytorch_backend.transformer.embedding import PositionalEncoding, RelPositionalEncoding
except ModuleNotFoundError:
    from espnet2.legacy.nets.beam_search import Hypothesis
    from espnet2.legacy.nets.pytorch_backend.nets_utils import get_activation, make_pad_mask
    from espnet2.legacy.nets.pytorch_backend.transformer import subsampling
    from espnet2.legacy.nets.pytorch_backend.transformer.embedding import PositionalEncoding, RelPositionalEncoding

TooShortUttError = subsampling.TooShortUttError

# ESPnet's names for `input_layer`.
CONV_SUBSAMPLINGS = {
    "conv1d2": subsampling.Conv1dSubsampling2,
    "conv2d": subsampling.Conv2dSubsampling,
    "conv2d1": subsampling.Conv2dSubsampling1,
    "conv2d2": subsampling.Conv2dSubsampling2,
    "conv2d6": subsampling.Conv2dSubsampling6,
    "conv2d8": subsampling.Conv2dSubsampling8,
}

__all__ = [
    "CONV_SUBSAMPLINGS",
    "Hypothesis",
    "PositionalEncoding",
    "RelPositionalEncoding",
    "TooShortUttError",
    "get_activation",
    "make_pad_mask",
]
