"""Time and memory of a whole training step, next to ESPnet's dense encoder of the same active size.

    python benchmarks/training_step.py egs2/blr_moe_masr/asr1/conf/tuning/train_asr_paper.yaml \\
        --seconds 160 960 2000 --device cuda

A step is front end, SpecAugment, encoder, CTC, gradients, their clipping and AdamW, on utterances of 10 s, as many of
each language, under bfloat16 autocast. The batch is on the device before. The contestants are the configuration with
--languages languages, the same with four times as many, and ESPnet's encoder of the same blocks with its front end
conv2d. They take turns, round after round; a ratio is the median over the rounds of contestant / dense within a round,
with its quartiles.
"""

import argparse
import inspect
from pathlib import Path

import torch
from espnet2.tasks.asr import ASRTask
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table
from measuring import Stopwatch, gpu_peak, machine, milliseconds, ratio
from training_scale import SECONDS, batch_of, build_model

from espnet_blrmoe.model.blocks import block_choices
from espnet_blrmoe.model.choices import class_of
from espnet_blrmoe.model.encoder import BLRMoEEncoder

COMMON = ("output_size", "attention_heads", "linear_units") + tuple(
    f"{what}dropout_rate" for what in ("", "positional_", "attention_")
)


def build_dense(options: argparse.Namespace) -> torch.nn.Module:
    """ESPnet's model with as many blocks of the same size as the BLR-MoE of these options."""
    moe = {**defaults_of(BLRMoEEncoder), **options.encoder_conf}
    block_conf = {**defaults_of(class_of(block_choices, moe["block_type"])), **(moe["block_conf"] or {})}
    encoder_conf = {name: moe[name] for name in COMMON} | block_conf
    encoder_conf["num_blocks"] = moe["num_shared_blocks"] + moe["num_moe_blocks"]
    if moe["block_type"] == "transformer":
        del encoder_conf["activation_type"]  # ESPnet's has only one
    else:
        encoder_conf["rel_pos_type"] = "latest"
    options = argparse.Namespace(**vars(options))
    options.encoder, options.encoder_conf = moe["block_type"], encoder_conf
    options.model, options.model_conf = "espnet", {"ctc_weight": options.model_conf["ctc_weight"]}
    torch.manual_seed(0)
    return ASRTask.build_model(options).train()


def defaults_of(module_class: type) -> dict:
    """The options of a class that have defaults."""
    options = inspect.signature(module_class).parameters.items()
    return {name: option.default for name, option in options if option.default is not option.empty}


class Training:
    """A model with its optimizer and a batch on a device."""

    def __init__(self, model: torch.nn.Module, batch: dict[str, torch.Tensor], device: str):
        self.model = model.to(device)
        self.batch = {name: value.to(device) for name, value in batch.items()}
        self.device = device
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)

    def step(self) -> None:
        """One update of the weights."""
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.model(**self.batch)[0]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def table(config: Path, each: int, args: argparse.Namespace) -> str:
    """Of batches of `each` utterances of every one of --languages languages."""
    options, model = build_model(config, args.languages, args.vocab)
    many = 4 * args.languages
    batch = batch_of(args.languages, each, args.vocab)
    models = {
        "dense (ESPnet)": (build_dense(options), {name: value for name, value in batch.items() if name != "lid"}),
        f"{config.name}, {args.languages} languages": (model, batch),
        f"the same, {many} languages": (build_model(config, many, args.vocab)[1], batch),
    }
    trainings = {name: Training(*of, args.device) for name, of in models.items()}
    steps = {name: training.step for name, training in trainings.items()}
    times = Stopwatch(args.device, args.rounds)(steps, "training steps")
    baseline, seconds = next(iter(steps)), args.languages * each * SECONDS
    rows = [
        [
            name,
            f"{sum(p.numel() for p in trainings[name].model.parameters()) / 1e6:.1f} M",
            milliseconds(times[name]),
            ratio(times[name], times[baseline]),
            format_size(gpu_peak(step)) if args.device == "cuda" else "not measured",
        ]
        for name, step in steps.items()
    ]
    columns = ["model", "parameters", "step", "ratio", "memory of a step"]
    return f"{seconds:,} s of speech, bfloat16\n{format_pretty_table(rows, columns)}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="training configuration with encoder: blr_moe")
    parser.add_argument("--languages", type=int, default=8, help="(default: 8)")
    parser.add_argument("--vocab", type=int, default=5000, help="tokens (default: 5000)")
    parser.add_argument("--seconds", type=int, nargs="+", default=[960],
                        help=f"of speech in a batch, rounded to {SECONDS} s of every language (default: 960)")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds (default: 10)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args(argv)
    print(f"{machine(args.device)}; medians of {args.rounds} interleaved rounds, ratios with quartiles [25 %, 75 %]")
    for seconds in args.seconds:
        each = max(1, round(seconds / SECONDS / args.languages))
        print(f"\n{table(args.config, each, args)}", flush=True)


if __name__ == "__main__":
    main()
