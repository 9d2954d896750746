"""Latency, speed, errors and languages of models that follow a stream, by the size of their chunks.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/streaming.py causal=exp/streaming linear=exp/streaming \\
        --data_dir dump/raw/test_in dump/raw/test_out --results exp/streaming.jsonl --plot exp/streaming.svg

Models are NAME=FOLDER, trained for streaming, or NAME=FILE.yaml: a configuration of which only the time is measured,
with random weights for eight languages. Every model hears every utterance in chunks of each of --chunk_ms, on one
thread; `whole` is Speech2Text, without chunks. What is in --results already is not measured again, so that a run goes
on where another one ended.

latency: from a sound to the text that has heard it, computing aside, for the frame that waits longest. RTF: real-time
factor, in processor time. p50, p95: milliseconds of computing for a chunk. WER: of all texts. of whole: WER over that
of `whole`, with the 95 % interval of a bootstrap over utterances, as all intervals here. LID: errors of the language
that most frames of an utterance have. settled: seconds of audio heard until the language is right and stays right:
median of the utterances where it does, and their share. flips: changes of language in a minute. Below are the
differences in WER between models at the same latency, or with chunks of the same size.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import jiwer
import matplotlib.pyplot as plt
import numpy as np
import torch
from humanfriendly.tables import format_pretty_table
from measuring import kept_results, machine, read_data_dir, save_plot

from espnet_blrmoe import Speech2Text, StreamingRecogniser, audio
from espnet_blrmoe.bin.summary import complete
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import read_config
from espnet_blrmoe.inference.timeline import joined
from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.training.footprint import build

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "local"))

from score import bootstrap, count, error_rate, interval  # noqa: E402

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
        for utterance, file in progress_bar(chosen, f"{name} {size}", leave=False):
            place = {"model": name, "chunk": size, "data": str(folder), "utterance": utterance}
            if tuple(place.values()) in done:
                continue
            wave = audio.load(file, recogniser.fs)
            if size == WHOLE:
                heard = hear_whole(recogniser, wave)
            else:
                heard = hear(recogniser, wave, languages[utterance], float(size))
            yield place | asdict(heard) | {"latency": getattr(recogniser, "latency", None)}


@dataclass(frozen=True)
class Measured:
    """What one model did with one data folder, in chunks of one size.

    Attributes:
        results: of the utterances, in the folder's order.
        wer: word error rates in %: of all utterances, then of every resample of them, paired with those of others.
    """

    name: str
    size: str
    results: list[dict]
    wer: np.ndarray

    @classmethod
    def of(cls, name: str, size: str, results: list[dict], texts: dict[str, str]) -> "Measured":
        """Of the results, `texts` being those of the data folder's utterances."""
        place = {utterance: n for n, utterance in enumerate(texts)}
        results = sorted(results, key=lambda result: place[result["utterance"]])
        counts = count({"WER": [jiwer.process_words(texts[own["utterance"]], own["text"]) for own in results]})
        return cls(name, size, results, np.concatenate([error_rate(counts.sum(axis=0)), bootstrap(counts)[:, 0]]))

    @property
    def latency(self) -> int | None:
        """Milliseconds; None: all of the utterance."""
        return None if self.size == WHOLE else round(1000 * self.results[0]["latency"])


def row(own: Measured, whole: Measured | None, languages: dict[str, str], config: dict) -> list[str]:
    """The table's row; `whole` is of the same model, `languages` are those of the data folder's utterances."""
    results = own.results
    computing = [1000 * seconds for result in results for seconds in result["computing"]]
    seconds = sum(result["seconds"] for result in results)
    cells = [own.name, own.size, "-" if own.latency is None else f"{own.latency:,.0f} ms"]
    cells.append(f"{sum(computing) / 1000 / seconds:.4f}")
    cells += ["-"] * 2 if own.size == WHOLE else [f"{figure:.1f}" for figure in np.percentile(computing, [50, 95])]
    if config["encoder_conf"]["languages"] == LANGUAGES:  # random weights
        return cells + ["-"] * 5
    cells.append(f"{own.wer[0]:.1f}")
    cells.append("-" if own.size == WHOLE or whole is None else with_interval(own.wer / whole.wer))
    if config["model_conf"].get("lid_weight") == 0.0:  # its router has learnt nothing
        return cells + ["-"] * 3
    wrong = sum(result["language"] != languages[result["utterance"]] for result in results)
    settled = [result["settled"] for result in results if result["settled"] is not None]
    cells.append(f"{100 * wrong / len(results):.1f}")
    cells.append(f"{statistics.median(settled):.2f} ({100 * len(settled) / len(results):.0f} %)" if settled else "-")
    cells.append(f"{60 * sum(result['flips'] for result in results) / seconds:.1f}")
    return cells


def with_interval(figures: np.ndarray, digits: int = 2) -> str:
    """A figure and its interval, of the figure and those of resamples."""
    low, high = interval(figures[1:])
    return f"{figures[0]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def comparisons(measured: list[Measured]) -> list[list[str]]:
    """Rows of two models each that answer equally late, or in chunks of the same size."""
    return [
        [f"{one.name}, {one.size}", f"{other.name}, {other.size}", with_interval(one.wer - other.wer, 1)]
        for one, other in combinations(measured, 2)
        if one.name != other.name and (one.size == other.size or one.latency == other.latency)
    ]


def draw(measured: dict[str, list[Measured]], path: Path) -> None:
    """Word error rates by latency, a panel for each data folder; whole utterances are dotted lines."""
    figure, panels = plt.subplots(1, len(measured), figsize=(5 * len(measured), 4), squeeze=False)
    for axes, (folder, own) in zip(panels[0], measured.items()):
        for name in dict.fromkeys(each.name for each in own):
            points = sorted((each.latency, each.wer[0]) for each in own if each.name == name and each.latency)
            (line,) = axes.plot([at for at, _ in points], [wer for _, wer in points], marker="o", label=name)
            for each in own:
                if (each.name, each.size) == (name, WHOLE):
                    axes.axhline(each.wer[0], color=line.get_color(), linestyle=":")
        axes.set(title=Path(folder).name, xlabel="latency, ms", ylabel="WER, %")
    panels[0, 0].legend()
    save_plot(figure, path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=FOLDER|FILE.yaml")
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="wav.scp, text and utt2lang")
    parser.add_argument("--results", type=Path, required=True, help="file to go on with; a line for every utterance")
    parser.add_argument("--chunk_ms", nargs="+", default=["160", "320", "640", WHOLE])
    parser.add_argument("--utterances", type=int, help="of each data_dir are enough")
    parser.add_argument("--plot", type=Path, help="draw word error rates by latency into this file")
    args = parser.parse_args(argv)
    models = dict(model.split("=", 1) for model in args.models if "=" in model)
    if len(models) < len(args.models):
        sys.exit(f"streaming: name every model once, as in causal=exp/streaming, not {' '.join(args.models)}")
    torch.set_num_threads(1)
    results = kept_results(args.results, {})
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
    head = ["model", "chunk", "latency", "RTF", "p50", "p95", "WER, %", "of whole", "LID, %", "settled, s", "flips"]
    print(machine("cpu"))
    trained = [name for name, config in configs.items() if config["encoder_conf"]["languages"] != LANGUAGES]
    measured = {}
    for folder in map(str, args.data_dir):
        _, texts, languages = read_data_dir(Path(folder), "text", "utt2lang")
        own = {}
        for name in configs:
            for size in args.chunk_ms:
                of_them = [r for r in results if (r["model"], r["chunk"], r["data"]) == (name, size, folder)]
                own[name, size] = Measured.of(name, size, of_them, texts)
        rows = [row(each, own.get((name, WHOLE)), languages, configs[name]) for (name, _), each in own.items()]
        print(f"{folder}: {len(of_them)} utterances")
        print(format_pretty_table(rows, head))
        measured[folder] = [each for (name, _), each in own.items() if name in trained]
        if compared := comparisons(measured[folder]):
            print(format_pretty_table(compared, ["", "and", "difference in WER"]))
    if args.plot:
        draw(measured, args.plot)


if __name__ == "__main__":
    main()
