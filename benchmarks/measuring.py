"""Data to measure with, time and memory of what a function does, and how tables show them."""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import torch
from humanfriendly import format_size
from torch import nn

from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.segments import read_audio_table
from espnet_blrmoe.tables import read_table
from espnet_blrmoe.writing import split_words

if TYPE_CHECKING:  # not all benchmarks need ESPnet
    from espnet_blrmoe import Speech2Text


def read_data_dir(folder: Path, *tables: str) -> tuple[dict[str, str], ...]:
    """Tables of a data directory, by utterance, in the order of its wav.scp.

    Args:
        folder: with wav.scp, maybe segments, and the tables.
        tables: "text", "utt2lang", ...

    Returns:
        the audio of every utterance, as espnet_blrmoe.audio.load takes it, and its values in the tables.

    Raises:
        SystemExit: a table is missing or broken, or lacks an utterance.
    """
    try:
        audio, *others = read_audio_table(folder / "wav.scp"), *(read_table(folder / name) for name in tables)
    except ValueError as error:
        sys.exit(str(error))
    for name, table in zip(tables, others):
        if missing := audio.keys() - table.keys():
            sys.exit(f"{folder / name} has no line for utterance {min(missing)}; add it, or take it out of wav.scp")
    return audio, *({utterance: table[utterance] for utterance in audio} for table in others)


def named_folders(parser: argparse.ArgumentParser, models: Sequence[str]) -> dict[str, str]:
    """Models of the command line, NAME=FOLDER each: name -> folder. Ends with the parser's usage where one is not."""
    folders = {name: folder for name, _, folder in (model.partition("=") for model in models)}
    if not all(folders.values()):
        parser.error("give models as NAME=FOLDER")
    return folders


def kept_results(path: Path, key: dict[str, Any]) -> list[dict]:
    """The results that a run has left in a file, a line of JSON each, if they have all that the key has.

    Raises:
        ValueError: a line is something else.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [result for result in map(json.loads, lines) if result.items() >= key.items()]


def decoded(speech2text: "Speech2Text", files: Sequence[str], **options: Any) -> tuple[list[str], float]:
    """The texts of files, their words with spaces between, and the seconds of processor time that they took."""
    start = time.process_time()
    transcripts = speech2text.batch(files, **options)
    seconds = time.process_time() - start
    return [" ".join(split_words(transcript.text)) for transcript in transcripts], seconds


class Stopwatch:
    """Times functions in turns: `rounds` of one call each, after one call to warm up.

    Args:
        device: "cpu" or "cuda".
        rounds: timed calls of each function.
        once: names of functions that are too slow for that: one call, without warming up.
        clock: in seconds, e.g. time.process_time for one thread on a machine that is shared.
    """

    def __init__(
        self,
        device: str,
        rounds: int,
        once: Collection[str] = (),
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.device = device
        self.rounds = rounds
        self.once = once
        self.clock = clock

    def __call__(self, functions: dict[str, Callable[[], None]], what: str) -> dict[str, list[float]]:
        """Seconds of every call, by name."""
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for round_ in progress_bar(range(-1, self.rounds), desc=what, leave=False):
            for name, function in functions.items():
                if name in self.once and round_ != 0:
                    continue
                elapsed = self._time(function)
                if round_ >= 0:
                    seconds[name].append(elapsed)
        return seconds

    def _time(self, function: Callable[[], None]) -> float:
        self._wait()
        start = self.clock()
        function()
        self._wait()
        return self.clock() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def ratio(times: list[float], baseline: list[float]) -> str:
    """Median and quartiles of the ratio within rounds."""
    ratios = [t / b for t, b in zip(times, baseline)]
    if len(ratios) < 4:
        return f"{statistics.median(ratios):.2f}x"
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.2f}x [{low:.2f}, {high:.2f}]"


def milliseconds(times: list[float]) -> str:
    """The median, for people."""
    return f"{1000 * statistics.median(times):,.0f} ms"


def against(sizes: dict[str, int], name: str, baseline: str) -> str:
    """A size in bytes for people, with its ratio to the baseline's."""
    if name not in sizes:
        return "not measured"
    return f"{format_size(sizes[name])} ({sizes[name] / sizes[baseline]:.2f}x)"


def saved_bytes(model: nn.Module, training_loss: Callable[[], torch.Tensor]) -> int:
    """Bytes that computing the model's loss in training saves for the backward pass, parameters excluded."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would make a cycle with what saves it

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = training_loss()  # kept alive, so that no storage is used twice
    total.backward()  # frees what is saved: the attention weights that ESPnet's attention keeps would hold it
    model.zero_grad(set_to_none=True)
    return sum(saved.values())


def peak(step: Callable[[], None], device: str) -> int:
    """The most bytes that a step has allocated at once on the device, over what there was before."""
    return gpu_peak(step) if device == "cuda" else cpu_peak(step)


def cpu_peak(step: Callable[[], None]) -> int:
    """The most bytes that a step has allocated at once on the CPU, over what there was before."""
    with torch.autograd.profiler.profile(use_device=None, profile_memory=True) as profile:
        step()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


def gpu_peak(step: Callable[[], None]) -> int:
    """The most bytes that a step has allocated at once on the GPU, over what there was before."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() - before


def save_plot(figure: plt.Figure, path: Path) -> None:
    """Write a figure as SVG, the same bytes whenever it shows the same numbers."""
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})


def machine(device: str) -> str:
    """What the figures were measured on."""
    versions = f"PyTorch {torch.__version__}, ESPnet {version('espnet')}"
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, {versions}"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    return f"{name}, {torch.get_num_threads()} threads, {versions}"
