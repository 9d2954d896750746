"""Many streams through one process, and a long one: are results those of each alone, and does the memory stay flat?

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/many_streams.py exp/streaming --data_dir dump/raw/test_in

The model is a folder, or FILE.yaml: a configuration, with random weights for eight languages. All audio of --data_dir
is joined. --sessions streams begin at random places of it and last up to --seconds. --at_once of them are fed
together, each with up to a second; whenever one ends, another begins. Every fifth is dropped half-way, without an end;
each of the others is heard once more, alone and in one piece. Last comes one stream of --hours. One thread.

different: streams whose text, words' times or languages were not those of the stream alone. left: states of streams in
memory when all are over. memory: MiB of the process, after a tenth of the work, and at its end. seconds: of audio, and
of computing.
"""

import argparse
import gc
import random
import resource
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from humanfriendly.tables import format_pretty_table
from measuring import machine, read_data_dir
from streaming import model_files

from espnet_blrmoe import StreamingRecogniser, StreamPart, audio
from espnet_blrmoe.inference.timeline import joined
from espnet_blrmoe.model.streaming import StreamState
from espnet_blrmoe.progress import progress_bar

DROPPED = 5  # every so many streams, one is dropped half-way
SHORTEST = 0.1  # seconds of a stream


class Stream:
    """A session, and its audio.

    Args:
        recogniser: of the session.
        wave: (samples,) all that it is to hear.
        is_dropped: whether it is dropped half-way.
    """

    def __init__(self, recogniser: StreamingRecogniser, wave: torch.Tensor, is_dropped: bool):
        self.session, self.wave, self.is_dropped = recogniser.start(), wave, is_dropped
        self.rest = wave[: len(wave) // 2] if is_dropped else wave
        self.parts: list[StreamPart] = []

    def take(self, samples: int) -> torch.Tensor:
        """The next piece."""
        piece, self.rest = self.rest[:samples], self.rest[samples:]
        return piece


def memory() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def states() -> int:
    """Of streams, in memory."""
    gc.collect()
    return sum(type(thing) is StreamState for thing in gc.get_objects())


def run_together(recogniser: StreamingRecogniser, streams: Iterator[Stream], at_once: int) -> Iterator[Stream]:
    """Feed so many streams together; gives those that are over, in the order in which they end."""
    draw, active = random.Random(1), []
    while True:
        for stream in active:
            if not len(stream.rest):
                yield stream
        active = [stream for stream in active if len(stream.rest)]
        active += [stream for _, stream in zip(range(at_once - len(active)), streams)]
        if not active:
            return
        pieces = [stream.take(draw.randint(1, recogniser.fs)) for stream in active]
        for stream, parts in zip(active, recogniser.feed([stream.session for stream in active], pieces)):
            stream.parts += parts
        ended = [stream for stream in active if not len(stream.rest) and not stream.is_dropped]
        for stream, part in zip(ended, recogniser.finish([stream.session for stream in ended]) if ended else ()):
            stream.parts.append(part)


def result(parts: list[StreamPart]) -> tuple:
    """What was heard, whatever the parts in which it came."""
    words = [(word.start, word.end, word.text, word.language) for part in parts for word in part.words]
    return parts[-1].text, words, joined([span for part in parts for span in part.timeline])


def alone(recogniser: StreamingRecogniser, wave: torch.Tensor) -> tuple:
    """The result of a stream that is heard in one piece, by itself."""
    session = recogniser.start()
    return result([*session.feed(wave), session.finish()])


def measure_sessions(
    recogniser: StreamingRecogniser, wave: torch.Tensor, sessions: int, seconds: float, at_once: int
) -> list[str]:
    """The table's row of many streams."""
    draw, results, before, at_first, used = random.Random(0), [], states(), 0.0, 0

    def streams() -> Iterator[Stream]:
        for n in range(sessions):
            samples = round(draw.uniform(SHORTEST, seconds) * recogniser.fs)
            start = draw.randint(0, max(0, len(wave) - samples))
            yield Stream(recogniser, wave[start:][:samples], is_dropped=n % DROPPED == DROPPED - 1)

    begun, over = time.process_time(), run_together(recogniser, streams(), at_once)
    for n, stream in enumerate(progress_bar(over, "streams", sessions, leave=False)):
        used += len(stream.wave) // (1 + stream.is_dropped)
        if not stream.is_dropped:
            results.append((stream.wave, result(stream.parts)))
        if n == sessions // 10:
            at_first = memory()
    computing, at_end = time.process_time() - begun, memory()
    del stream, over
    left = states() - before
    pairs = progress_bar(results, "alone", leave=False)
    different = sum(alone(recogniser, own) != together for own, together in pairs)
    name = f"{sessions:,}, {at_once} at once"
    return row(name, f"{different} of {len(results)}", left, (at_first, at_end), used / recogniser.fs, computing)


def measure_hours(recogniser: StreamingRecogniser, wave: torch.Tensor, hours: float) -> list[str]:
    """The table's row of one long stream."""
    session, seconds = recogniser.start(), round(hours * 3600)
    pieces = cycle(wave[: len(wave) // recogniser.fs * recogniser.fs].split(recogniser.fs))  # of a second
    begun, at_first = time.process_time(), 0.0
    for second in progress_bar(range(seconds), "long", leave=False):
        session.feed(next(pieces))
        if second == seconds // 10:
            at_first = memory()
    session.finish()
    computing, at_end = time.process_time() - begun, memory()
    return row(f"one, {hours:g} h", "-", "-", (at_first, at_end), seconds, computing)


def row(
    name: str, different: str, left: object, mib: tuple[float, float], audio_seconds: float, computing: float
) -> list[str]:
    """Cells of the table."""
    memories = " -> ".join(f"{own:,.0f}" for own in mib)
    return [name, different, str(left), memories, f"{audio_seconds:,.0f}", f"{computing:,.0f}"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="FOLDER|FILE.yaml")
    parser.add_argument("--data_dir", type=Path, required=True, help="with wav.scp")
    parser.add_argument("--chunk_ms", type=float, default=320)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=6.0, help="of the longest of them")
    parser.add_argument("--at_once", type=int, default=50)
    parser.add_argument("--hours", type=float, default=1.0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        files = model_files(args.model, Path(folder) / "model")
        recogniser = StreamingRecogniser(**files.as_options(), chunk_ms=args.chunk_ms)
    (files,) = read_data_dir(args.data_dir)
    wave = torch.cat([audio.load(file, recogniser.fs) for file in files.values()])
    rows = [measure_sessions(recogniser, wave, args.sessions, args.seconds, args.at_once)]
    rows.append(measure_hours(recogniser, wave, args.hours))
    print(machine("cpu"))
    print(format_pretty_table(rows, ["streams", "different", "left", "memory, MiB", "audio, s", "computing, s"]))


if __name__ == "__main__":
    main()
