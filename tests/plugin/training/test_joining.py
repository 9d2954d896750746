"""Utterances joined in training: what is drawn, and what batches hold."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LANGUAGES, RATE

from espnet_blrmoe.training.balancing import BalancedBatchSampler
from espnet_blrmoe.training.joining import Joining, joined_shape, read_joined_id

BINS = 60 * RATE


def utterances_of(number: int, longest: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Lengths from half a second on, and languages, of so many utterances."""
    generator = np.random.default_rng(0)
    return generator.integers(RATE // 2, longest * RATE, number), generator.integers(3, size=number)


def draw(joining: Joining, lengths: np.ndarray, language: np.ndarray, seed: int = 0):
    generator = np.random.default_rng(seed)
    return joining.draw(generator.permutation(len(lengths)), lengths, language, RATE, generator)


# -------------------------------------------------------------------------------------------------------------- drawing


@settings(max_examples=50, deadline=None)
@given(
    number=st.integers(0, 60),
    share=st.floats(0, 1),
    one_language=st.floats(0, 1),
    parts=st.tuples(st.integers(2, 4), st.integers(0, 3)),
    pause=st.tuples(st.floats(0, 2), st.floats(0, 2)),
    seconds=st.floats(0.1, 60),
    seed=st.integers(0, 99),
)
def test_every_utterance_once_within_the_limits(number, share, one_language, parts, pause, seconds, seed):
    lengths, language = utterances_of(number)
    fewest, shortest = parts[0], pause[0]
    joining = Joining(share, (fewest, fewest + parts[1]), (shortest, shortest + pause[1]), one_language, seconds)
    drawn = draw(joining, lengths, language, seed)
    assert sorted(part for joined in drawn for part in joined.parts) == list(range(number))
    for joined in drawn:
        assert len(joined.pauses) == len(joined.parts) - 1
        if joined.pauses:
            assert len(joined.parts) <= fewest + parts[1]
            assert all(shortest * RATE - 1 <= pause_ <= (shortest + pause[1]) * RATE + 1 for pause_ in joined.pauses)
            assert lengths[list(joined.parts)].sum() + sum(joined.pauses) <= seconds * RATE
    assert sum(len(joined.parts) for joined in drawn if joined.pauses) <= round(share * number)
    assert drawn == draw(joining, lengths, language, seed)


def test_shares_of_the_joined_and_of_those_in_one_language():
    lengths, language = utterances_of(3000, longest=3)
    drawn = draw(Joining(0.3, seconds=60.0), lengths, language)
    joined = [one for one in drawn if one.pauses]
    assert sum(len(one.parts) for one in joined) / 3000 == pytest.approx(0.3, abs=0.01)
    assert {len(one.parts) for one in joined} == {2, 3, 4, 5}
    in_one = [one for one in joined if len(set(language[list(one.parts)])) == 1]
    chance = np.mean([3.0 ** (1 - len(one.parts)) for one in joined])  # that those drawn from all languages are in one
    assert len(in_one) / len(joined) == pytest.approx(0.5 + 0.5 * chance, abs=0.05)
    alone = draw(Joining(0.3, one_language=1.0), lengths, language)
    assert all(len(set(language[list(one.parts)])) == 1 for one in alone)


def test_what_is_joined_lies_anywhere_among_the_rest():
    drawn = draw(Joining(0.5), *utterances_of(1000))
    places = [n for n, one in enumerate(drawn) if one.pauses]
    assert np.mean(places) / len(drawn) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "share must be a share from 0 to 1, not 1.5"),
        ({"share": True}, "share must be a share from 0 to 1, not True"),
        ({"share": "half"}, "share must be a share from 0 to 1, not 'half'"),
        ({"share": 0.3, "one_language": -1}, "one_language must be a share from 0 to 1, not -1"),
        ({"share": 0.3, "parts": [1, 5]}, r"parts must be two whole numbers, as in \[2, 5\], not \[1, 5\]"),
        ({"share": 0.3, "parts": [5, 2]}, r"parts must be two whole numbers, as in \[2, 5\], not \[5, 2\]"),
        ({"share": 0.3, "parts": 3}, r"parts must be two whole numbers, as in \[2, 5\], not 3"),
        ({"share": 0.3, "parts": [2.5, 3]}, r"parts must be two whole numbers, as in \[2, 5\], not \[2.5, 3\]"),
        ({"share": 0.3, "pause": [-1, 2]}, r"pause must be two numbers of seconds, .* not \[-1, 2\]"),
        ({"share": 0.3, "pause": [0, float("inf")]}, r"pause must be two numbers of seconds, .* not \[0, inf\]"),
        ({"share": 0.3, "seconds": 0}, "seconds must be a positive number, not 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Joining(**options)


# -------------------------------------------------------------------------------------------------------------- batches


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Shape files and utt2lang of 600 utterances of 0.5 to 10 s."""
    folder, (lengths, language) = tmp_path_factory.mktemp("corpus"), utterances_of(600)
    tokens = np.random.default_rng(1).integers(2, 50, 600)
    for name, values in (("speech_shape", lengths), ("text_shape", [f"{n},30" for n in tokens]),
                         ("utt2lang", [LANGUAGES[n] for n in language])):  # fmt: skip
        (folder / name).write_text("".join(f"utt{n} {value}\n" for n, value in enumerate(values)), encoding="utf-8")
    return folder


def table_of(path) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())


def sampler_of(corpus, rank=0, world_size=1, temperature=1.0, language_batches="mixed", joining=None, **batch_options):
    shape_files = [str(corpus / "speech_shape"), str(corpus / "text_shape")]
    options = {"type": "numel", "batch_size": 20, "batch_bins": BINS, "min_batch_size": world_size, **batch_options}
    joining = joining or Joining(0.5, pause=(0.0, 2.0))
    return BalancedBatchSampler(shape_files, str(corpus / "utt2lang"), temperature, language_batches, options, rank,
                                world_size, joining, RATE)  # fmt: skip


def samples_of(uid: str, lengths: dict[str, str]) -> int:
    parts, pauses = read_joined_id(uid)
    return sum(int(lengths[part]) for part in parts) + sum(pauses)


def test_batches_are_measured_by_joined_lengths(corpus):
    lengths = table_of(corpus / "speech_shape")
    batches = sampler_of(corpus).generate(1)
    padded = 0
    for batch in batches:
        own = sorted(samples_of(uid, lengths) for uid in batch)
        assert (len(own) - 1) * own[-2:][0] <= BINS  # ESPnet's sampler ends a batch with the utterance that exceeds it
        padded += len(own) * own[-1]
    assert sum(samples_of(uid, lengths) for batch in batches for uid in batch) / padded > 0.85
    assert max(samples_of(uid, lengths) for batch in batches for uid in batch) <= 30 * RATE


@pytest.mark.parametrize("batch_type", ["length", "folded", "sorted", "unsorted"])
def test_other_types_of_batches(corpus, batch_type):
    options = {"type": batch_type, "fold_lengths": (80000, 150), "batch_bins": 600 * RATE}
    sampler = sampler_of(corpus, **options)
    heard = Counter(part for batch in sampler.generate(1) for uid in batch for part in read_joined_id(uid)[0])
    assert heard.total() == pytest.approx(600, rel=0.1)  # a batch more or less is lost or repeated
    assert f"joined utterances={100 * sampler.share_joined:.1f}%" in str(sampler)


def test_every_epoch_is_another_and_can_be_repeated(corpus):
    one, two = (sampler_of(corpus) for _ in range(2))
    one.generate(1)
    assert one.generate(2) == two.generate(2) != one.generate(1)
    assert len(one.generate(1)) == len(one.generate(2)) == len(one)
    joined = [uid for batch in one.generate(2) for uid in batch if " " in uid]
    assert sum(len(read_joined_id(uid)[0]) for uid in joined) / 600 == pytest.approx(one.share_joined, abs=0.1)


def test_processes_share_every_batch(corpus):
    whole = sampler_of(corpus, min_batch_size=3).generate(1)
    shares = [sampler_of(corpus, rank, 3).generate(1) for rank in range(3)]
    for batch, parts in zip(whole, zip(*shares)):
        assert sorted(batch) == sorted(uid for part in parts for uid in part)
        assert min(map(len, parts)) >= 1


@pytest.mark.parametrize("language_batches", ["mixed", "single"])
def test_languages_are_balanced_as_without_joining(corpus, language_batches):
    languages, lengths = table_of(corpus / "utt2lang"), table_of(corpus / "speech_shape")
    sampler = sampler_of(corpus, temperature=float("inf"), language_batches=language_batches)
    heard = Counter()
    for batch in sampler.generate(1):
        parts = [part for uid in batch for part in read_joined_id(uid)[0]]
        assert len(set(parts)) == len(parts)
        assert language_batches == "mixed" or len({languages[part] for part in parts}) == 1
        for part in parts:
            heard[languages[part]] += int(lengths[part])
    assert all(amount / heard.total() == pytest.approx(1 / 3, abs=0.03) for amount in heard.values())


def test_shapes():
    assert joined_shape(["3,30", "4,30"], 1) == "8,30"
    assert joined_shape(["16000", "8000", "1"], 500) == "24501"
