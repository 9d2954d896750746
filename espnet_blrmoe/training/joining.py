"""Training on joined speech: several utterances, with pauses between them, that training hears as one.

The sampler of batches draws which utterances are joined, so that batches are measured by the joined lengths. The id of
a joined utterance says all that it is: "one 8000 two 0 three", its parts and the samples of the pauses between them.
The loaders of ESPnet's data set give the values of all its parts, and BLRMoEPreprocessor joins those.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from espnet_blrmoe.training.conditions import room_loudness


class Joined(NamedTuple):
    """Utterances that are heard as one, or one alone: their places in a list, and samples of the pauses between."""

    parts: tuple[int, ...]
    pauses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Joining:
    """Which utterances are joined: drawn anew every epoch, in which each is heard as often as without joining.

    Attributes:
        share: of the utterances, that are to be joined with others.
        parts: the fewest and the most utterances that are joined to one; their number is drawn.
        pause: seconds, between which each pause is drawn.
        one_language: share of the joined utterances that are joined within their language only; the others with any.
        seconds: nothing longer is made; what fits to no other utterance stays alone.

    Raises:
        ValueError: a value that cannot be.
    """

    share: float
    parts: Sequence[int] = (2, 5)
    pause: Sequence[float] = (0.0, 2.0)
    one_language: float = 0.5
    seconds: float = 30.0

    def __post_init__(self):
        for name in ("share", "one_language"):
            value = getattr(self, name)
            if not (_is_number(value) and value <= 1):
                raise ValueError(f"joined_conf: {name} must be a share from 0 to 1, not {value!r}")
        if not (_is_range(self.parts) and all(isinstance(n, int) for n in self.parts) and self.parts[0] >= 2):
            raise ValueError(f"joined_conf: parts must be two whole numbers, as in [2, 5], not {self.parts!r}")
        if not _is_range(self.pause):
            raise ValueError(f"joined_conf: pause must be two numbers of seconds, as in [0.0, 2.0], not {self.pause!r}")
        if not (_is_number(self.seconds) and self.seconds > 0):
            raise ValueError(f"joined_conf: seconds must be a positive number, not {self.seconds!r}")

    def draw(
        self,
        utterances: np.ndarray,
        lengths: np.ndarray,
        language: np.ndarray,
        rate: int,
        generator: np.random.Generator,
    ) -> list[Joined]:
        """Join some of the utterances.

        Args:
            utterances: in random order, as places in `lengths` and `language`.
            lengths: samples of each of all utterances.
            language: the language of each, as a number.
            rate: samples per second.
            generator: draws.

        Returns:
            All of the utterances, joined and alone, in random order.
        """
        number = round(self.share * len(utterances))
        chosen, alone = utterances[:number], utterances[number:]
        alike, others = np.split(chosen, [round(self.one_language * number)])
        alike = alike[np.argsort(language[alike], kind="stable")]
        drawn = [Joined((utterance,)) for utterance in alone.tolist()]
        for part in (*np.split(alike, np.flatnonzero(np.diff(language[alike])) + 1), others):
            drawn += self._join(part, lengths, rate, generator)
        return [drawn[n] for n in generator.permutation(len(drawn))]

    def _join(
        self, utterances: np.ndarray, lengths: np.ndarray, rate: int, generator: np.random.Generator
    ) -> Iterator[Joined]:
        """Join utterances to the ones next to them."""
        numbers = generator.integers(self.parts[0], self.parts[1] + 1, len(utterances)).tolist()
        pauses = np.round(generator.uniform(*self.pause, len(utterances)) * rate).astype(int).tolist()
        joined, samples, wanted = Joined(()), 0, 0
        for utterance, number, pause in zip(utterances.tolist(), numbers, pauses):
            length = int(lengths[utterance])
            if len(joined.parts) < wanted and samples + pause + length <= self.seconds * rate:
                joined = Joined((*joined.parts, utterance), (*joined.pauses, pause))
                samples += pause + length
            else:
                if joined.parts:
                    yield joined
                joined, samples, wanted = Joined((utterance,)), length, number
        if joined.parts:
            yield joined


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_range(values: object) -> bool:
    is_pair = isinstance(values, list | tuple) and len(values) == 2
    return is_pair and all(map(_is_number, values)) and values[0] <= values[1]


def joined_id(joined: Joined, keys: Sequence[str]) -> str:
    """The id of what is joined; `keys` are those of all utterances."""
    words = [keys[joined.parts[0]]]
    for pause, part in zip(joined.pauses, joined.parts[1:]):
        words += [str(pause), keys[part]]
    return " ".join(words)


def read_joined_id(uid: str) -> tuple[list[str], list[int]]:
    """The ids of the parts, which have no blanks, and the samples of the pauses between them."""
    words = uid.split(" ")
    return words[::2], [int(pause) for pause in words[1::2]]


def joined_shape(shapes: Sequence[str], between: int) -> str:
    """What a shape file would say: lengths, and what is between the parts, are added up; widths stay.

    joined_shape(["3,30", "4,30"], 1) == "8,30"
    """
    lengths, *widths = zip(*(shape.split(",") for shape in shapes))
    return ",".join([str(sum(map(int, lengths)) + between), *(width[0] for width in widths)])


class JoinedLoader:
    """A loader of ESPnet's data set that knows joined utterances too, and gives a tuple with the values of their parts.

    Args:
        loader: gives the value of an utterance.
    """

    def __init__(self, loader: Mapping[str, Any]):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, uid: str) -> Any:
        values = tuple(self.loader[part] for part in read_joined_id(uid)[0])
        return values if len(values) > 1 else values[0]


def join_audio(
    parts: Sequence[np.ndarray], pauses: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Join audio, with room tone or digital silence in the pauses.

    Args:
        parts: float (samples,) each.
        pauses: samples.
        rng: draws which of the two it is, how loud, and its samples.

    Returns:
        float (samples,), and where each part starts and ends in it, from 0 to 1.
    """
    loudness = room_loudness(np.concatenate(parts), rng)
    pieces = [parts[0]]
    for pause, part in zip(pauses, parts[1:], strict=True):
        pieces += [(loudness * rng.standard_normal(pause)).astype(part.dtype), part]
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = ends - [len(piece) for piece in pieces]
    return np.concatenate(pieces), [(start / ends[-1], end / ends[-1]) for start, end in zip(starts[::2], ends[::2])]
