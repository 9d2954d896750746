"""What the router reads (`router_input`): features, subsampled frames, or what the shared blocks make of them.

A third party's is named by its dotted path (`router_input: package.module.Class`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from espnet2.train.class_choices import ClassChoices
from torch import nn

from espnet_blrmoe.model.packing import PackedFrames
from espnet_blrmoe.model.subsampling import InputLayer


@dataclass(frozen=True)
class SubsampledBatch:
    """A batch before and after the front end.

    Attributes:
        features: (B, T_in, input_size).
        frames: (B, T, D), what the front end made of them.
        valid: (B, T) bool, True for frames, False for padding.
        packed: the valid frames in time order.
    """

    features: torch.Tensor
    frames: torch.Tensor
    valid: torch.Tensor
    packed: PackedFrames


class AbsRouterInput(nn.Module, ABC):
    """A view of the batch, one row per frame, that the router reads.

    A subclass takes the encoder's front end, the width of its input, and D.

    Attributes:
        size: width of the rows, which is the router's input size.
        reads_shared_blocks: whether the shared blocks have to run before the router, where it is trained by itself.
    """

    size: int
    reads_shared_blocks: bool = False

    @abstractmethod
    def forward(self, batch: SubsampledBatch, shared: torch.Tensor | None) -> torch.Tensor:
        """The view.

        Args:
            batch: before and after the front end.
            shared: (N, D) packed output of the shared blocks, in time order; None unless `reads_shared_blocks`.

        Returns:
            (B, T, size).
        """


class FeatureWindows(AbsRouterInput):
    """The encoder's input, as wide a window of it as each frame sees: independent of what the recogniser learns."""

    def __init__(self, front_end: InputLayer, input_size: int, output_size: int):
        super().__init__()
        self.window, self.factor = front_end.window, front_end.factor
        self.size = input_size * self.window

    def forward(self, batch: SubsampledBatch, shared: torch.Tensor | None) -> torch.Tensor:
        """(B, T, input_size * window)."""
        time = batch.frames.size(1)
        # What `unfold` gives, in operations that ONNX has for any length.
        steps = [batch.features[:, n :: self.factor][:, :time] for n in range(self.window)]
        return torch.stack(steps, dim=-1).flatten(2)


class SubsampledFrames(AbsRouterInput):
    """The frames after the front end."""

    def __init__(self, front_end: InputLayer, input_size: int, output_size: int):
        super().__init__()
        self.size = output_size

    def forward(self, batch: SubsampledBatch, shared: torch.Tensor | None) -> torch.Tensor:
        """(B, T, D)."""
        return batch.frames


class SharedBlocks(AbsRouterInput):
    """The frames after the shared blocks (LR-MoE)."""

    reads_shared_blocks = True

    def __init__(self, front_end: InputLayer, input_size: int, output_size: int):
        super().__init__()
        self.size = output_size

    def forward(self, batch: SubsampledBatch, shared: torch.Tensor | None) -> torch.Tensor:
        """(B, T, D), zero where padded."""
        assert shared is not None  # reads_shared_blocks
        return batch.packed.pad(shared)


router_input_choices = ClassChoices(
    name="router_input",
    classes={"features": FeatureWindows, "subsampled": SubsampledFrames, "shared": SharedBlocks},
    type_check=AbsRouterInput,
    default="subsampled",
)
