"""Error rates of the table's rows, and how sure they are.

Intervals are 95 % percentile intervals of a bootstrap that draws utterances and seeds, the same ones for every system:
differences are paired. A figure is the mean over seeds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from shared.kaldi_tables import UserError
from shared.resampling import interval

from paper_table.counts import TESTS, WER, Counts, Row, finished_seeds, read_counts, read_seeds

RESAMPLES = 2000


@cache
def draws(utterances: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each utterance is drawn, (RESAMPLES, utterances) uint8, and which seeds are, (RESAMPLES, seeds)."""
    rng = np.random.default_rng(0)
    times, drawn = np.empty((RESAMPLES, utterances), np.uint8), np.empty((RESAMPLES, seeds), int)
    for n in range(RESAMPLES):
        times[n] = np.bincount(rng.integers(utterances, size=utterances), minlength=utterances)
        drawn[n] = rng.integers(seeds, size=seeds)
    return times, drawn


def shares(sums: np.ndarray) -> np.ndarray:
    """In %, of (..., 2): what is wrong, and of how many."""
    wrong, every = np.moveaxis(sums.astype(float), -1, 0)
    return 100 * wrong / np.maximum(every, 1)


def rates(counts: np.ndarray) -> np.ndarray:
    """Means over seeds, in %, of counts (seeds, utterances, figures, 2): (1 + RESAMPLES, figures); the first is that of
    all utterances."""
    seeds, utterances = counts.shape[:2]
    times, drawn = draws(utterances, seeds)
    by_utterance = np.moveaxis(counts, 1, 0).reshape(utterances, -1)
    sums = (times.astype(np.float32) @ by_utterance).reshape(RESAMPLES, seeds, *counts.shape[2:])
    resampled = np.take_along_axis(shares(sums), drawn[..., None], axis=1).mean(axis=1)
    return np.concatenate([means(counts)[None], resampled])


def means(counts: np.ndarray) -> np.ndarray:
    """(figures,): the first row of `rates`, without the others."""
    return shares(counts.sum(axis=1, dtype=float)).mean(axis=0)


def reductions(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Relative reduction of the WER in %, from what `rates` gives: (1 + RESAMPLES,)."""
    return 100 * (before[:, WER] - after[:, WER]) / before[:, WER]


def with_interval(changes: np.ndarray) -> str:
    """A change and its interval, of the change and those of resamples, such as `reductions` gives."""
    low, high = interval(changes[1:])
    return f"{changes[0]:+.1f} ({low:+.1f} to {high:+.1f})"


@dataclass(frozen=True)
class Measured:
    """A row's error rates.

    Attributes:
        seeds: of its trainings.
        counts: of these.
        rates: test set or domain -> (1 + RESAMPLES, figures), as `rates` gives them.
    """

    seeds: tuple[int, ...]
    counts: Counts
    rates: dict[str, np.ndarray]


@cache
def measure(row: Row, results: Path, seeds: tuple[int, ...]) -> Measured:
    """A row's error rates over these seeds, from a folder of what `write_counts` keeps."""
    counts = read_counts(row, results, seeds)
    outside = ~counts.inside
    sets = {"in": counts.inside, "out": outside, "all": np.ones_like(outside)}
    sets |= {domain: outside & (counts.domains == domain) for domain in np.unique(counts.domains[outside]).tolist()}
    return Measured(seeds, counts, {name: rates(counts.counts[:, mask]) for name, mask in sets.items()})


def measure_all(rows: tuple[Row, ...], results: Path) -> dict[Row, Measured]:
    """The rows whose systems are finished.

    Raises:
        UserError: systems were tested on different utterances.
    """
    paths = sorted(results.glob("*.npz"))
    tested = {path.name: [len(arrays[f"domains/{test_set}"]) for test_set in TESTS]
              for path, arrays in zip(paths, map(np.load, paths))}
    for name, utterances in tested.items():
        first = next(iter(tested))
        if utterances != tested[first]:
            raise UserError(f"{results}: {name} is of {utterances} utterances and {first} of {tested[first]}; keep "
                            "results of different tests in folders of their own")
    return {row: measure(row, results, seeds) for row in rows if (seeds := finished_seeds(row, results))}


@dataclass(frozen=True)
class Comparison:
    """Two rows over the seeds that both have."""

    row: Row
    base: Row
    before: Measured
    after: Measured

    def reductions(self, name: str) -> np.ndarray:
        """Of the WER of a test set or domain."""
        return reductions(self.before.rates[name], self.after.rates[name])


def compare(measured: Mapping[Row, Measured], results: Path) -> Iterator[Comparison]:
    """Each row with each of its bases, as far as they have a seed in common."""
    by_title = {row.title: row for row in measured}
    for row in measured:
        for base in (by_title[title] for title in row.bases if title in by_title):
            if seeds := tuple(sorted(set(measured[row].seeds) & set(measured[base].seeds))):
                yield Comparison(row, base, measure(base, results, seeds), measure(row, results, seeds))


@dataclass(frozen=True)
class Allowed:
    """What a list of languages changes out of domain, for the utterances that have it.

    Attributes:
        languages: the list, comma-separated.
        comparison: with the same system's decoding without lists.
        before, after: as `rates` gives them.
    """

    languages: str
    comparison: Comparison
    before: np.ndarray
    after: np.ndarray


def by_list(comparison: Comparison) -> Iterator[Allowed]:
    """For each list that the row's utterances were allowed; nothing where that is not kept or nothing else changed."""
    before, after = comparison.before.counts, comparison.after.counts
    if comparison.row.system != comparison.base.system or after.allowed is None or before.allowed is not None:
        return
    for languages in np.unique(after.allowed[~after.inside]).tolist():
        mask = ~after.inside & (after.allowed == languages)
        yield Allowed(languages, comparison, rates(before.counts[:, mask]), rates(after.counts[:, mask]))


def training_times(system: str, results: Path) -> list[dict[str, int]]:
    """Of each seed the times of its trainings, as `write_counts` takes them."""
    return [{name.removeprefix("times/"): int(arrays[name]) for name in arrays if name.startswith("times/")}
            for arrays in read_seeds(system, results).values()]
