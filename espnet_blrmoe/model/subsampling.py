"""Front ends of the encoder (`input_layer`): ESPnet's, and depth-wise separable ones that cost a fraction."""

from functools import partial

import torch
from torch import nn

from espnet_blrmoe.espnet_internals import CONV_SUBSAMPLINGS, TooShortUttError, name_projection_as_here


class DepthwiseSubsampling(nn.Module):
    """Striding with depth-wise separable convolutions (as FastConformer, arXiv 2305.05084, but without padding).

    Args:
        idim: width of the input.
        odim: width of the output; a quarter as many channels, since their cost is that of moving them.
        factor: subsampling over time: 4 or 8.
    """

    def __init__(self, idim: int, odim: int, factor: int):
        super().__init__()
        channels = odim // 4
        layers = [nn.Conv2d(1, channels, 3, 2), nn.ReLU()]
        bins = (idim - 1) // 2
        for _ in range(factor.bit_length() - 2):
            depthwise = nn.Conv2d(channels, channels, 3, 2, groups=channels)
            layers += [depthwise, nn.Conv2d(channels, channels, 1), nn.ReLU()]
            bins = (bins - 1) // 2
        # Channels last: half the time of the default layout on a CPU.
        self.conv = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.out = nn.Linear(channels * bins, odim)

    def forward(self, x: torch.Tensor, mask: None) -> tuple[torch.Tensor, None]:
        """(B, T_in, idim) -> (B, T, odim); the mask is only there for the signature of ESPnet's modules."""
        x = self.conv(x.unsqueeze(1))
        return self.out(x.transpose(1, 2).flatten(2)), mask


class InputLayer(nn.Module):
    """The encoder's front end, without positional encoding.

    Convolutions are not padded, and an utterance's output length counts only the frames that read nothing
    beyond its own end (ESPnet's masks keep one that does). So padding never changes a result.

    Args:
        name: "linear", "conv1d2", "conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8", "embed", "wav2vec"
            (ESPnet's), "dwconv2d", "dwconv2d8" (depth-wise separable, 4x and 8x), or None.
        idim: width of the input.
        odim: width of the output.
        dropout_rate: for "linear" and "wav2vec".
        padding_idx: for "embed".
    """

    def __init__(self, name: str | None, idim: int, odim: int, dropout_rate: float, padding_idx: int):
        super().__init__()
        if name in CONV_SUBSAMPLINGS:
            self.layer = CONV_SUBSAMPLINGS[name](idim, odim, dropout_rate, nn.Identity())
            self.register_load_state_dict_pre_hook(partial(name_projection_as_here, "layer"))
        elif name in ("dwconv2d", "dwconv2d8"):
            self.layer = DepthwiseSubsampling(idim, odim, 8 if name == "dwconv2d8" else 4)
        elif name == "linear":
            self.layer = nn.Sequential(
                nn.Linear(idim, odim), nn.LayerNorm(odim), nn.Dropout(dropout_rate), nn.ReLU()
            )
        elif name == "embed":
            self.layer = nn.Embedding(idim, odim, padding_idx=padding_idx)
        elif name == "wav2vec":
            self.layer = nn.Sequential(nn.LayerNorm(odim), nn.Dropout(dropout_rate))
        elif name is None:
            self.layer = nn.Identity() if idim == odim else nn.Linear(idim, odim)
        else:
            known = ["linear", "embed", "wav2vec", *CONV_SUBSAMPLINGS, "dwconv2d", "dwconv2d8"]
            raise ValueError(f"unknown input_layer: {name}; choose one of {', '.join(known)}")
        convs = [m for m in getattr(self.layer, "conv", []) if isinstance(m, (nn.Conv1d, nn.Conv2d))]
        self._steps = [(conv.kernel_size[0], conv.stride[0]) for conv in convs]

    @property
    def factor(self) -> int:
        """Input frames per output frame."""
        factor = 1
        for _, stride in self._steps:
            factor *= stride
        return factor

    @property
    def window(self) -> int:
        """Input frames that one output frame sees."""
        window, step = 1, 1
        for kernel, stride in self._steps:
            window += (kernel - 1) * step
            step *= stride
        return window

    def output_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """(B,) input lengths -> (B,) output lengths, each as if the utterance stood alone."""
        return (lengths - self.window).div(self.factor, rounding_mode="floor") + 1

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T_in, idim), (B,) -> (B, T, odim), (B,).

        Raises:
            TooShortUttError: an utterance is too short to give one frame (ESPnet's exception).
        """
        shortest = int(lengths.min())
        if shortest < self.window:
            raise TooShortUttError(
                f"has {shortest} frames and is too short for subsampling (it needs at least {self.window} frames)",
                shortest,
                self.window,
            )
        lengths = self.output_lengths(lengths)
        return self.subsample(x)[:, : int(lengths.max())], lengths

    def subsample(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T_in, idim) -> (B, T, odim), whatever the utterances' lengths."""
        return self.layer(x, None)[0] if self._steps else self.layer(x)
