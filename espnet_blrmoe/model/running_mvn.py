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
LONGEST = 1 << 17  # frames of an utterance in a trace, 22 minutes


class RunningMVN(AbsNormalize):
    """Subtracts a running mean of the features, channel by channel, and divides by the training set's deviations.

    `normalize: running_mvn` in ESPnet, whose own `global_mvn` leaves in what a microphone, a telephone or a room does
    to all of a recording, and whose `utterance_mvn` takes it out but needs the utterance's end. This one reads no
    frame ahead, so that it can follow a stream. It begins as `global_mvn`, and a frame's weight grows with its
    loudness: silence, digital silence too, hardly counts.

    Args:
        stats_file: of the features of the training set, as ESPnet's GlobalMVN reads it.
    """

    def __init__(self, stats_file: Path | str):
        super().__init__()
        self.training_set = GlobalMVN(stats_file)

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
        means, heard = _running_means(frames[:, :once], past.recalled(frames.new_zeros(len(x), 1, x.size(2) + 2)))
        past.remember(heard)
        if again:
            means = torch.cat([means, _running_means(frames[:, once:], heard)[0]], dim=1)
        x = deviations - means.to(x)
        if ilens is not None:
            x = x * valid_frames(ilens.to(x.device), x.size(1)).unsqueeze(2)
        return x, ilens


def _running_means(frames: torch.Tensor, heard: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean up to each frame.

    Args:
        frames: (B, T, D + 1) weighted features, then their weights.
        heard: (B, 1, D + 2) of the frames before: the sums of both, and the largest weight.

    Returns:
        (B, T, D); `heard` for the frames that follow.
    """
    age = torch.arange(-frames.size(1), 0, device=frames.device, dtype=frames.dtype).unsqueeze(1) / MEMORY
    kept = age.exp()  # at the end, of each frame: the later the heavier, which is what forgetting comes to in a ratio
    frames, heard = kept * frames, kept[:1] * heard
    sums = heard[..., :-1] + frames.cumsum(dim=1)
    largest = torch.maximum(heard[..., -1:], _running_max(frames[..., -1:]))
    total = sums[..., -1:] + PRIOR * largest
    after = torch.cat([sums, largest], dim=2)[:, -1:]
    return sums[..., :-1] / total.clamp(min=torch.finfo(total.dtype).tiny), after


def _running_max(x: torch.Tensor) -> torch.Tensor:
    """The largest up to each of (B, T, 1), none of them negative."""
    if not torch.jit.is_tracing():
        return x.cummax(dim=1).values
    for doubling in range(LONGEST.bit_length()):  # ONNX has no cummax
        x = torch.maximum(x, F.pad(x, (0, 0, 1 << doubling, 0))[:, : x.size(1)])
    return x
