"""Reading recordings, and resampling them, for stage 3 of the recipe and every other program. Loads no PyTorch.

No length is trusted: what a file announces is held against what is in it. So a file is read whole, or refused with the
reason. The modules `ogg`, `mpeg`, `flac`, `chunks` and `nist` look at the containers, soundfile decodes.
"""

from espnet_blrmoe.recordings.channels import channels_to_average, said_of_channels
from espnet_blrmoe.recordings.names import is_command_or_archive, split_range
from espnet_blrmoe.recordings.recording import Recording, check_rate, length, read, resample
from espnet_blrmoe.recordings.unusable import UnusableAudio

__all__ = [
    "Recording",
    "UnusableAudio",
    "channels_to_average",
    "check_rate",
    "is_command_or_archive",
    "length",
    "read",
    "resample",
    "said_of_channels",
    "split_range",
]
