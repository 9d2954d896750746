"""Latency, speed, errors and languages of models that follow a stream, by the size of their chunks.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/streaming.py causal=exp/streaming linear=exp/streaming \\
        --data_dir dump/raw/test_in dump/raw/test_out --results exp/streaming.jsonl

Models are NAME=FOLDER, trained for streaming, or NAME=FILE.yaml: a configuration of which only the time is measured,
with random weights for eight languages. Every model hears every utterance in chunks of each of --chunk_ms, on one
thread; `whole` is Speech2Text, without chunks. What is in --results already is not measured again, so that a run goes
on where another one ended.

latency: from a sound to the text that has heard it, computing aside, for the frame that waits longest. RTF: real-time
factor, in processor time. p50, p95: milliseconds of computing for a chunk. WER: of all texts. LID: errors of the
language that most frames of an utterance have. settled: seconds of audio heard until the language is right and stays
right: median of the utterances where it does, and their share. flips: changes of language in a minute.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jiwer
import torch
from humanfriendly.tables import format_pretty_table
from measuring import machine, read_data_dir
from tqdm import tqdm

from espnet_blrmoe import Speech2Text, StreamingRecogniser, audio
from espnet_blrmoe.bin.summary import complete
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import read_config
from espnet_blrmoe.inference.timeline import joined
from espnet_blrmoe.training.footprint import build

WHOLE = "whole"
LANGUAGES = [f"l{n}" for n in range(8)]  # of models with random weights
TOKENS = 1000


@dataclass(frozen=True)
class Heard:
    """One utterance, as one model heard it in chunks of one size.

    Attributes:
        seconds: of audio.
        computing: processor seconds for each part.
        text: what was recognised.
        language: of most frames.
        settled: seconds heard until the language was right and stayed right; None: it never did.
        flips: changes of language.
    """

    seconds: float
    computing: list[float]
    text: str
    language: str
    settled: float | None
    flips: int


def hear(recogniser: StreamingRecogniser, wave: torch.Tensor, language: str, chunk_ms: float) -> Heard:
    """Stream one utterance, a chunk's length at a time."""
    session, step, parts, computing, heard = recogniser.start(), round(chunk_ms * recogniser.fs / 1000), [], [], []
    for first in range(0, len(wave), step):
        begun = time.process_time()
        new = session.feed(wave[first : first + step])
        if new:
            computing.append(time.process_time() - begun)
        parts += new
        heard += [min(first + step, len(wave)) / recogniser.fs] * len(new)
    begun = time.process_time()
    parts.append(session.finish())
    computing.append(time.process_time() - begun)
    heard.append(len(wave) / recogniser.fs)
    spans = joined([span for part in parts for span in part.timeline])
    settled = settled_at([(part.language, at) for part, at in zip(parts, heard) if part.timeline], language)
    return Heard(heard[-1], computing, parts[-1].text, most_frequent(spans), settled, len(spans) - 1)


def settled_at(told: list[tuple[str, float]], language: str) -> float | None:
    """Seconds heard when the language was right and stayed right, of (language, seconds heard) of every part."""
    settled = None
    for found, at in told:
        settled = None if found != language else at if settled is None else settled
    return settled


def hear_whole(recogniser: Speech2Text, wave: torch.Tensor) -> Heard:
    """Recognise one utterance at once."""
    begun = time.process_time()
    transcript = recogniser(wave)
    computing = [time.process_time() - begun]
    seconds, flips = len(wave) / recogniser.fs, max(0, len(transcript.timeline) - 1)
    return Heard(seconds, computing, transcript.text, transcript.language or "", None, flips)


def most_frequent(spans: list) -> str:
    """The language of most seconds."""
    seconds: Counter[str] = Counter()
    for span in spans:
        seconds[span.language] += span.end - span.start
    return max(seconds, key=lambda code: seconds[code])


def model_files(given: str, folder: Path) -> ModelFiles:
    """A trained model, or one with random weights in `folder`."""
    if not given.endswith(".yaml"):
        return ModelFiles.of_folder(given)
    config = complete(Path(given), LANGUAGES, TOKENS) | {"token_type": "char"}  # another needs a model of its own
    files = ModelFiles.in_folder(folder)
    folder.mkdir()
    torch.save(build(config).state_dict(), files.weights)
    files.config.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML, without aliases
    return files


def measure(args: argparse.Namespace, name: str, files: ModelFiles, size: str, done: set) -> Iterator[dict]:
    """One model, in chunks of one size: every utterance that is not in the results yet."""
    options = files.as_options()
    if size == WHOLE:
        recogniser = Speech2Text(**options, beam_size=1, ctc_weight=1.0, chunk_seconds=float("inf"), vad="none")
    else:
        recogniser = StreamingRecogniser(**options, chunk_ms=float(size))
    for folder in args.data_dir:
        files, languages = read_data_dir(folder, "utt2lang")
        chosen = list(files.items())[: args.utterances]
        for utterance, file in tqdm(chosen, f"{name} {size}", disable=None, leave=False):
            place = {"model": name, "chunk": size, "data": str(folder), "utterance": utterance}
            if tuple(place.values()) in done:
                continue
            wave = audio.load(file, recogniser.fs)
            if size == WHOLE:
                heard = hear_whole(recogniser, wave)
            else:
                heard = hear(recogniser, wave, languages[utterance], float(size))
            yield place | asdict(heard) | {"latency": getattr(recogniser, "latency", None)}


def row(name: str, size: str, results: list[dict], texts: dict, languages: dict, config: dict) -> list[str]:
    """The table's row of a model and a size; `texts` and `languages` are of the data folder's utterances."""
    computing = sorted(1000 * seconds for result in results for seconds in result["computing"])
    seconds = sum(result["seconds"] for result in results)
    latency = "-" if size == WHOLE else f"{1000 * results[0]['latency']:,.0f} ms"
    p50, p95 = (computing[round(share * (len(computing) - 1))] for share in (0.5, 0.95))
    cells = [name, size, latency, f"{sum(computing) / 1000 / seconds:.4f}"]
    cells += ["-"] * 2 if size == WHOLE else [f"{p50:.1f}", f"{p95:.1f}"]
    if config["encoder_conf"]["languages"] == LANGUAGES:  # random weights
        return cells + ["-"] * 4
    utterances = [result["utterance"] for result in results]
    wer = jiwer.wer([texts[u] for u in utterances], [result["text"] for result in results])
    cells.append(f"{100 * wer:.1f}")
    if config["model_conf"].get("lid_weight") == 0.0:  # its router has learnt nothing
        return cells + ["-"] * 3
    wrong = sum(result["language"] != languages[u] for u, result in zip(utterances, results))
    settled = [result["settled"] for result in results if result["settled"] is not None]
    cells.append(f"{100 * wrong / len(results):.1f}")
    cells.append(f"{statistics.median(settled):.2f} ({100 * len(settled) / len(results):.0f} %)" if settled else "-")
    cells.append(f"{60 * sum(result['flips'] for result in results) / seconds:.1f}")
    return cells


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER|FILE.yaml")
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="wav.scp, text and utt2lang")
    parser.add_argument("--results", type=Path, required=True, help="file to go on with; a line for every utterance")
    parser.add_argument("--chunk_ms", nargs="+", default=["160", "320", "640", WHOLE])
    parser.add_argument("--utterances", type=int, help="of each data_dir are enough")
    args = parser.parse_args(argv)
    models = dict(model.split("=", 1) for model in args.models if "=" in model)
    if len(models) < len(args.models):
        sys.exit(f"streaming: name every model once, as in causal=exp/streaming, not {' '.join(args.models)}")
    torch.set_num_threads(1)
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.is_file() else []
    results = [json.loads(line) for line in lines]
    done = {(r["model"], r["chunk"], r["data"], r["utterance"]) for r in results}
    with TemporaryDirectory() as folder, args.results.open("a", encoding="utf-8") as file:
        files = {name: model_files(given, Path(folder) / name) for name, given in models.items()}
        for size in args.chunk_ms:
            for name in models:
                for result in measure(args, name, files[name], size, done):
                    results.append(result)
                    print(json.dumps(result, ensure_ascii=False), file=file, flush=True)
        show(args, results, {name: read_config(own.config) for name, own in files.items()})


def show(args: argparse.Namespace, results: list[dict], configs: dict[str, dict]) -> None:
    """Print a table for each data folder."""
    head = ["model", "chunk", "latency", "RTF", "p50", "p95", "WER, %", "LID, %", "settled, s", "flips"]
    print(machine("cpu"))
    for folder in map(str, args.data_dir):
        _, texts, languages = read_data_dir(Path(folder), "text", "utt2lang")
        rows = []
        for name, config in configs.items():
            for size in args.chunk_ms:
                own = [r for r in results if (r["model"], r["chunk"], r["data"]) == (name, size, folder)]
                rows.append(row(name, size, own, texts, languages, config))
        print(f"{folder}: {len(own)} utterances")
        print(format_pretty_table(rows, head))


if __name__ == "__main__":
    main()
