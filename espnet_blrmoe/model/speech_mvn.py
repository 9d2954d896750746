"""Normalisation of an utterance's features by its speech: silence, of whatever length, changes nothing."""

import torch
from espnet2.layers.abs_normalize import AbsNormalize

from espnet_blrmoe.model.packing import valid_frames

# Below the loudest frame, in natural logarithms of power, as log-mel features are:
SPEECH_RANGE = 9.2  # 40 dB; what is louder counts as speech
FLOOR = 13.8  # 60 dB; what is quieter, digital silence for instance, is raised to there


class SpeechMVN(AbsNormalize):
    """Subtracts the mean of the frames that are loud enough to be speech, channel by channel.

    `normalize: speech_mvn` in ESPnet. Its `utterance_mvn` takes the mean over all frames: a second of digital silence,
    at the bottom of the logarithm, then moves every frame of the speech. Here such silence is first raised to a floor
    that is relative to the utterance, and it is not in the mean.
    """

    def forward(self, x: torch.Tensor, ilens: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normalise log-mel features.

        Args:
            x: (B, T, D).
            ilens: (B,) frames; None: T of each.

        Returns:
            (B, T, D), 0 behind an utterance's end, and `ilens`.
        """
        level = x.mean(dim=2, keepdim=True)
        valid = torch.ones_like(level, dtype=torch.bool)
        if ilens is not None:
            valid = valid_frames(ilens.to(x.device), x.size(1)).unsqueeze(2)
        loudest = level.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True)
        x = torch.maximum(x, loudest - FLOOR)
        is_speech = (valid & (level >= loudest - SPEECH_RANGE)).to(x.dtype)
        # In double: onnxruntime adds thousands of frames one by one, and would lose five digits of float32.
        mean = (x * is_speech).sum(dim=1, keepdim=True, dtype=torch.float64) / is_speech.sum(dim=1, keepdim=True)
        return (x - mean.to(x.dtype)) * valid, ilens
