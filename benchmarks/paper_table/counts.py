"""What is kept of a finished system, for all tables: counts of every utterance in a compressed file, without its words.

A file of `write_counts` has, for each decoding and test set, the arrays

    TAG/TEST_SET            (utterances, measures, 4) uint16: correct, substituted, deleted, inserted words, characters
                            and, where a language was detected, languages
    frames/TAG/TEST_SET     (utterances, 2) uint16: encoder frames in the expert of the utterance's language, in others
    foreign/TAG/TEST_SET    (utterances, 2) uint16: recognised words of another language, those in a foreign script
    allowed/TAG/TEST_SET    (utterances,) str: the languages that were allowed, comma-separated

`frames` only where there was a choice of languages, `allowed` only where there was a list. For each test set there are
`domains/TEST_SET` and `languages/TEST_SET`; of the trainings, numbers: `times/training` and `times/router` in seconds,
and `times/side_by_side`. Older files have the first array and the domains only.
"""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "local"))

from score import align, count, find_decodings  # noqa: E402
from shared.decodings import Decoding, expert_frames, read_output  # noqa: E402
from shared.diagnosis import Heard, languages_of_words  # noqa: E402
from shared.scripts import foreign_script  # noqa: E402

TESTS = ("test_in", "test_out")
# What is counted as a share of what: two numbers of an utterance each.
FIGURES = ("WER", "CER", "LID", "frames", "words", "script")
WER = FIGURES.index("WER")
# Ways to decode, each with the names that its decodings have.
ALL, AUGMENTED_ROUTER, PAIRS = ("decode_asr",), ("decode_asr_router",), ("decode_asr_router_pairs",)
# Each utterance's own language only. Where the router was fine-tuned, stage 17 decodes so; the transcripts are those of
# before to the letter.
GIVEN = ("decode_asr_given", "decode_asr_router_pruned")


def write_counts(exp: Path, data: Path, results: Path, times: Mapping[str, int]) -> None:
    """Keep what all decodings of an experiment got right and wrong, and how long its trainings took.

    Args:
        exp: folder of the experiment.
        data: folder of the data directories: the test sets, and those whose transcripts say which words a language has.
        results: file to write.
        times: seconds of the `training`, and of the `router`'s; how many trainings were `side_by_side` on one machine.

    Raises:
        UserError: there is no decoding, or what is read is damaged.
    """
    decodings = find_decodings(exp, data)
    languages_of = languages_of_words(decodings, data)
    kept = {f"times/{name}": np.array(time) for name, time in times.items()}
    for decoding in decodings:
        kept |= counts_of(decoding, languages_of)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("wb") as file:
        np.savez_compressed(file, **kept)


def counts_of(decoding: Decoding, languages_of: Mapping[str, set[str]]) -> dict[str, np.ndarray]:
    """The arrays of one decoding, and what they need to know of its test set."""
    aligned = align(decoding)
    aligned.pop("MER", None)
    references, name = decoding.references, f"{decoding.tag}/{decoding.test_set}"
    kept = {
        name: count(aligned).astype(np.uint16),
        f"domains/{decoding.test_set}": np.array([u.domain for u in references]),
        f"languages/{decoding.test_set}": np.array([u.language for u in references]),
    }
    foreign = Heard.of(decoding, aligned["WER"], languages_of).foreign
    scripts = [sum(foreign_script(word, u.language) is not None for word, _ in words)
               for words, u in zip(foreign, references)]
    kept[f"foreign/{name}"] = np.stack([[len(words) for words in foreign], scripts], axis=1).astype(np.uint16)
    frames = expert_frames(decoding)
    if frames and decoding.detected is not None:
        own = np.array([frames.get(u.id, {}).get(u.language, 0) for u in references])
        every = np.array([sum(frames.get(u.id, {}).values()) for u in references])
        kept[f"frames/{name}"] = np.stack([own, every - own], axis=1).astype(np.uint16)
    if allowed := read_output(decoding, "utt2langs"):
        kept[f"allowed/{name}"] = np.array([allowed[u.id] for u in references])
    return kept


@dataclass(frozen=True)
class Row:
    """A system and one way to decode it."""

    title: str
    system: str
    decodings: tuple[str, ...]  # the first of these that is there
    bases: tuple[str, ...] = ()  # titles of the rows that it is compared with
    tells_languages: bool = True


@dataclass(frozen=True)
class Counts:
    """What a row's decodings of both test sets got wrong.

    Attributes:
        inside: (utterances,) bool, whether they are those in domain.
        domains: (utterances,) str.
        languages: (utterances,) str; None: not kept.
        allowed: (utterances,) str, the languages that each was allowed; None: all, or not kept.
        counts: (seeds, utterances, FIGURES, 2) float32, exact: what is wrong, and of how many; NaN where not kept.
    """

    inside: np.ndarray
    domains: np.ndarray
    languages: np.ndarray | None
    allowed: np.ndarray | None
    counts: np.ndarray


def array_name(row: Row, test_set: str, arrays: Collection[str]) -> str | None:
    """Which of the arrays that `write_counts` keeps is the row's for a test set."""
    return next((name for tag in row.decodings if (name := f"{tag}/{test_set}") in arrays), None)


def read_seeds(system: str, results: Path) -> dict[int, Mapping[str, np.ndarray]]:
    """What is kept of a system in a folder of results: seed -> arrays."""
    found = {int(path.stem.rpartition("_seed")[2]): path for path in results.glob(f"{system}_seed*.npz")}
    return {seed: np.load(found[seed]) for seed in sorted(found)}


def finished_seeds(row: Row, results: Path) -> tuple[int, ...]:
    """The seeds of which the row's decodings are there."""
    return tuple(seed for seed, arrays in read_seeds(row.system, results).items()
                 if all(array_name(row, test_set, arrays) for test_set in TESTS))


def read_counts(row: Row, results: Path, seeds: Collection[int]) -> Counts:
    """The row's decodings by these seeds."""
    found = [arrays for seed, arrays in read_seeds(row.system, results).items() if seed in seeds]
    domains = [found[0][f"domains/{test_set}"] for test_set in TESTS]
    counts = [np.concatenate([wrong_of_all(arrays, array_name(row, test_set, arrays)) for test_set in TESTS])
              for arrays in found]
    languages = [f"languages/{test_set}" for test_set in TESTS]
    allowed = [f"allowed/{array_name(row, test_set, found[0])}" for test_set in TESTS]
    return Counts(np.repeat([True, False], [len(own) for own in domains]), np.concatenate(domains),
                  joined(found[0], languages), joined(found[0], allowed), np.stack(counts))


def joined(arrays: Mapping[str, np.ndarray], names: Collection[str]) -> np.ndarray | None:
    """Arrays of both test sets as one; None if they are not kept."""
    return np.concatenate([arrays[name] for name in names]) if all(name in arrays for name in names) else None


def wrong_of_all(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(utterances, FIGURES, 2) float32 of one decoding of a test set, as in Counts."""
    correct, substituted, deleted, inserted = np.moveaxis(arrays[name].astype(int), -1, 0)
    measures = np.stack([substituted + deleted + inserted, correct + substituted + deleted], axis=-1)
    counts = np.full((len(measures), len(FIGURES), 2), np.nan, np.float32)
    counts[:, : measures.shape[1]] = measures
    if f"frames/{name}" in arrays:
        own, others = arrays[f"frames/{name}"].astype(int).T
        counts[:, FIGURES.index("frames")] = np.stack([others, own + others], axis=-1)
    if f"foreign/{name}" in arrays:
        recognised = (correct + substituted + inserted)[:, WER]
        for figure, foreign in zip(("words", "script"), arrays[f"foreign/{name}"].T):
            counts[:, FIGURES.index(figure)] = np.stack([foreign, recognised], axis=-1)
    return counts
