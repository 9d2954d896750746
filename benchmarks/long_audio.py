"""Word error rate and languages of long audio, by how it is cut.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/long_audio.py --model exp/asr --data_dir dump/raw/valid

Joins the utterances of a data directory (wav.scp, text, utt2lang) to recordings of some minutes, one of every language
and one of all languages mixed, in an order drawn from a seed, and recognises each with every --vad, --chunk_seconds and
--language_smoothing. Between them are pauses of 0.3 to 1 s (--pauses): noise 40 dB below the speech, or zeros with
--silent. With --sentences N, they are joined to recordings of so many. Choose on a validation set. `alone`: the
utterances one by one, with --around SECONDS of pause before and behind each.
A data directory with a `timeline`, such as the recipe's test_mixed, has recordings in which the language changes; they
stay as they are: those in which it changes `between` sentences, and those in which it does so `within` one; or, with
--condition, each gets noise, reverberation or what else router fine-tuning can put speech under.

WER: of the joined texts. right: share of the seconds of speech, from the first to the last loud 10 ms of an utterance,
that went to the expert of its language. changes: of language in the timeline. boundaries: how far the middle of the
pause in which the language really changes is from the middle of the nearest change to the same language, in the median
over all changes; and the share of them within 300 ms. RTF: CPU seconds for a second of all recordings.

    python ../../../benchmarks/long_audio.py --model exp/asr --data_dir dump/raw/valid --chunk_seconds 8 --hours 0.1

recognises so many hours of the mixed recording, over and over, as a file, each way to cut in a process of its own.
"""

import argparse
import json
import math
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import soundfile
import torch
from humanfriendly import format_size
from measuring import read_data_dir

from espnet_blrmoe import LanguageSpan, Speech2Text, Transcript, audio
from espnet_blrmoe.audio import extent
from espnet_blrmoe.inference.timeline_scores import NEAR, boundary_errors, changes_of, right_seconds
from espnet_blrmoe.model.prior import SWITCH_COST
from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.tables import text_table
from espnet_blrmoe.training.conditions import CONDITIONS, degrade

PAUSE_DB = -40.0
ALONE, MIXED = "alone", "mixed"
BETWEEN, WITHIN = "between", "within"


class Setting(NamedTuple):
    """A way to recognise; no chunk_seconds: utterances one by one."""

    vad: str
    chunk_seconds: float | None
    language_smoothing: str = "viterbi"
    language_switch_cost: float | None = SWITCH_COST

    def recogniser(self, model: str) -> Speech2Text:
        """Of the model in a folder."""
        chunk_seconds = math.inf if self.chunk_seconds is None else self.chunk_seconds
        return Speech2Text.from_pretrained(model, beam_size=1, **self._asdict() | {"chunk_seconds": chunk_seconds})

    def cells(self) -> list[str]:
        """For a table."""
        cost = "" if self.language_switch_cost is None else f" {self.language_switch_cost:g}"
        seconds = ALONE if self.chunk_seconds is None else f"{self.chunk_seconds:g}"
        return [self.vad, seconds, f"{self.language_smoothing}{cost}"]


@dataclass(frozen=True)
class Score:
    """What came of one recording.

    Attributes:
        wer: of its text.
        right: share of its seconds of speech whose language is right.
        changes: of language in the timeline.
        boundaries: seconds by which each real change of language is missed.
        rtf: CPU seconds for each of its seconds.
    """

    wer: float
    right: float
    changes: int
    boundaries: list[float]
    rtf: float

    def cell(self) -> str:
        """For a table."""
        return f"{100 * self.wer:.1f} / {100 * self.right:.1f} / {self.changes}"


def pause_of(seconds: float, wave: torch.Tensor, fs: int, loudness: float, generator: torch.Generator) -> torch.Tensor:
    """Noise (samples,) that is so loud against an utterance."""
    return loudness * wave.square().mean().sqrt() * torch.randn(int(seconds * fs), generator=generator)


def join(
    waves: list[torch.Tensor], languages: list[str], fs: int, loudness: float, pauses: tuple[float, float],
    draw: random.Random,
) -> tuple[torch.Tensor, list[LanguageSpan]]:
    """One recording (samples,), its pauses so loud against the speech and so long, and what is said in it."""
    generator = torch.Generator().manual_seed(0)
    parts, said, samples = [], [], 0
    for wave, language in zip(waves, languages):
        pause = pause_of(draw.uniform(*pauses), wave, fs, loudness, generator)
        start, end = (samples / fs + seconds for seconds in extent(wave, fs))
        said.append(LanguageSpan(start, end, language))
        parts += [wave, pause]
        samples += len(wave) + len(pause)
    return torch.cat(parts), said


def surrounded(wave: torch.Tensor, seconds: float, fs: int, loudness: float) -> torch.Tensor:
    """An utterance with a pause before and behind it."""
    generator = torch.Generator().manual_seed(0)
    before, behind = (pause_of(seconds, wave, fs, loudness, generator) for _ in range(2))
    return torch.cat([before, wave, behind])


def scored(transcripts: list[Transcript], said: list[list[LanguageSpan]], text: str, rtf: float) -> Score:
    """The score of recordings that belong together."""
    pairs = list(zip(transcripts, said, strict=True))
    seconds = sum(one.end - one.start for own in said for one in own)
    return Score(
        wer=jiwer.wer(text, " ".join(transcript.text for transcript in transcripts)),
        right=sum(right_seconds(t.timeline, one) for t, own in pairs for one in own) / seconds,
        changes=sum(len(changes_of(transcript.timeline)) for transcript in transcripts),
        boundaries=[error for t, own in pairs for error in boundary_errors(t.timeline, own)],
        rtf=rtf,
    )


def measured(
    recogniser: Speech2Text, waves: list[torch.Tensor], saids: list[list[LanguageSpan]], text: str
) -> Score:
    """What comes of recordings (samples,) that belong together."""
    started = time.process_time()
    transcripts = recogniser.batch(waves)
    rtf = (time.process_time() - started) / sum(len(wave) / recogniser.fs for wave in waves)
    return scored(transcripts, saids, text, rtf)


def boundaries(errors: list[float]) -> str:
    """For a table."""
    if not errors:
        return ""
    near = sum(error <= NEAR for error in errors) / len(errors)
    return f"{1000 * statistics.median(errors):.0f} / {100 * near:.0f}"


class Recordings:
    """The recordings that a data directory's utterances make.

    Args:
        data_dir: with wav.scp, text and utt2lang.
        fs: sampling rate in Hz.
        loudness: of the pauses, against the speech.
        pauses: seconds of the shortest and the longest.
        sentences: utterances of each recording; None: all of them.
        around: seconds of pause before and behind utterances that are alone.
    """

    def __init__(
        self, data_dir: Path, fs: int, loudness: float, pauses: tuple[float, float] = (0.3, 1.0),
        sentences: int | None = None, around: float = 0.0,
    ) -> None:
        self.files, self.texts, self.languages = read_data_dir(data_dir, "text", "utt2lang")
        self.fs, self.loudness, self.pauses, self.around = fs, loudness, pauses, around
        self.sentences = sentences or len(self.files)
        self.utterances = {
            code: [u for u in self.files if self.languages[u] == code] for code in sorted({*self.languages.values()})
        }
        self.utterances[MIXED] = random.Random(0).sample(sorted(self.files), len(self.files))

    def waves(self, utterances: list[str]) -> list[torch.Tensor]:
        """(samples,) of each."""
        return [audio.load(self.files[u], self.fs) for u in utterances]

    def joined(self, name: str) -> tuple[list[torch.Tensor], list[list[LanguageSpan]]]:
        """Recordings, (samples,) each, and what is said in each."""
        every, draw, joined = self.utterances[name], random.Random(0), []
        for first in range(0, len(every), self.sentences):
            own = every[first : first + self.sentences]
            languages = [self.languages[u] for u in own]
            joined.append(join(self.waves(own), languages, self.fs, self.loudness, self.pauses, draw))
        waves, saids = zip(*joined)
        return list(waves), list(saids)

    def alone(self, name: str) -> tuple[list[torch.Tensor], list[list[LanguageSpan]]]:
        """The utterances of recordings, (samples,) each, and what is said in each."""
        waves, saids = [], []
        for wave, utterance in zip(self.waves(self.utterances[name]), self.utterances[name]):
            start, end = (self.around + seconds for seconds in extent(wave, self.fs))
            waves.append(surrounded(wave, self.around, self.fs, self.loudness))
            saids.append([LanguageSpan(start, end, self.languages[utterance])])
        return waves, saids

    def score(self, name: str, recogniser: Speech2Text) -> Score:
        """What becomes of recordings."""
        return measured(recogniser, *self.joined(name), self.text(name))

    def score_alone(self, name: str, recogniser: Speech2Text) -> Score:
        """What becomes of their utterances, one by one."""
        return measured(recogniser, *self.alone(name), self.text(name))

    def text(self, name: str) -> str:
        """What is said in recordings."""
        return " ".join(self.texts[u] for u in self.utterances[name])


class ChangingRecordings:
    """The recordings of a data directory in which the language changes.

    Args:
        data_dir: with wav.scp, text and timeline.
        fs: sampling rate in Hz.
        condition: a name of CONDITIONS, drawn anew for each recording, alike in every run.
    """

    def __init__(self, data_dir: Path, fs: int, condition: str = "clean") -> None:
        self.files, self.texts, timelines = read_data_dir(data_dir, "text", "timeline")
        self.fs, self.condition = fs, condition
        self.said = {u: [LanguageSpan(*stretch[:3]) for stretch in json.loads(timelines[u])] for u in self.files}
        within = [u for u, said in self.said.items() if any(one.end == other.start for one, other in pairwise(said))]
        parts = {BETWEEN: [u for u in self.files if u not in within], WITHIN: within}
        self.utterances = {name: own for name, own in parts.items() if own}

    def score(self, name: str, recogniser: Speech2Text) -> Score:
        """What becomes of those of a kind."""
        own = self.utterances[name]
        waves = [self.heard(n, u) for n, u in enumerate(own)]
        return measured(recogniser, waves, [self.said[u] for u in own], " ".join(self.texts[u] for u in own))

    def heard(self, place: int, utterance: str) -> torch.Tensor:
        """A recording, (samples,), under the condition."""
        wave = audio.load(self.files[utterance], self.fs).numpy()
        return torch.from_numpy(degrade(wave, self.fs, self.condition, np.random.default_rng(place)))


def settings_of(args: argparse.Namespace) -> list[Setting]:
    """All that are asked for."""
    smoothing = [(way, cost) for way in args.language_smoothing
                 for cost in (args.language_switch_cost if way == "viterbi" else [None])]
    return [Setting(vad, seconds, *way) for vad in args.vad for seconds in args.chunk_seconds for way in smoothing]


def in_a_process(function: Callable, *arguments: Any) -> Any:
    """What a function of this module gives in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(function, arguments)


def cost(model: str, file: str, setting: Setting, threads: int) -> tuple[float, float, int]:
    """Seconds and CPU seconds of recognising a file, and the most memory in bytes that this process has had by then."""
    torch.set_num_threads(threads)
    recogniser = setting.recogniser(model)
    started = time.perf_counter(), time.process_time()
    recogniser(file)
    spent = time.perf_counter() - started[0], time.process_time() - started[1]
    return *spent, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_hours(args: argparse.Namespace, recordings: Recordings) -> None:
    """Time and memory of a long file, for each setting."""
    recording = torch.cat(recordings.joined(MIXED)[0]).numpy()
    seconds = 3600 * args.hours
    repeated = np.resize(recording, round(seconds * recordings.fs))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "long.wav"))
        soundfile.write(file, repeated, recordings.fs)
        for setting in settings_of(args):
            wall, cpu, memory = in_a_process(cost, args.model, file, setting, args.threads)
            rows.append([*setting.cells(), f"{wall:.1f} s", f"{cpu:.1f} s", f"{cpu / seconds:.5f}",
                         format_size(memory, binary=True)])
    print(text_table(["vad", "chunk_seconds", "smoothing", "time", "CPU time", "RTF", "memory"], rows))


def measure_errors(args: argparse.Namespace, recordings: Recordings | ChangingRecordings) -> None:
    """Errors of every recording, for each setting."""
    names = args.recordings or list(recordings.utterances)
    if unknown := [name for name in names if name not in recordings.utterances]:
        there = ", ".join(recordings.utterances)
        sys.exit(f"long_audio: {args.data_dir} has no recordings {', '.join(unknown)}; it has {there}")
    rows = []
    ways = [(setting, recordings.score) for setting in settings_of(args)]
    if isinstance(recordings, Recordings):
        ways = [*((Setting(vad, None), recordings.score_alone) for vad in args.vad), *ways]
    for setting, score in progress_bar(ways):
        recogniser = setting.recogniser(args.model)
        scores = {name: score(name, recogniser) for name in names}
        rtf = statistics.mean(score.rtf for score in scores.values())
        errors = [error for score in scores.values() for error in score.boundaries]
        cells = [score.cell() for score in scores.values()]
        rows.append([*setting.cells(), *cells, boundaries(errors), f"{rtf:.4f}"])
    head = ["vad", "chunk_seconds", "smoothing", *(f"{name}: WER, % / right, % / changes" for name in names)]
    print(text_table([*head, "boundaries: median, ms / within 300 ms, %", "RTF"], rows))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--vad", nargs="+", default=["none", "silero"], choices=("none", "silero"))
    parser.add_argument("--chunk_seconds", type=float, nargs="*", default=[4, 6, 8, 12, 20, 30])
    parser.add_argument("--language_smoothing", nargs="+", default=["viterbi"])
    parser.add_argument("--language_switch_cost", type=float, nargs="+", default=[SWITCH_COST],
                        help="of viterbi (default: 5)")
    kinds = f"languages, and {MIXED}; or {BETWEEN} and {WITHIN}"
    parser.add_argument("--recordings", nargs="+", help=f"{kinds} (default: all)")
    parser.add_argument("--condition", choices=CONDITIONS, default="clean", help=f"of {BETWEEN} and {WITHIN}")
    parser.add_argument("--silent", action="store_true", help="pauses of zeros, as some programs write them")
    parser.add_argument("--pauses", type=float, nargs=2, default=[0.3, 1.0], metavar="SECONDS",
                        help="the shortest and the longest between utterances (default: 0.3 1)")
    parser.add_argument("--sentences", type=int, metavar="N", help="utterances of a recording (default: all)")
    parser.add_argument("--around", type=float, default=0.0, metavar="SECONDS", help="of pause, around those alone")
    parser.add_argument("--hours", type=float, help="measure the time and memory of so long a recording")
    parser.add_argument("--threads", type=int, default=1, help="for --hours (default: 1)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(1)
    fs = Setting(args.vad[0], None).recogniser(args.model).fs
    if args.sentences is not None and args.sentences < 1:
        sys.exit(f"long_audio: --sentences must be at least 1, not {args.sentences}")
    if (args.data_dir / "timeline").is_file() and not args.hours:
        measure_errors(args, ChangingRecordings(args.data_dir, fs, args.condition))
        return
    loudness = 0.0 if args.silent else 10 ** (PAUSE_DB / 20)
    recordings = Recordings(args.data_dir, fs, loudness, tuple(args.pauses), args.sentences, args.around)
    (measure_hours if args.hours else measure_errors)(args, recordings)


if __name__ == "__main__":
    main()
