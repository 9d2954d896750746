"""The TDNN router of BLR-MoE."""

import torch
from torch.nn import functional as F

from espnet_blrmoe.model.dropout import Dropout
from espnet_blrmoe.model.past import WHOLE, Past, Whole
from espnet_blrmoe.model.router.abs_router import AbsRouter


class TDNNRouter(AbsRouter):
    """Time-delay neural network, then a feed-forward layer (paper section "Router augmentation").

    The paper gives 500 channels and about 11 M parameters, but neither the depth nor the kernels. Layer i sees
    `context` frames, `dilation ** i` frames apart.

    Args:
        input_size: width of the input.
        num_languages: E.
        channels: width of every layer (256 or 500 in the paper).
        layers: number of layers.
        context: frames that a layer sees; odd unless causal.
        dilation: growth of the distance between those frames from layer to layer.
        causal: see no future frames, for streaming; otherwise as many future frames as past ones.
        dropout_rate: after every layer.
    """

    def __init__(
        self,
        input_size: int,
        num_languages: int,
        channels: int = 500,
        layers: int = 5,
        context: int = 3,
        dilation: int = 2,
        causal: bool = False,
        dropout_rate: float = 0.1,
    ):
        super().__init__()
        if not causal and context % 2 == 0:
            raise ValueError(f"router_conf: context must be odd where causal is false, got {context}")
        sizes = [input_size] + [channels] * layers
        self.convs = torch.nn.ModuleList(
            TimeDelay(sizes[i], sizes[i + 1], context, dilation=dilation**i) for i in range(layers)
        )
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(channels) for _ in range(layers))
        self.output = torch.nn.Linear(channels, num_languages)
        self.reaches = [(context - 1) * dilation**i for i in range(layers)]  # frames
        self.causal = causal
        self.ahead = 0 if causal else sum(self.reaches) // 2
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, valid: torch.Tensor, past: Whole = WHOLE) -> torch.Tensor:
        """(B, T, input_size) -> (B, T, E)."""
        valid = valid.unsqueeze(-1)
        for conv, norm, reach in zip(self.convs, self.norms, self.reaches):
            right = 0 if self.causal else reach // 2
            # Padding frames are zero before every layer, as the frames beyond an utterance's ends are.
            x = past.around(x * valid, reach - right, right)
            x = self.dropout(norm(conv(x, isinstance(past, Past)).relu()))
            valid = past.delayed(valid, right)
        return self.output(x)


class TimeDelay(torch.nn.Conv1d):
    """A dilated convolution over time: weight (C_out, C_in, context), bias (C_out,)."""

    def forward(self, x: torch.Tensor, is_chunk: bool = False) -> torch.Tensor:
        """(B, reach + T, C_in) -> (B, T, C_out).

        Of a chunk as one product: its frames are few, and PyTorch's dilated convolution costs more than its arithmetic.
        """
        if not is_chunk:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        (context,), (dilation,) = self.kernel_size, self.dilation
        frames = x.size(1) - (context - 1) * dilation
        windows = torch.stack([x[:, n * dilation :][:, :frames] for n in range(context)], dim=-1)
        return F.linear(windows.flatten(2), self.weight.flatten(1), self.bias)
