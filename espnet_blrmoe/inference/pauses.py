"""Where a recording is cut before it is recognised: at the pauses that silero-vad finds, or at quiet places only."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import torch

from espnet_blrmoe import audio
from espnet_blrmoe.inference.speech_activity import SHORTEST_SILENCE, has_speech, network, speech_stretches
from espnet_blrmoe.progress import progress_bar

BLOCK_SECONDS = 30.0  # that the network hears at once: bounds the memory
MARGIN = 0.1  # seconds kept before and behind speech; with more, noise of the pauses makes the demo's model err
LATE = 0.3  # seconds by which the network may miss where speech begins and ends; its end is noticed late
SHORTEST_PAUSE = 0.05  # seconds; what is shorter belongs to the speech around it
LONG_GAP = 1.0  # seconds between stretches of speech, which are heard again by themselves, at their own loudness
SENTENCE_GAP = 0.4  # seconds between what is kept of speech, at which recordings are cut that may be one sentence
# Seconds of a pause, whether the network notices it or not, and of the speech between two, that may be recognised by
# itself. Stops (p, t, k) are quiet for nearly as long.
SHORT_GAP, SHORTEST_PART = 0.1, 0.5
# Samples that differ by less from their neighbours are silence, dithered or not: at full scale, and by the distance
# between the lowest and the highest sample of a quiet stretch, whose weak sounds are as weak.
STILL, STILL_SHARE = 1e-4, 0.0005

Span = tuple[int, int]  # start and end, in samples


class Stretch(NamedTuple):
    """A piece of a recording: from `start` to `end`, in samples, and whether anybody speaks there.

    `parts`, two or more if any, are what is said between its short pauses, and may be recognised one by one.
    """

    start: int
    end: int
    has_speech: bool
    parts: tuple[Span, ...] = ()


def at_pauses(wave: torch.Tensor, fs: int, longest: float) -> list[Stretch]:
    """Cut a recording at its pauses. Speech longer than `longest` is cut at its widest short pauses, or, where it has
    none, where it is quietest.

    Args:
        wave: (samples,), floating point, at least one sample.
        fs: its sampling rate in Hz.
        longest: seconds that a stretch with speech may have, at least 1; infinity: any number. A recording that is
            not longer is cut at pauses of SENTENCE_GAP only, so that single sentences stay whole.

    Returns:
        stretches in time order, without gaps; those without speech may have any length.
    """
    spoken = _without_short_pauses(_with_margins(wave, _spoken(wave, fs), fs), len(wave), fs)
    parts = [part for span in spoken for part in _between_short_pauses(wave, span, fs)]
    if len(wave) <= longest * fs:
        spoken = _merged(spoken, SENTENCE_GAP * fs)
    speech = []
    for start, end in spoken:
        own = parts[bisect_left(parts, (start,)) : bisect_left(parts, (end,))]
        for run in _cut_at_widest(_long_enough(own, fs), longest * fs):
            first, last = run[0][0], run[-1][1]
            several = tuple(run) if len(run) > 1 else ()
            chunks = audio.cut(wave[first:last], fs, longest)
            speech += [Stretch(first + a, first + b, True, several) for a, b in chunks]
    return _with_pauses(speech, len(wave))


def at_quiet_places(wave: torch.Tensor, fs: int, longest: float) -> list[Stretch]:
    """Cut a recording where it is quiet near the end of each stretch, pauses or not; arguments as of `at_pauses`.

    Returns:
        stretches in time order, without gaps, none longer than `longest`.
    """
    return [Stretch(a, b, has_speech(wave[a:b], fs)) for a, b in audio.cut(wave, fs, longest)]


VADS: dict[str, Callable[[torch.Tensor, int, float], list[Stretch]]] = {"silero": at_pauses, "none": at_quiet_places}


def _spoken(wave: torch.Tensor, fs: int) -> list[Span]:
    """Where somebody speaks in (samples,) at `fs` Hz, to a frame of the network. As many blocks are heard at once as
    torch has threads, of which the network, in each of them, would use one."""
    network()  # loaded before threads share it
    blocks = audio.cut(wave, fs, BLOCK_SECONDS)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        heard = threads.map(lambda block: _spoken_in_block(wave[block[0] : block[1]], fs), blocks)
        progress = progress_bar(heard, "pauses", len(blocks), unit="block", delay=5, leave=False)
        spoken = [(first + a, first + b) for (first, _), found in zip(blocks, progress) for a, b in found]
    return _merged(spoken, SHORTEST_SILENCE * fs)


def _spoken_in_block(block: torch.Tensor, fs: int) -> list[Span]:
    """As `_spoken`, of what the network hears at once; stretches may touch. Long gaps between them are heard again, in
    which somebody may speak after all, too quietly beside the others."""
    found = speech_stretches(block, fs)
    if not found:
        return []
    edges = [0, *(edge for span in found for edge in span), len(block)]
    gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= LONG_GAP * fs]
    missed = [(a + start, a + end) for a, b in gaps for start, end in _spoken_in_block(block[a:b], fs)]
    return sorted([*found, *missed])


def _merged(spans: Iterable[Span], gap: float) -> list[Span]:
    """One span where several follow each other with less than `gap` samples between."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and start - merged[-1][1] < gap:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return merged


def _rooms(spans: list[Span], samples: int) -> Iterable[Span]:
    """How far each span of a recording of so many samples may reach: to the middle of the pauses around it."""
    middles = ((end + start) // 2 for (_, end), (start, _) in pairwise(spans))
    return pairwise([0, *middles, samples])


def _with_margins(wave: torch.Tensor, spans: list[Span], fs: int) -> list[Span]:
    """Each narrowed to what is loud in it, by LATE at most, with MARGIN around that: before it if there is room, behind
    it within the span. What there is before and behind all that, up to the recording's ends or to digital silence, if
    too short for a pause, belongs to it."""
    margin, late, shortest = (round(seconds * fs) for seconds in (MARGIN, LATE, SHORTEST_SILENCE))
    found = []
    for (start, end), (first, last) in zip(spans, _rooms(spans, len(wave))):
        loud_start, loud_end = (start + round(seconds * fs) for seconds in audio.extent(wave[start:end], fs))
        before = _Sounds(wave, (start, end), (first, min(loud_start + margin, end)), fs)
        behind = _Sounds(wave, (start, end), (max(loud_end - margin, start), last), fs)
        start, end = max(min(loud_start, start + late) - margin, first), min(end, max(loud_end + margin, end - late))
        found.append((before.start(start, shortest), behind.end(end, shortest)))
    return found


class _Sounds:
    """What is no digital silence in a room with a span's speech at one end or both; noise goes on through pauses."""

    def __init__(self, wave: torch.Tensor, span: Span, room: Span, fs: int):
        lowest, highest = wave[slice(*span)].aminmax()
        moves = wave[slice(*room)].diff().abs() > min(STILL, STILL_SHARE * float(highest - lowest))
        places, longest = room[0] + moves.nonzero().squeeze(1), SHORTEST_PAUSE * fs
        parted = places.diff() > longest
        self._starts = [*places[:1].tolist(), *places[1:][parted].tolist()] or [-math.inf]
        self._ends = [*(places[:-1][parted] + 2).tolist(), *(places[-1:] + 2).tolist()] or [math.inf]
        if 0 < room[0] >= self._starts[0] - longest:  # it goes on beyond the room
            self._starts[0] = -math.inf
        if len(wave) > room[1] <= self._ends[-1] + longest:
            self._ends[-1] = math.inf

    def start(self, place: int, reach: int) -> int:
        """Where to start instead of a place: not in digital silence, and behind it if it is less than `reach` away."""
        sound = bisect_right(self._starts, place) - 1
        if sound < 0 or self._ends[sound] <= place and sound + 1 < len(self._starts):
            return int(self._starts[sound + 1])
        return int(self._starts[sound]) if place - self._starts[sound] < reach else place

    def end(self, place: int, reach: int) -> int:
        """Where to end, in the same way."""
        sound = bisect_left(self._ends, place)
        if sound == len(self._ends) or self._starts[sound] >= place and sound > 0:
            return int(self._ends[sound - 1])
        return int(self._ends[sound]) if self._ends[sound] - place < reach else place


def _between_short_pauses(wave: torch.Tensor, span: Span, fs: int) -> list[Span]:
    """What is loud in a span, with up to MARGIN around it: between pauses that the network may not notice."""
    margin, edges = round(MARGIN * fs), [span[0]]
    for first, last in audio.quiet_gaps(wave[slice(*span)], fs, SHORT_GAP):
        first, last = span[0] + first, span[0] + last
        kept = margin if last - first - 2 * margin >= SHORTEST_PAUSE * fs else (last - first) // 2
        sounds = _Sounds(wave, span, (max(first - margin, span[0]), min(last + margin, span[1])), fs)
        edges += [sounds.end(first + kept, 0), sounds.start(last - kept, 0)]
    return list(zip(edges[::2], [*edges[1::2], span[1]]))


def _long_enough(parts: list[Span], fs: int) -> list[Span]:
    """Parts of a span, joined where they are shorter than SHORTEST_PART."""
    shortest = SHORTEST_PART * fs
    joined: list[Span] = []
    for start, end in parts:
        if joined and min(joined[-1][1] - joined[-1][0], parts[-1][1] - start) < shortest:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def _cut_at_widest(parts: list[Span], longest: float) -> list[list[Span]]:
    """Runs of parts that have `longest` samples at most, or one part each: cut at the widest pause, again and again."""
    runs, uncut = [], [parts]
    while uncut:
        run = uncut.pop()
        if len(run) == 1 or run[-1][1] - run[0][0] <= longest:
            runs.append(run)
        else:
            place = _widest_pause(run)
            uncut += [run[place:], run[:place]]
    return runs


def _widest_pause(parts: list[Span]) -> int:
    """The position of the part behind it; of pauses that are alike, as are all of which nothing is left beside what
    the parts keep, the one with the most speech on either side."""
    start, end = parts[0][0], parts[-1][1]
    pauses = [(after[0] - before[1], min(before[1] - start, end - after[0])) for before, after in pairwise(parts)]
    return pauses.index(max(pauses)) + 1


def _with_pauses(speech: list[Stretch], samples: int) -> list[Stretch]:
    """Stretches of speech of a recording of so many samples, and what is between and around them."""
    edges = [0, *(edge for stretch in speech for edge in stretch[:2]), samples]
    pauses = [Stretch(start, end, False) for start, end in zip(edges[::2], edges[1::2]) if start < end]
    return sorted([*speech, *pauses])


def _without_short_pauses(spans: list[Span], samples: int, fs: int) -> list[Span]:
    """With what is left of the pauses around them where that is less than SHORTEST_PAUSE."""
    least = SHORTEST_PAUSE * fs / 2  # of half a pause
    return [
        (start if start - first >= least else first, end if last - end >= least else last)
        for (start, end), (first, last) in zip(spans, _rooms(spans, samples))
    ]
