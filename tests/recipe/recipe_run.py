"""Runs the recipe at tiny size."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[2] / "egs2" / "blr_moe_masr" / "asr1"
# Number and name of every stage, of the table in run.sh.
STAGES = {int(number): name for number, name in re.findall(
    r'^    "([ \d]\d) (\w+) ', (RECIPE / "run.sh").read_text(encoding="utf-8"), flags=re.MULTILINE)}  # fmt: skip

# Small enough for a minute of training and decoding, whatever comes out.
TINY_TRAINING = [
    "--asr_args", "--max_epoch 1 --num_iters_per_epoch 4 --batch_bins 200000 --valid_batch_bins 400000",
    "--router_args", "--max_epoch 1 --num_iters_per_epoch 4 --batch_bins 200000 --valid_batch_bins 400000",
]  # fmt: skip
TINY_CORPUS = ["--langs", "es pt", "--train_hours", "0.01", "--test_sentences", "3"]


@dataclass(frozen=True)
class RecipeRun:
    """What a run of run.sh left and printed."""

    folder: Path
    exit_code: int
    output: str

    @property
    def asr_exp(self) -> Path:
        return self.folder / "exp" / "asr_train_asr_raw_char"


def run_recipe(folder: Path, *options: str, **environment: str) -> RecipeRun:
    """Run run.sh with everything it makes below `folder`."""
    places = [word for name in ("data", "dump", "exp") for word in (f"--{name}dir", str(folder / name))]
    done = subprocess.run(
        ["./run.sh", *places, "--downloads", str(folder / "downloads"), *options],
        cwd=RECIPE,
        env={**os.environ, "OMP_NUM_THREADS": "2", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return RecipeRun(folder, done.returncode, done.stdout)
