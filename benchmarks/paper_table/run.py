"""Train, decode and score every system of the paper's table in miniature (docs/results.md).

    python benchmarks/paper_table/run.py --size cpu --work /data/paper_table

Every step is a call of the recipe's run.sh, printed as it begins, so that a row can be run again by hand. A training
that was cut short goes on from its last epoch: with --minutes the program stops after so long and says what is left.
What a finished system got right and wrong, utterance by utterance, is kept in paper_table/results/<size>; a system that
is there is not trained again, on any machine. `table.py` makes the tables of it.

Sizes cpu and gpu take the demo's corpus, gpu with three times as many tests. That of size engines needs four
synthesisers: paper_table/engines.py says which. Sizes real_... and adapted_... need real speech in the folder
$REAL_SPEECH: paper_table/real.py says what. The latter begin with a dense model of size engines (--start).
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "benchmarks")]

from paper_table.counts import TESTS, write_counts  # noqa: E402
from paper_table.jobs import Jobs, Step, training_times  # noqa: E402

RESULTS = Path(__file__).with_name("results")
FRAME = "--language_smoothing frame"  # how all that is kept was decoded; another way would compare decodings


@dataclass(frozen=True)
class Size:
    """How much is trained and tested, the same for all systems.

    Attributes:
        corpus: of run.sh.
        train_hours: of speech.
        test_sentences: of a language and domain.
        batch_bins: samples of a batch, padding included.
        epochs, updates: epochs, and updates of an epoch.
        router_epochs: epochs of router fine-tuning, of 160 updates.
        data: further options of run.sh about the data.
        further: options of run.sh and decode.sh.
        start: a trained dense model, in place of the first half of the updates of systems that begin with one.
    """

    corpus: str
    train_hours: float
    test_sentences: int
    batch_bins: int
    epochs: int
    updates: int
    router_epochs: int
    data: tuple[str, ...] = ()
    further: tuple[str, ...] = ("--inference_args", FRAME)
    start: Path | None = None


ON_GPU = ("--ngpu", "1", "--inference_args", f"{FRAME} --batch_size 64")
REAL_SPEECH = os.environ.get("REAL_SPEECH", "")
SPEEDS = ("--speed_perturb_factors", "0.9 1.0 1.1")


def real(left_out: str, hours: float) -> Size:
    """Real speech, tested on a domain that it is not trained with."""
    return Size(_real(left_out), hours, 200, 3_200_000, 16, 62, 5, SPEEDS, ON_GPU)


def adapted(left_out: str, hours: float) -> Size:
    """The same on two CPU cores, for systems that begin with a model of size engines (--start), in its languages."""
    return Size(_real(left_out), hours, 200, 800_000, 10, 80, 5, (*SPEEDS, "--langs", "de,en,es,fr"))


def _real(left_out: str) -> str:
    return f"paper_table.real={REAL_SPEECH}/real-mini/{left_out}"


SIZES = {
    "cpu": Size("paper_table.demo", 4.5, 100, 800_000, 16, 80, 5),
    "gpu": Size("paper_table.demo", 4.5, 300, 800_000, 16, 80, 5, further=ON_GPU),
    # Larger batches, since a model of this size waits for Python there (benchmarks/NOTES.md).
    "engines": Size("paper_table.corpus", 6.0, 300, 3_200_000, 16, 80, 5, further=ON_GPU),
    "real_studio": real("studio", 2.1),
    "real_captions": real("captions", 4.3),
    "real_phone": real("phone", 4.6),
    "adapted_captions": adapted("captions", 4.3),
    "adapted_phone": adapted("phone", 4.6),
    "tiny": Size("espeak", 0.05, 2, 200_000, 2, 4, 1),  # whether everything runs
}


@dataclass(frozen=True)
class System:
    """A row of the table: a configuration of conf/, and how it is trained and decoded.

    Attributes:
        title: as the table says it.
        config: from the recipe's folder.
        router: whether its router is fine-tuned on audio-language pairs as well.
        given: whether it is decoded with each utterance's own language only, too.
        start: the system that it begins with (run.sh --from_dense), for the second half of the updates; "": nothing.
        half: whether it is the first half of such a training.
        options: further ones of its training.
    """

    title: str
    config: str
    router: bool = False
    given: bool = False
    start: str = ""
    half: bool = False
    options: str = ""


TUNING = "conf/tuning/train_asr_demo"
TRANSFORMER = "--encoder_conf block_type=transformer --encoder_conf block_conf={}"


def from_dense(title: str, ending: str, router: bool = False) -> System:
    """A system whose first half is the dense one."""
    config = f"{TUNING}_from_dense{ending}.yaml"
    return System(title, config, router=router, given=not router, start="dense_half")


SYSTEMS = {
    "dense": System("dense", f"{TUNING}_dense.yaml"),
    "lr_moe": System("LR-MoE", f"{TUNING}_lr_moe.yaml", given=True),
    "blr_moe": System("BLR-MoE: V, O and a TDNN router", "conf/train_asr.yaml", router=True),
    "dense_transformer": System("dense Transformer", f"{TUNING}_dense.yaml", options=TRANSFORMER),
    "lr_moe_transformer": System("LR-MoE of Transformer blocks", f"{TUNING}_lr_moe.yaml", given=True,
                                 options=TRANSFORMER),
    "blr_moe_transformer": System("BLR-MoE of Transformer blocks", "conf/train_asr.yaml", router=True,
                                  options=TRANSFORMER),
    "dense_half": System("dense, half of the updates", f"{TUNING}_dense.yaml", half=True),
    "dense_from_dense": System("the other half", f"{TUNING}_from_dense_dense.yaml", start="dense_half"),
    "lr_moe_from_dense": from_dense("LR-MoE from it", "_lr_moe", router=True),
    "blr_moe_from_dense": from_dense("BLR-MoE from it", "", router=True),
    "lr_moe_v_from_dense": from_dense("LR-MoE with experts on V from it", "_lr_moe_v"),
    "lr_moe_vo_from_dense": from_dense("LR-MoE with experts on V and O from it", "_lr_moe_vo"),
    "lr_moe_kq_from_dense": from_dense("LR-MoE with experts on K and Q from it", "_lr_moe_kq"),
    "lr_moe_kqvo_from_dense": from_dense("LR-MoE with experts on K, Q, V and O from it", "_lr_moe_kqvo"),
    "low_rank_from_dense": from_dense("BLR-MoE with experts of low rank from it", "_low_rank"),
    "groups_from_dense": from_dense("BLR-MoE with two experts from it", "_groups"),
}


def data_step(work: Path, size: Size, nj: int) -> Step:
    """Stages 1 to 10: the corpus, for all systems."""
    options = ["--stage", "1", "--stop_stage", "10", "--train_hours", str(size.train_hours), "--test_sentences",
               str(size.test_sentences), "--nj", str(nj), *size.data]
    return Step("data", run_sh(work, size, *options), work / "done/data")


def training_steps(name: str, seed: int, work: Path, size: Size) -> list[Step]:
    """What makes a system of one seed: what it begins with, its training, and that of its router."""
    system, tag = SYSTEMS[name], f"{name}_seed{seed}"
    epochs = size.epochs // 2 if system.half or system.start else size.epochs
    training = [f"--seed {seed} --batch_bins {size.batch_bins} --num_iters_per_epoch {size.updates}",
                f"--max_epoch {epochs}",
                f"--scheduler_conf 'steps_per_epoch={size.updates}' --scheduler_conf 'epochs={epochs}'",
                system.options]
    made = []
    if system.start:
        made = [] if size.start else training_steps(system.start, seed, work, size)
        made.append(tokens_step(system.start, seed, work, size))
    made.append(Step(tag, run_sh(work, size, "--stage", "11", "--stop_stage", "11", *options_of(name, seed, work, size),
                                 "--asr_args", " ".join(training)), work / f"done/{tag}", work / f"exp/asr_{tag}"))
    if system.router:
        router = f"--seed {seed} --max_epoch {size.router_epochs} --scheduler_conf epochs={size.router_epochs}"
        made.append(Step(f"{tag}, router", run_sh(work, size, "--stage", "16", "--stop_stage", "16",
                                                  *options_of(name, seed, work, size), "--router_args", router),
                         work / f"done/{tag}_router", work / f"exp/router_{tag}/training"))
    return made


def decoding_steps(name: str, seed: int, work: Path, size: Size) -> list[Step]:
    """How the tests are decoded: by the system as it was trained, and with each further router or list of languages."""
    system, tag = SYSTEMS[name], f"{name}_seed{seed}"
    options = options_of(name, seed, work, size)
    made = [Step(f"{tag}, decoding", run_sh(work, size, "--stage", "12", "--stop_stage", "13", *options),
                 work / f"done/{tag}_decoded")]
    if system.given:
        made.append(Step(f"{tag}, languages given", decode_given(work / f"exp/asr_{tag}", work, size),
                         work / f"done/{tag}_given"))
    if system.router:
        made.append(Step(f"{tag}, decoding with its router",
                         run_sh(work, size, "--stage", "17", "--stop_stage", "18", *options),
                         work / f"done/{tag}_router_decoded"))
    return made


def options_of(name: str, seed: int, work: Path, size: Size) -> list[str]:
    """Options of run.sh for all stages of a system."""
    system = SYSTEMS[name]
    start = ["--from_dense", dense_model(system.start, seed, work, size)] if system.start else []
    return ["--asr_tag", f"{name}_seed{seed}", "--asr_config", system.config, *size.data, *size.further, *start]


def dense_model(start: str, seed: int, work: Path, size: Size) -> str:
    """The folder of the dense model that a system begins with."""
    return str(size.start or work / f"exp/asr_{start}_seed{seed}")


def tokens_step(start: str, seed: int, work: Path, size: Size) -> Step:
    """The tokens and lengths of all systems that begin with this one: its own."""
    tag = f"{start}_seed{seed}"
    tokens = run_sh(work, size, "--stage", "5", "--stop_stage", "10", "--asr_tag", tag, "--asr_config",
                    SYSTEMS[start].config, "--from_dense", dense_model(start, seed, work, size), *size.data)
    return Step(f"{tag}, tokens", tokens, work / f"done/{tag}_tokens")


def decode_given(exp: Path, work: Path, size: Size) -> tuple[str, ...]:
    """Decode the tests with each utterance's own language only; stage 17 does so after router fine-tuning only."""
    return ("local/decode.sh", "--model", str(exp), "--allowed_languages", "own", *size.further, "--output_dir",
            str(exp / "decode_asr_given"), "--", *(str(work / f"dump/raw/{name}") for name in TESTS))


def run_sh(work: Path, size: Size, *options: str) -> tuple[str, ...]:
    folders = [word for name in ("datadir", "dumpdir", "expdir", "downloads")
               for word in (f"--{name}", str(work / name.removesuffix("dir")))]
    return ("./run.sh", "--corpus", size.corpus, *folders, "--python", sys.executable, *options)


def seeds_first(systems: list[str], seeds: int) -> Iterator[tuple[str, int]]:
    """Every system once, before any is trained a second time."""
    return ((name, seed) for seed in range(seeds) for name in systems)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="cpu", help="how much (default: cpu)")
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus and the models")
    parser.add_argument("--start", type=Path, metavar="MODEL", help="folder of a trained dense model that systems "
                        "..._from_dense begin with, in sizes adapted_captions and adapted_phone")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM",
                        help=f"{' '.join(SYSTEMS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each system (default: 3)")
    parser.add_argument("--jobs", type=int, default=1, help="systems that are trained side by side (default: 1)")
    parser.add_argument("--nj", type=int, default=os.cpu_count(), help="processes for the data (default: all cores)")
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command then goes on")
    parser.add_argument("--train_only", action="store_true", help="leave decoding to a later call without this option")
    args = parser.parse_args(argv)
    if args.size.startswith(("real_", "adapted_")) and not REAL_SPEECH:
        parser.error(f"--size {args.size} needs real speech: name its folder in REAL_SPEECH; real.py says what it has")
    if args.size.startswith("adapted_") != bool(args.start):
        parser.error("--start and the sizes adapted_captions and adapted_phone need each other")

    work, size = args.work.resolve(), replace(SIZES[args.size], start=args.start and args.start.resolve())
    for folder in ("done", "logs"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    jobs = Jobs(work, args.minutes, args.jobs)
    if not jobs([data_step(work, size, args.nj)]):
        sys.exit(1)

    def make(system: tuple[str, int]) -> bool:
        """Whether a system of one seed is finished: its results are there, or all its trainings with --train_only."""
        tag = f"{system[0]}_seed{system[1]}"
        results = args.results / args.size / f"{tag}.npz"
        if results.exists():
            return True
        if not jobs(training_steps(*system, work, size)):
            return False
        if not args.train_only and jobs(decoding_steps(*system, work, size)):
            write_counts(work / f"exp/asr_{tag}", work / "dump/raw", results, training_times(work / "done", tag))
        return args.train_only or results.exists()

    systems = list(seeds_first(args.systems, args.seeds))
    with ThreadPoolExecutor(args.jobs) as pool:
        finished = sum(pool.map(make, systems))
    print(f"{finished} of {len(systems)} systems are {'trained' if args.train_only else 'finished'}: "
          f"{work if args.train_only else args.results / args.size}")
    sys.exit(finished < len(systems))


if __name__ == "__main__":
    main()
