"""Time and memory of the recipe's data stages on a manifest of many utterances, and on one twice as long.

    python benchmarks/manifest.py --utterances 1000000 --folder /tmp/manifest

Makes a JSONL manifest in four languages, with 4 s of audio an utterance on average, and runs stages 1, 3, 4, 5 and 10
on it as ./run.sh does, then builds the batches of an epoch as stage 11 does (--num_splits_asr grows with the manifest).

stretches  the utterances are parts of 300 recordings of 2 minutes (16 kHz, mono, wav), of which they cover every second
           many times: the whole manifest is read, but from memory, not from the disk.
files      an utterance is a file: a name for one of 1,000 clips (a hard link), so that a million fit on a disk.

seconds: of the whole stage, start of the programs included. memory: the most that the stage's processes had at once
(proportional set size, looked at every half second). In brackets: against the shorter manifest.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table

RECIPE = Path(__file__).resolve().parents[1] / "egs2" / "blr_moe_masr" / "asr1"
RATE = 16000
RECORDINGS, RECORDING_SECONDS = 300, 120
CLIPS, LINKS_PER_FOLDER = 1000, 1000
SPEAKERS = 5000
UTTERANCES_PER_SPLIT = 250_000  # of --num_splits_asr
STAGES = {1: "data", 3: "format", 4: "length", 5: "tokens", 10: "statistics"}
BATCHES = "batches of an epoch"
WORDS = {
    "de": "der wind dreht heute nach norden und es wird kälter im ganzen land".split(),
    "en": "the boats came back late last night because of a storm on the lake".split(),
    "es": "mañana por la tarde iremos al mercado para comprar pan y fruta fresca".split(),
    "pt": "a estação fica perto do rio e os trens para o norte saem cedo".split(),
}


@dataclass(frozen=True)
class Cost:
    """What a stage took: seconds, and bytes of memory."""

    seconds: float
    memory: int


def write_audio(path: Path, seconds: float, seed: int) -> None:
    """Noise whose loudness changes every 100 ms."""
    generator = np.random.default_rng(seed)
    loudness = np.repeat(generator.uniform(0.01, 0.1, int(seconds * 10)), RATE // 10)
    soundfile.write(path, loudness * generator.standard_normal(len(loudness), dtype=np.float32), RATE)


def write_recordings(folder: Path, number: int, shortest: float, longest: float) -> list[Path]:
    """Recordings of random lengths in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    paths = [folder / f"{n:04d}.wav" for n in range(number)]
    for seed, path in enumerate(paths):
        write_audio(path, draw.uniform(shortest, longest), seed)
    return paths


def stretch(n: int, recordings: list[Path], draw: random.Random, folder: Path) -> dict:
    """Audio fields of an utterance that is a part of a recording."""
    seconds = round(draw.uniform(1, 7), 2)
    start = round(draw.uniform(0, RECORDING_SECONDS - seconds), 2)
    return {"audio": str(draw.choice(recordings)), "start": start, "end": round(start + seconds, 2)}


def file(n: int, clips: list[Path], draw: random.Random, folder: Path) -> dict:
    """Audio fields of an utterance that is a file of its own."""
    path = folder / "files" / f"{n // LINKS_PER_FOLDER:05d}" / f"{n % LINKS_PER_FOLDER:03d}.wav"
    if n % LINKS_PER_FOLDER == 0:
        path.parent.mkdir(parents=True)
    os.link(clips[n % CLIPS], path)
    return {"audio": str(path)}


def write_manifest(folder: Path, kind: str, utterances: int) -> None:
    """train.jsonl with `utterances` lines, and a hundredth of them in valid.jsonl and test.jsonl."""
    audio, make = ((write_recordings(folder / "audio", RECORDINGS, RECORDING_SECONDS, RECORDING_SECONDS), stretch)
                   if kind == "stretches" else (write_recordings(folder / "audio", CLIPS, 1, 7), file))
    draw, languages, n = random.Random(0), list(WORDS), 0
    for split, lines in (("train", utterances), ("valid", utterances // 100), ("test", utterances // 100)):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as manifest:
            for n in range(n, n + lines):
                language = draw.choice(languages)
                text = " ".join(draw.choices(WORDS[language], k=draw.randint(4, 16)))
                row = {"id": f"utt{n:08d}", "text": text, "lang": language, "speaker": f"s{draw.randrange(SPEAKERS)}"}
                manifest.write(json.dumps(row | make(n, audio, draw, folder), ensure_ascii=False) + "\n")
            n += 1


def measure(command: list[str], log: Path) -> Cost:
    """Run a command in the recipe's folder and watch all its processes.

    Raises:
        SystemExit: it failed; shows the end of its output.
    """
    started, most = time.monotonic(), 0
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=RECIPE, stdout=output, stderr=output, start_new_session=True)
        while process.poll() is None:
            most = max(most, session_memory(process.pid))
            time.sleep(0.5)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nfailed; {log} ends:\n{''.join(log.read_text().splitlines(True)[-20:])}")
    return Cost(time.monotonic() - started, most)


def session_memory(session: int) -> int:
    """Proportional set size in bytes of all processes of a session."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (name) state parent group session ...; a name may have anything in it
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            pass  # it has ended meanwhile
    return total


def run_stages(folder: Path, utterances: int, nj: int) -> dict[str, Cost]:
    """Cost of every stage on the manifest in the folder."""
    splits = max(1, utterances // UTTERANCES_PER_SPLIT)
    places = [word for name in ("data", "dump", "exp") for word in (f"--{name}dir", str(folder / name))]
    options = [*places, "--corpus", f"manifest={folder}", "--nj", str(nj), "--num_splits_asr", str(splits)]
    costs = {}
    for stage, name in STAGES.items():
        command = ["./run.sh", *options, "--stage", str(stage), "--stop_stage", str(stage)]
        costs[f"{stage} {name}"] = measure(command, folder / f"stage{stage}.log")
        print(f"  {stage} {name}: {costs[f'{stage} {name}']}", flush=True)
    command = [sys.executable, __file__, "--build_batches", str(folder), "--splits", str(splits)]
    costs[BATCHES] = measure(command, folder / "batches.log")
    return costs


def build_batches(folder: Path, splits: int) -> None:
    """Do what stage 11 does before an epoch: read the tables of a part of the training set and make its batches."""
    from espnet2.train.distributed_utils import DistributedOption

    from espnet_blrmoe.training.asr_task import BLRMoETask

    (stats,), (tokens,) = folder.glob("exp/asr_stats_*"), folder.glob("data/token_list/*/tokens.txt")
    data, shapes = (folder / "dump/raw/train", stats / "train") if splits == 1 else [stats / f"splits{splits}"] * 2
    options = ["--config", str(RECIPE / "conf/train_asr_commonvoice.yaml"), "--output_dir", "none",
               "--token_type", "char", "--token_list", str(tokens), "--allow_variable_data_keys", "true"]
    for table in ("wav.scp,speech,sound", "text,text,text", "utt2lang,lid,text"):
        options += ["--train_data_path_and_name_and_type", str(data / table)]
    for name in ("speech_shape", "text_shape.char"):
        options += ["--train_shape_file", str(shapes / name)]
    args = BLRMoETask.get_parser().parse_args(options)
    args.distributed = False
    if splits == 1:
        BLRMoETask.build_iter_factory(args, DistributedOption(), "train")
        return
    for build in BLRMoETask.build_multiple_iter_factory(args, DistributedOption(), "train").build_funcs:
        print(build())  # the part before it is forgotten, as in training


def print_table(kind: str, few: dict[str, Cost], many: dict[str, Cost], utterances: int) -> None:
    """Both manifests side by side, and the sums of what the recipe does before training."""
    def total(costs: dict[str, Cost]) -> Cost:
        return Cost(sum(cost.seconds for cost in costs.values()), max(cost.memory for cost in costs.values()))

    rows = []
    for name, short, long in [*((name, few[name], many[name]) for name in few), ("all", total(few), total(many))]:
        rows.append([name, f"{short.seconds:.0f} s", format_size(short.memory, binary=True),
                     f"{long.seconds:.0f} s ({long.seconds / short.seconds:.2f}x)",
                     f"{format_size(long.memory, binary=True)} ({long.memory / short.memory:.2f}x)"])
    header = [kind, f"{utterances:,}", "memory", f"{2 * utterances:,}", "memory"]
    print(format_pretty_table(rows, header), flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1_000_000, help="of the shorter manifest (default 1,000,000)")
    parser.add_argument("--kinds", nargs="+", choices=("stretches", "files"), default=["stretches", "files"])
    parser.add_argument("--nj", type=int, default=2, help="jobs for audio (default 2)")
    parser.add_argument("--folder", type=Path, help="for the manifests and what is made of them; emptied first")
    parser.add_argument("--build_batches", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--splits", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.build_batches:
        build_batches(args.build_batches, args.splits)
        return
    if not args.folder:
        parser.error("--folder is needed: it gets some GB of audio and tables")
    for kind in args.kinds:
        costs = []
        for utterances in (args.utterances, 2 * args.utterances):
            folder = args.folder.resolve() / kind
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_manifest(folder, kind, utterances)
            print(f"{kind}, {utterances:,} utterances", flush=True)
            costs.append(run_stages(folder, utterances, args.nj))
        shutil.rmtree(folder)
        print_table(kind, *costs, args.utterances)


if __name__ == "__main__":
    main()
