"""Trains as `python -m espnet_blrmoe.bin.asr_train` does, but is killed (kill -9) in the middle of the second epoch.

Of several processes the second is killed, and it is not killed again when torchrun has started it anew.
"""

import os
import signal

from espnet_blrmoe.bin.asr_train import main
from espnet_blrmoe.model.asr_model import BLRMoEModel

STEPS_BEFORE = 3  # two updates make an epoch
killed = os.environ.get("RANK", "1") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
forward = BLRMoEModel.forward
steps = 0


def killed_forward(self: BLRMoEModel, *args, **kwargs):
    global steps
    steps += self.training
    if killed and steps > STEPS_BEFORE:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, *args, **kwargs)


if __name__ == "__main__":
    BLRMoEModel.forward = killed_forward
    main()
