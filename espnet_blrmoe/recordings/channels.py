"""One channel out of several."""

import numpy as np

DEAD = 1e-5  # of the loudest channel's power: 50 dB below it
CANCELLED = 0.1  # of the power that channels have together which know nothing of each other


def channels_to_average(powers: np.ndarray, of_mean: float) -> list[int]:
    """The channels whose average stands for a recording.

    All that are not dead; only the loudest one, if they cancel each other, as those of a microphone whose wires were
    swapped do.

    Args:
        powers: (channels,) of each channel, mean or sum of squares.
        of_mean: of the average of all channels.
    """
    loudest = int(np.argmax(powers))
    if not powers[loudest] > 0:  # silence, or NaN
        return list(range(len(powers)))
    live = [channel for channel, power in enumerate(powers) if power >= DEAD * powers[loudest]]
    is_cancelled = of_mean * len(powers) ** 2 < CANCELLED * sum(powers[live])
    return [loudest] if is_cancelled else live


def said_of_channels(path: str, chosen: list[int], channels: int) -> str:
    """A sentence on the channels that are left out."""
    numbers = ", ".join(str(channel + 1) for channel in chosen)
    return f"{path}: of its {channels} channels only {numbers} is used: the others are dead, or they cancel each other"
