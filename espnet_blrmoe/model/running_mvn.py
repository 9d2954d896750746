"""Normalisation of a stream's features by what has been heard of it, most of all by its speech of the last seconds."""

from pathlib import Path

import torch
from espnet2.layers.abs_normalize import AbsNormalize
from espnet2.layers.global_mvn import GlobalMVN
from torch.nn import functional as F

from espnet_blrmoe.model.packing import valid_frames
from espnet_blrmoe.model.past import WHOLE, Whole

LOUDNESS = 0.5  # a frame counts by its power to this exponent: what is 40 dB quieter counts 1 %
MEMORY = 1000  # frames after which a frame counts 1/e of what it did: 10 s
PRIOR = 5  # the training set's mean counts as so many of the loudest frame
BLOCK = 128  # frames that are computed at once: bounds the exponents that tell how old a frame is
LONGEST = 1 << 17  # frames of an utterance in a trace, 22 minutes


class RunningMVN(AbsNormalize):
    """Subtracts a running mean of the features, channel by channel, and divides by the training set's deviations.

    `normalize: running_mvn` in ESPnet, whose own `global_mvn` leaves in what a microphone, a telephone or a room does
    to all of a recording, and whose `utterance_mvn` takes it out but needs the utterance's end. This one reads no
    frame ahead, so that it can follow a stream. It begins as `global_mvn`, and a frame's weight grows with its
    loudness: silence, digital silence too, hardly counts.

    Args:
        stats_file: of the features of the training set, as ESPnet's GlobalMVN reads it.

    Attributes:
        block: frames that are computed at once; None: all there are, up to LONGEST, for a trace.
    """

    def __init__(self, stats_file: Path | str):
        super().__init__()
        self.training_set = GlobalMVN(stats_file)
        self.block: int | None = BLOCK

    def forward(
        self,
        x: torch.Tensor,
        ilens: torch.Tensor | None = None,
        past: Whole = WHOLE,
        again: int = 0,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normalise log-mel features.

        Args:
            x: (B, T, D) natural logarithms of powers. Frames of zeros only do not count: SpecAugment has masked them.
            ilens: (B,) frames; None: T of each.
            past: of the streams whose next frames these are.
            again: so many of the last frames come again, as the first ones of the next chunk.

        Returns:
            (B, T, D), 0 behind an utterance's end, and `ilens`.
        """
        mean, std = self.training_set.mean.to(x), self.training_set.std.to(x)
        deviations = (x - mean) / std
        # In double, so that the sums are the same for any division into chunks.
        weights = (LOUDNESS * x.mean(dim=2, keepdim=True).double()).exp() * (x != 0).any(dim=2, keepdim=True)
        once = x.size(1) - again
        frames = torch.cat([weights * deviations, weights], dim=2)
        heard = past.recalled(frames.new_zeros(len(x), 1, x.size(2) + 2))
        means = []
        blocks = [frames[:, :once]] if self.block is None else frames[:, :once].split(self.block, dim=1)
        for block in blocks:
            own, heard = _running_means(block, heard, self.block or LONGEST)
            means.append(own)
        past.remember(heard)
        if again:
            means.append(_running_means(frames[:, once:], heard, again)[0])
        x = deviations - torch.cat(means, dim=1).to(x)
        if ilens is not None:
            x = x * valid_frames(ilens.to(x.device), x.size(1)).unsqueeze(2)
        return x, ilens


def _running_means(frames: torch.Tensor, heard: torch.Tensor, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean up to each frame.

    Args:
        frames: (B, T, D + 1) weighted features, then their weights.
        heard: (B, 1, D + 2) of the frames before: the sums of both, and the largest weight.
        longest: T is not more.

    Returns:
        (B, T, D); `heard` for the frames that follow.
    """
    time = frames.size(1)
    age = torch.arange(time + 1, device=frames.device, dtype=frames.dtype).unsqueeze(1) / MEMORY
    frames = frames * age[:-1].exp()  # the later the heavier, which is what forgetting comes to in a ratio
    sums = heard[..., :-1] + frames.cumsum(dim=1)
    largest = torch.maximum(heard[..., -1:], _running_max(frames[..., -1:], longest))
    total = sums[..., -1:] + PRIOR * largest
    after = torch.cat([sums, largest], dim=2)[:, -1:] * (-age[-1]).exp()
    return sums[..., :-1] / total.clamp(min=torch.finfo(total.dtype).tiny), after


def _running_max(x: torch.Tensor, longest: int) -> torch.Tensor:
    """The largest up to each of (B, T, 1), none of them negative, T at most `longest`: cummax, which ONNX lacks."""
    for doubling in range(longest.bit_length()):
        x = torch.maximum(x, F.pad(x, (0, 0, 1 << doubling, 0))[:, : x.size(1)])
    return x
