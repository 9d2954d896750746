"""What lines of an ESPnet training's log say (ESPnet 202511 and 202611)."""

import re

# Group 1: the epoch; 2 and 3: "loss=1.2, acc_lid=0.5, ..." of training and validation.
EPOCH_RESULTS = re.compile(r"(\d+)epoch results: \[train\] (.*?), \[valid\] (.*?)(?:, \[att_plot\].*)?$")
EPOCH_STARTED = "epoch started"
STOPPED_EARLY = "[Early stopping] "  # the reason follows
FINISHED = ("The training was finished", "already reached at max_epoch", STOPPED_EARLY)
