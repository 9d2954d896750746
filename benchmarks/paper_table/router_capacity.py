"""How much audio a router needs, and how large it should be: routers of several capacities on several amounts of pairs.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/paper_table/router_capacity.py --model exp/router/before --output exp/capacity \\
        --pairs_dir dump/raw/router_train --valid_dir dump/raw/router_valid \\
        --test_dir dump/raw/test_in --test_dir dump/raw/test_out --device cuda --nj 16

Every router takes the place of the trained one, as in stage 16: it reads the outputs of the model's shared blocks,
which stay as they are, and learns from audio-language pairs alone, with the loss, augmentation, masks and schedule of
conf/train_router.yaml; of its epochs, that with the lowest loss on --valid_dir counts. What differs from stage 16: the
shared blocks' outputs for every stretch of speech are computed once, so a draw of few pairs has --stretches augmented
stretches in all, not new ones in every update; training is not cut short; an update takes 48 stretches.

The pairs of a smaller amount are among those of a larger one, and the same for all capacities. Another draw has other
pairs, other first weights and another order; with all pairs, it has the last two. Writes into --output:

    router_capacity.json   every router's figures, by test set and domain, and those of the router as trained
    router_capacity.md     accuracy over utterances and over frames: mean over the draws (lowest to highest)
    router_capacity.svg    accuracy over utterances by the amount of pairs

Without --model, nothing is trained, and the last two are made again of the first. On a CPU, ask for less:
--capacities linear 3x64 --pairs 5 100 --updates 200 --stretches 2000.

    python ../../../benchmarks/paper_table/router_capacity.py --model exp/router --output exp/capacity --costs 20

trains nothing either: what such routers cost in that model, in 20 rounds, goes into router_costs.md.
"""

import argparse
import json
import math
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.output_folder import check_writable
from espnet_blrmoe.files.trained_model import load_asr_model, read_blr_moe_config, sampling_rate
from espnet_blrmoe.inference.lid_scores import hear
from espnet_blrmoe.model.router_inputs import SharedBlocks
from espnet_blrmoe.program import start
from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.training.finetuning import reason_of
from espnet_blrmoe.training.router_task import RouterTask

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from measuring import machine, save_plot  # noqa: E402
from router_pairs import combine, few_of_each  # noqa: E402
from shared.data_dir import Utterance  # noqa: E402
from shared.score_tables import markdown_table  # noqa: E402
from shared.write_files import write_files  # noqa: E402

from paper_table.router_costs import cost_table  # noqa: E402
from paper_table.shared_outputs import (  # noqa: E402
    Draw,
    TestSet,
    Trainer,
    Version,
    scores_of,
    shared_outputs,
    weights_of,
)

CAPACITIES = ("linear", "3x64", "3x128", "5x128", "5x256", "5x500")
AMOUNTS = ("5", "20", "100", "all")
LEAST_UPDATES = 10  # the schedule has several parts
RATES = {"utterance_accuracy": "Utterances", "frame_accuracy": "Frames"}
NAME = "router_capacity"
CONFIG = ROOT / "egs2/blr_moe_masr/asr1/conf/train_router.yaml"


def read_pairs(folders: list[Path], languages: tuple[str, ...]) -> list[Utterance]:
    """The pairs of some data directories; ValueError where one is not in one language that the model knows."""
    pairs = list(combine(folders))
    for pair in pairs:
        if not pair.has_one_language or pair.language not in languages:
            raise ValueError(f"utterance {pair.id} of {', '.join(map(str, folders))} has language {pair.label!r}; give "
                             f"utterances in one language each, of {', '.join(languages)}")
    if lacking := set(languages) - {pair.language for pair in pairs}:
        raise ValueError(f"no utterance of {', '.join(map(str, folders))} is in language {min(lacking)}")
    return pairs


def plan(pairs: list[Utterance], amounts: list[str], draws: int, stretches: int) -> tuple[list[Version], list[Draw]]:
    """All stretches that are needed, and which of them each draw has: at least so many, each pair equally many.

    Raises:
        ValueError: a language has fewer pairs than an amount.
    """
    rarest, least = min(Counter(pair.language for pair in pairs).items(), key=lambda item: item[1])
    if lacking := [amount for amount in amounts if amount != "all" and int(amount) > least]:
        raise ValueError(f"--pairs {lacking[0]}: language {rarest} has {least} audio-language pairs")
    drawn = {(amount, number): pairs if amount == "all" else list(few_of_each(pairs, int(amount), number))
             for amount in amounts for number in range(draws)}
    copies = {key: math.ceil(stretches / len(own)) for key, own in drawn.items()}
    most: Counter[str] = Counter()
    for key, own in drawn.items():
        for pair in own:
            most[pair.id] = max(most[pair.id], copies[key])
    versions = [Version(pair, n) for pair in pairs for n in range(most[pair.id])]
    places = {(version.pair.id, version.n): place for place, version in enumerate(versions)}
    languages = len({pair.language for pair in pairs})
    return versions, [
        Draw(*key, torch.tensor([places[pair.id, n] for pair in own for n in range(copies[key])]), len(own) / languages)
        for key, own in drawn.items()
    ]


def measure(options: argparse.Namespace) -> dict:
    """The figures of all routers.

    Raises:
        ValueError: a file is missing or does not fit, or a language has too few pairs.
    """
    args = RouterTask.get_parser().parse_args([f"--config={options.config}", f"--model={options.model}"])
    if options.updates is not None:
        args.num_iters_per_epoch = math.ceil(options.updates / args.max_epoch)
    files = ModelFiles.of_folder(options.model)
    fs = sampling_rate(read_blr_moe_config(files.config))
    trained = load_asr_model(files).eval().to(options.device)
    model = RouterTask.build_model(args).eval()
    if "trained" in options.capacities and not isinstance(trained.encoder.router_input, SharedBlocks):
        raise ValueError("--capacities trained: the model's own router does not read the shared blocks; leave it out")
    versions, draws = plan(read_pairs(options.pairs_dir, trained.languages), options.pairs, options.draws,
                           options.stretches)
    before = {folder.name: scores_of(hear(trained, fs, folder)) for folder in options.test_dir}
    valid_pairs = [Version(pair, 0) for pair in read_pairs([options.valid_dir], trained.languages)]
    model.asr_model.encoder.put_router("linear", None, "shared")  # any that reads what the others will
    model.to(options.device)
    tests = {folder.name: TestSet.of(model.asr_model, fs, folder) for folder in options.test_dir}
    valid = shared_outputs(model, valid_pairs, args, options.nj, masks=False)
    speech = shared_outputs(model, versions, args, options.nj, masks=True)
    routers = []
    total = len(options.capacities) * len(draws) * args.max_epoch * args.num_iters_per_epoch
    with progress_bar(total=total, desc="updates") as progress:
        trainer = Trainer(model.asr_model, trained.encoder.router, args, speech, valid, progress.update)
        for capacity in options.capacities:
            for draw in draws:
                own = trainer.train(capacity, draw)
                routers.append(own | {"scores": {name: test.scores(model.asr_model) for name, test in tests.items()}})
    return {
        "model": str(options.model), "machine": machine(options.device), "stretches": options.stretches,
        "updates": args.max_epoch * args.num_iters_per_epoch, "as_trained": weights_of(trained.encoder.router),
        "before": before, "routers": routers,
    }


def costs(options: argparse.Namespace) -> str:
    """What routers of these capacities cost in the model, in Markdown; ValueError as `measure`."""
    args = RouterTask.get_parser().parse_args([f"--config={options.config}", f"--model={options.model}"])
    files = ModelFiles.of_folder(options.model)
    fs = sampling_rate(read_blr_moe_config(files.config))
    conf = args.encoder_conf.get("router_conf", {})
    table = cost_table(load_asr_model(files), fs, options.capacities, conf, options.costs)
    return f"{machine('cpu')}; {options.costs} rounds\n\n{table}"


def groups_of(figures: dict) -> dict[tuple[str, str], list[dict]]:
    """(capacity, amount of pairs) -> the routers of its draws."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for router in figures["routers"]:
        groups.setdefault((router["capacity"], router["pairs"]), []).append(router)
    return groups


def rates(routers: list[dict], test: str, name: str) -> list[float]:
    """A score over all of a test set, in %, of each router."""
    return [100 * router["scores"][test]["all"][name] for router in routers]


def tables(figures: dict) -> str:
    """Accuracies in Markdown: mean over the draws (lowest to highest)."""
    tests, text = list(figures["before"]), [f"{figures['updates']} updates; {figures['machine']}"]

    def cell(own: list[float]) -> str:
        return f"{statistics.mean(own):.1f} ({min(own):.1f} to {max(own):.1f})"

    for name, what in RATES.items():
        rows = [["as trained", f"{figures['as_trained']:,}", "", "",
                 *(f"{100 * figures['before'][test]['all'][name]:.1f}" for test in tests)]]
        rows += [[capacity, f"{own[0]['weights']:,}", amount, str(len(own)),
                  *(cell(rates(own, test, name)) for test in tests)]
                 for (capacity, amount), own in groups_of(figures).items()]
        text += [f"### {what} in the right language, %",
                 markdown_table(("router", "weights", "pairs of each language", "draws", *tests), rows)]
    return "\n\n".join(text)


def draw_curves(figures: dict, path: Path) -> None:
    """Accuracy over utterances by the pairs of each language, a panel for each test set, a line for each capacity."""
    groups, tests = groups_of(figures), list(figures["before"])
    capacities = list(dict.fromkeys(capacity for capacity, _ in groups))
    ticks = {own[0]["pairs_of_each_language"]: amount for (_, amount), own in groups.items()}
    figure, panels = plt.subplots(1, len(tests), figsize=(4.5 * len(tests), 4), squeeze=False)
    for axes, test in zip(panels[0], tests):
        for place, capacity in enumerate(capacities):
            own = sorted((routers[0]["pairs_of_each_language"], rates(routers, test, "utterance_accuracy"))
                         for (of, _), routers in groups.items() if of == capacity)
            means = [statistics.mean(accuracies) for _, accuracies in own]
            reach = [[mean - min(accuracies) for mean, (_, accuracies) in zip(means, own)],
                     [max(accuracies) - mean for mean, (_, accuracies) in zip(means, own)]]
            aside = 1.06 ** (place - (len(capacities) - 1) / 2)  # so that the ranges do not hide each other
            axes.errorbar([pairs * aside for pairs, _ in own], means, reach, marker="o", markersize=3, capsize=2,
                          linewidth=1, label=capacity)
        before = 100 * figures["before"][test]["all"]["utterance_accuracy"]
        axes.axhline(before, color="black", linestyle="--", linewidth=1, label="as trained")
        axes.set_xscale("log")
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.minorticks_off()
        axes.set_title(test)
        axes.set_xlabel("pairs of each language")
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("utterances in the right language, %")
    panels[0][-1].legend(fontsize="small")
    save_plot(figure, path)


def capacity_of(text: str) -> str:
    if text not in ("trained", "linear") and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"a capacity is trained, linear or LAYERSxCHANNELS (5x128), not {text!r}")
    return text


def positive(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"a positive number is needed, not {text!r}")
    return int(text)


def amount_of(text: str) -> str:
    return text if text == "all" else str(positive(text))


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the trained model, with config.yaml and model.pth")
    parser.add_argument("--pairs_dir", type=Path, action="append", default=[],
                        help="audio-language pairs: wav.scp, utt2lang and, maybe, segments; may be given several times")
    parser.add_argument("--valid_dir", type=Path, help="pairs by which the epoch is chosen")
    parser.add_argument("--test_dir", type=Path, action="append", default=[],
                        help="wav.scp, utt2lang and, maybe, utt2domain; may be given several times")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures, the tables and the plot")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of stage 16 (default: conf/train_router.yaml)")
    parser.add_argument("--capacities", type=capacity_of, nargs="+", default=CAPACITIES,
                        help="linear, layers x channels of a TDNN, or trained: the model's own router, trained further "
                        f"(default: {' '.join(CAPACITIES)})")
    parser.add_argument("--pairs", type=amount_of, nargs="+", default=AMOUNTS,
                        help=f"amounts, of each language (default: {' '.join(AMOUNTS)})")
    parser.add_argument("--draws", type=positive, default=3, help="of each amount (default: %(default)s)")
    parser.add_argument("--updates", type=positive, help="of each router (default: those of --config)")
    parser.add_argument("--stretches", type=positive, default=8000,
                        help="that a draw has at least, whatever its pairs (default: %(default)s)")
    parser.add_argument("--costs", type=positive, metavar="ROUNDS",
                        help="measure what routers of these capacities cost in --model, instead of all this")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--nj", type=int, default=0, help="processes that augment pairs (default: its own)")
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = get_parser()
    options = parser.parse_args(argv)
    path = options.output / f"{NAME}.json"
    if options.costs and (not options.model or "trained" in options.capacities):
        parser.error("--costs needs --model, and --capacities of new routers")
    if options.model and not (options.costs or options.pairs_dir and options.valid_dir and options.test_dir):
        parser.error("--model needs --pairs_dir, --valid_dir and --test_dir")
    if not (options.model or path.is_file()):
        parser.error(f"there is no {path} yet; give --model, --pairs_dir, --valid_dir and --test_dir to make it")
    if options.updates is not None and options.updates < LEAST_UPDATES:
        parser.error(f"--updates must be {LEAST_UPDATES} or more")
    if len({folder.name for folder in options.test_dir}) < len(options.test_dir):
        parser.error("two of --test_dir have the same name, by which the tables call them")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no GPU")
    try:
        check_writable(options.output)
        if options.costs:
            text = costs(options)
            write_files({options.output / "router_costs.md": text})
            return print(text)
        if options.model:
            write_files({path: json.dumps(measure(options), indent=1) + "\n"})
        figures = json.loads(path.read_text(encoding="utf-8"))
        text = tables(figures)
        write_files({path.with_suffix(".md"): text})
        draw_curves(figures, path.with_suffix(".svg"))
    except (ValueError, OSError) as error:
        sys.exit(f"{NAME}: {reason_of(error)}")
    print(text)


if __name__ == "__main__":
    start(main)
