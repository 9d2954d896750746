"""Show the progress of an ESPnet training: keeps its log, read from standard input, and prints a line per epoch.

Example:
    python -m espnet_blrmoe.run -m espnet2.bin.asr_train ... 2>&1 | python local/show_epochs.py exp/asr/train.log
"""

import argparse
import re
import sys
from pathlib import Path

from espnet_blrmoe.espnet_log import EPOCH_RESULTS, EPOCH_STARTED, FINISHED, STOPPED_EARLY
from espnet_blrmoe.program import start

# As Python's last line says it, with PyTorch's "[rank0]: " before it in distributed trainings, a program of ours, or
# argparse; but not that another process is gone.
CONSEQUENCE = r"torch\.distributed\.|RuntimeError: .*(gloo|NCCL|Connection closed by peer)"
CAUSE = r"[\w.]*(Error|Exception|Interrupt)\b|router_train: |\S+: error: "
ERROR = re.compile(rf"(\[rank\d+\]: )?(?!{CONSEQUENCE})({CAUSE})")
SHOWN = {"loss": "loss", "cer_ctc": "CER", "acc_lid": "LID frames", "acc_lid_utt": "LID utterances"}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="file that gets the whole log")
    args = parser.parse_args(argv)
    try:
        follow(args.log)
    except OSError as error:
        sys.exit(f"{args.log} cannot be written: {error.strerror}; make room and start the same command again")


def follow(path: Path) -> None:
    """Copy standard input to the log; print a line per epoch, and the reason if the training failed.

    Of several machines only the first logs epochs: without them only the training's exit status says how it ended.

    Raises:
        OSError: the log cannot be written.
    """
    started, finished, reason = False, False, ""
    with path.open("a", encoding="utf-8") as log:
        for line in sys.stdin:
            log.write(line)
            log.flush()
            started = started or EPOCH_STARTED in line
            finished = finished or any(end in line for end in FINISHED)
            if ERROR.match(line):
                reason = line
            elif reason.rstrip().endswith("Error:"):  # what it says follows
                reason = f"{reason.rstrip()} {line}"
            if epoch := EPOCH_RESULTS.search(line):
                print(epoch_line(*epoch.groups()), flush=True)
            if STOPPED_EARLY in line:
                print("  " + line.partition(STOPPED_EARLY)[2].strip(), flush=True)
    if not (started or finished or reason):
        print(f"  no epoch was logged on this machine; the log is {path}")
    elif not finished:
        sys.exit(f"training stopped before its end; its log is {path}\n{reason}".rstrip())


def epoch_line(epoch: str, train: str, valid: str) -> str:
    """One line for people from ESPnet's statistics of an epoch."""
    train_stats, valid_stats = (dict(re.findall(r"(\w+)=([^, ]+)", part)) for part in (train, valid))
    shown = [f"train loss {float(train_stats['loss']):.3f}"]
    for key, name in SHOWN.items():
        if key in valid_stats:
            value = float(valid_stats[key])
            shown.append(f"{name} {value:.3f}" if key == "loss" else f"{name} {100 * value:.1f} %")
    time = re.search(r"\btime=(.+?), total_count", train)
    return f"  epoch {epoch:>3}: {', '.join(shown)}" + (f" ({time.group(1)})" if time else "")


if __name__ == "__main__":
    start(main)
