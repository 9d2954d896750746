"""Commands that are run side by side, each once: what is done is not done again."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from shared.trainings import training_seconds

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs2/blr_moe_masr/asr1"


@dataclass(frozen=True)
class Step:
    """A command of a job, and the file that is there once it has succeeded.

    Attributes:
        name: for messages.
        command: run in the recipe's folder.
        done: the file. It says how many seconds the command took; if it is a training, also how many its epochs took,
            whenever each was trained, and how many trainings there were at a time.
        training: its folder, if it is one.
    """

    name: str
    command: tuple[str, ...]
    done: Path
    training: Path | None = None


class Jobs:
    """Runs steps until a time is up, each with its own log.

    Args:
        work: folder of the corpus and the models.
        minutes: until the time is up; None: never.
        side_by_side: how many jobs there are at a time.
    """

    def __init__(self, work: Path, minutes: float | None, side_by_side: int = 1):
        self.work, self.side_by_side = work, side_by_side
        self.end = time.monotonic() + 60 * minutes if minutes else float("inf")
        self.lock = threading.Lock()
        self.running: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)  # systems may share a start

    def __call__(self, job: list[Step]) -> bool:
        """Whether all steps are done; they are skipped after the first that is not."""
        return all(self.run(step) for step in job)

    def run(self, step: Step) -> bool:
        with self.lock:
            running = self.running[step.done]
        with running:
            return step.done.exists() or self.run_now(step)

    def run_now(self, step: Step) -> bool:
        left = self.end - time.monotonic()
        if left <= 0:
            return False
        self.say(f"{step.name}: {shlex.join(step.command)}")
        log = self.work / "logs" / f"{step.done.name}.log"
        start = time.monotonic()
        with log.open("a") as output:
            environment = os.environ | {"PYTHONPATH": path(ROOT / "benchmarks"), "python": sys.executable}
            process = subprocess.Popen(step.command, cwd=RECIPE, stdout=output, stderr=output, start_new_session=True,
                                       env=environment)
            try:
                status = process.wait(None if left == float("inf") else left)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                self.say(f"{step.name}: time is up")
                return False
        if status:
            self.say(f"{step.name}: failed, see {log}")
            return False
        took = f"{time.monotonic() - start:.0f} s"
        if step.training and (seconds := training_seconds(step.training)) is not None:
            took += f", epochs {seconds:.0f} s, {self.side_by_side} side by side"
        step.done.write_text(f"{took}\n")
        self.say(f"{step.name}: done in {took}")
        return True

    def say(self, message: str) -> None:
        with self.lock:
            print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def training_times(done: Path, tag: str) -> dict[str, int]:
    """Seconds of a system's `training` and of its `router`'s, and how many were `side_by_side`, as far as `Jobs` noted
    them."""
    times = {}
    for name, ending in (("router", "_router"), ("training", "")):
        step = done / f"{tag}{ending}"
        if step.exists() and (noted := re.search(r"epochs (\d+) s, (\d+) side", step.read_text())):
            times[name], times["side_by_side"] = map(int, noted.groups())
    return times


def path(folder: Path) -> str:
    """PYTHONPATH with one more folder."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
