"""How often training hears each language, whether its batches mix languages, and which utterances are joined.

A language with n hours of speech gets a share p ~ n^(1/T) of what is heard, T being the temperature. The utterances of
a language are heard in turn, round and round from one epoch to the next: none comes again before all the others have,
whether the language is heard more or less often than the corpus has it.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler
from espnet2.samplers.build_batch_sampler import build_batch_sampler

from espnet_blrmoe.languages import main_language
from espnet_blrmoe.tables import read_table, text_table
from espnet_blrmoe.training.joining import Joined, Joining, joined_id, joined_shape

LANGUAGE_BATCHES = ("mixed", "single")
TABLE_HEAD = ("language", "utterances", "hours", "% of corpus", "% heard", "times per epoch")
SMALLEST_ROUND = 20  # utterances: with fewer, the batches of a round would be small, and of different lengths


def balanced_shares(amounts: np.ndarray, temperature: float) -> np.ndarray:
    """Each language's share p ~ n^(1/temperature) of what is heard, (L,), from its amount of speech n > 0, (L,).

    1 leaves languages as the corpus has them, infinity makes them equal.
    """
    weights = (amounts / amounts.max()) ** (1 / temperature)
    return weights / weights.sum()


class BalancedBatchSampler(AbsSampler):
    """Batches of utterances of similar length in which languages have their balanced shares, drawn again every epoch.

    A draw is as long as the corpus. It is made in rounds, which are so short that no utterance comes twice in one, and
    so none twice in a batch. ESPnet's samplers make the batches of a round, so that all its types of batches are there.

    Args:
        shape_files: ESPnet's, which give the utterances, and in the first of them their lengths.
        utt2lang: table with the language of every utterance.
        temperature: of `balanced_shares`.
        language_batches: "mixed", or "single" for batches of one language each.
        batch_options: of ESPnet's build_batch_sampler, without its shape files.
        rank, world_size: of this process, which gets its share of every batch.
        joining: which utterances are joined; ESPnet's samplers see them as one. None: none are.
        rate: of the audio, samples per second.

    Raises:
        ValueError: a table does not fit the others, or batches are smaller than `world_size`.
    """

    def __init__(
        self,
        shape_files: Sequence[str],
        utt2lang: str,
        temperature: float,
        language_batches: str,
        batch_options: dict,
        rank: int = 0,
        world_size: int = 1,
        joining: Joining | None = None,
        rate: int = 16000,
    ):
        self.batch_options = batch_options
        self.rank, self.world_size = rank, world_size
        self.joining, self.rate = joining, rate
        self.keys, self.shapes = read_shapes(shape_files)
        self.languages, self.language = languages_of(self.keys, utt2lang)
        self.lengths = np.array([int(shape.split(",")[0]) for shape in self.shapes[0]])
        # The utterances of each language, in the order in which they are heard.
        shuffled = np.random.default_rng(0).permutation(len(self.keys))
        self.members = [shuffled[self.language[shuffled] == n] for n in range(len(self.languages))]
        self.amounts = np.array([self.lengths[members].sum() for members in self.members])
        self.shares = balanced_shares(self.amounts, temperature)
        # How often an epoch hears each utterance.
        self.rates = self.shares * self.amounts.sum() / self.amounts
        everything = range(len(self.languages))
        self.groups = [list(everything)] if language_batches == "mixed" else [[n] for n in everything]
        self.latest: dict[int, list[list[Joined]]] = {}
        batches = self._draw(0)
        self.number_of_batches = len(batches)
        self.languages_a_batch = float(np.mean([len(self._languages_of(batch)) for batch in batches]))
        self.share_joined = _share_joined(batches)

    def __len__(self) -> int:
        return self.number_of_batches

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.generate(0))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(N-batch={len(self)}, languages a batch={self.languages_a_batch:.1f}, "
            f"joined utterances={100 * self.share_joined:.1f}%, {self.batch_options})"
        )

    def generate(self, seed: int) -> list[tuple[str, ...]]:
        """This process's part of the batches of a draw; `seed` is ESPnet's number of the epoch plus its seed.

        ESPnet counts on the same number of batches in every epoch: a draw with a few more loses them, one with a few
        fewer has some twice.
        """
        if seed not in self.latest:  # a short epoch may hear the end of one draw and the beginning of the next
            self.latest = dict([*self.latest.items(), (seed, self._draw(seed))][-2:])
        batches = islice(cycle(self.latest[seed]), len(self))
        shares = (batch[self.rank :: self.world_size] for batch in batches)
        return [tuple(joined_id(joined, self.keys) for joined in share) for share in shares]

    def _draw(self, number: int) -> list[list[Joined]]:
        """All batches of a draw in random order."""
        generator = np.random.default_rng(number)
        batches = []
        for group in self.groups:
            utterances = sum(self.rates[n] * len(self.members[n]) for n in group)
            rounds = min(math.ceil(max(self.rates[group])), math.ceil(utterances / SMALLEST_ROUND))
            for n in range(number * rounds, (number + 1) * rounds):
                drawn = generator.permutation(self._round(group, n, 1 / rounds))
                batches += self._batches_of(self._joined(drawn, generator)) if len(drawn) else []
        return [batches[n] for n in generator.permutation(len(batches))]

    def _round(self, group: list[int], number: int, part: float) -> np.ndarray:
        """The utterances of some languages in one round, which is that part of a draw."""
        steps = [part * self.rates[n] * len(self.members[n]) for n in group]
        turns = [np.arange(round(number * step), round((number + 1) * step)) for step in steps]
        return np.concatenate([self.members[n].take(turn, mode="wrap") for n, turn in zip(group, turns)])

    def _joined(self, drawn: np.ndarray, generator: np.random.Generator) -> list[Joined]:
        """The utterances, some of them joined."""
        if self.joining is None:
            return [Joined((utterance,)) for utterance in drawn.tolist()]
        return self.joining.draw(drawn, self.lengths, self.language, self.rate, generator)

    def _languages_of(self, batch: list[Joined]) -> set[int]:
        return {int(self.language[utterance]) for joined in batch for utterance in joined.parts}

    def _shape(self, joined: Joined, file: int) -> str:
        """What a shape file would say: the first counts pauses, the others, which are of texts, spaces."""
        shapes = [self.shapes[file][utterance] for utterance in joined.parts]
        between = sum(joined.pauses) if file == 0 else len(joined.pauses)
        return joined_shape(shapes, between) if joined.pauses else shapes[0]

    def _batches_of(self, drawn: list[Joined]) -> list[list[Joined]]:
        """Let ESPnet make batches; it knows each utterance by its place in `drawn`."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"shape{n}" for n in range(len(self.shapes))]
            for file, path in enumerate(paths):
                lines = (f"{place} {self._shape(joined, file)}\n" for place, joined in enumerate(drawn))
                path.write_text("".join(lines), encoding="utf-8")
            sampler = build_batch_sampler(shape_files=[str(path) for path in paths], **self.batch_options)
        batches = [[drawn[int(place)] for place in batch] for batch in sampler]
        smallest = min(batches, key=len)
        if len(smallest) < self.world_size:
            language = self.languages[self._languages_of(smallest).pop()]
            raise ValueError(
                f"a batch with {language} has {len(smallest)} utterances, fewer than "
                f"the {self.world_size} processes that share it; take larger batches, or language_batches: mixed"
            )
        return batches

    def table(self) -> str:
        """What is heard, for the log."""
        hours = self.amounts / self.rate / 3600
        of_corpus, heard = 100 * hours / hours.sum(), 100 * self.shares
        rows = [
            (language, f"{len(self.members[n]):,}", f"{hours[n]:.2f}", f"{of_corpus[n]:.1f}", f"{heard[n]:.1f}",
             f"{self.rates[n]:.2f}")
            for n, language in enumerate(self.languages)
        ]  # fmt: skip
        return text_table(TABLE_HEAD, rows)


def _share_joined(batches: list[list[Joined]]) -> float:
    """The share of utterances that are joined with others."""
    sizes = np.array([len(joined.parts) for batch in batches for joined in batch])
    return float(sizes[sizes > 1].sum() / sizes.sum())


def read_shapes(paths: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The utterances of ESPnet's shape files, and what each file says of them, in the same order.

    Raises:
        ValueError: a file is missing or broken, they have different utterances, or the first has no lengths.
    """
    tables = [read_table(path) for path in paths]
    keys = list(tables[0])
    for path, table in zip(paths, tables):
        if table.keys() != tables[0].keys():
            raise ValueError(f"{path} and {paths[0]} have different utterances; collect the statistics again")
    for key, shape in tables[0].items():
        if not shape.split(",")[0].isdecimal():
            raise ValueError(f"{paths[0]}: utterance {key} has {shape!r} for its length; balancing needs lengths")
    return keys, [[table[key] for key in keys] for table in tables]


def languages_of(keys: list[str], utt2lang: str) -> tuple[list[str], np.ndarray]:
    """The languages of utterances, and which of them each utterance has, or begins with.

    Raises:
        ValueError: the table is missing or broken, or an utterance has no language.
    """
    table = read_table(utt2lang)
    for key in keys:
        if not table.get(key, "").strip():
            raise ValueError(f"{utt2lang} has no language for utterance {key}; add it")
    languages, language = np.unique([main_language(table[key]) for key in keys], return_inverse=True)
    return languages.tolist(), language
