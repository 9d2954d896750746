"""Normalisation by a running mean: what a stream has heard so far, its speech most of all."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_blrmoe.model.past import Past
from espnet_blrmoe.model.running_mvn import LOUDNESS, MEMORY, PRIOR, RunningMVN

DIM = 6
MEAN, STD = np.linspace(-4.0, 1.0, DIM), np.linspace(0.5, 2.0, DIM)
SILENCE = -23.0  # the logarithm of ESPnet's smallest power


@pytest.fixture(scope="module")
def normalise(tmp_path_factory) -> RunningMVN:
    path = tmp_path_factory.mktemp("statistics") / "stats.npz"
    np.savez(path, count=10, sum=10 * MEAN, sum_square=10 * (MEAN**2 + STD**2))
    return RunningMVN(path)


def speech(frames: int, seed: int = 0) -> torch.Tensor:
    """(1, frames, DIM) features with the statistics of the training set."""
    noise = torch.randn(1, frames, DIM, generator=torch.Generator().manual_seed(seed))
    return noise * torch.tensor(STD).float() + torch.tensor(MEAN).float()


def one_by_one(features: torch.Tensor) -> torch.Tensor:
    """The definition, frame by frame."""
    expected, heard = [], []
    for frame in features[0].double().numpy():
        deviation = (frame - MEAN) / STD
        heard.append((np.exp(LOUDNESS * frame.mean()) * bool(frame.any()), deviation))
        old = np.exp(-np.arange(len(heard))[::-1] / MEMORY)
        weights = old * [weight for weight, _ in heard]
        mean = sum(weight * own for weight, (_, own) in zip(weights, heard)) / (weights.sum() + PRIOR * weights.max())
        expected.append(deviation - mean)
    return torch.tensor(np.stack(expected))[None].float()


def test_it_is_what_its_definition_says(normalise):
    features = speech(300) * torch.linspace(0.5, 1.5, 300)[:, None]
    torch.testing.assert_close(normalise(features)[0], one_by_one(features), atol=1e-5, rtol=1e-5)


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8), again=st.integers(0, 3), seed=st.integers(0, 1000))
def test_chunk_by_chunk_it_is_the_same(normalise, sizes, again, seed):
    features = speech(sum(sizes) + again, seed)
    chunks, remembered, start = [], (), 0
    for size in sizes:
        past = Past(remembered)
        chunk, _ = normalise(features[:, start : start + size + again].clone(), past=past, again=again)
        chunks.append(chunk[:, :size])
        remembered, start = tuple(past.after), start + size
    expected = normalise(features.clone())[0][:, :start]
    torch.testing.assert_close(torch.cat(chunks, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_an_hour_at_once_is_what_it_is_in_minutes(normalise):
    features = speech(360_000)
    past, minutes = (), []
    for minute in features.split(6000, dim=1):
        past = Past(past)
        minutes.append(normalise(minute, past=past)[0])
        past = tuple(past.after)
    torch.testing.assert_close(normalise(features)[0], torch.cat(minutes, dim=1), atol=1e-5, rtol=1e-5)


def test_what_a_channel_does_to_a_recording_is_taken_out_in_seconds(normalise):
    plain, coloured = (normalise(speech(600) + channel)[0] for channel in (0.0, torch.linspace(-3.0, 2.0, DIM)))
    differences = (coloured - plain).abs().mean(dim=2)[0]
    assert differences[200] < 0.1 * differences[0]


@pytest.mark.parametrize("volume", [-6.0, 6.0])
def test_volume_is_a_channel_too(normalise, volume):
    plain, loud = (normalise(speech(600) + own)[0] for own in (0.0, volume))
    assert (loud - plain)[0, -1].abs().max() < abs(volume) / STD.min() / 20


def test_silence_hardly_counts(normalise):
    silence = torch.full((1, 200, DIM), SILENCE)
    after = normalise(torch.cat([speech(100), silence, speech(100, seed=1)], dim=1))[0][:, 300:]
    expected = normalise(torch.cat([speech(100), speech(100, seed=1)], dim=1))[0][:, 100:]
    assert (after - expected).abs().max() < 0.05


def test_what_spec_augment_has_masked_does_not_count(normalise):
    masked = speech(100)
    masked[:, 40:60] = 0.0
    after = normalise(masked)[0][:, 60:]
    torch.testing.assert_close(after, one_by_one(masked)[:, 60:], atol=1e-5, rtol=1e-5)


def test_a_batch_gives_what_each_utterance_gives_by_itself(normalise):
    lengths = torch.tensor([140, 23, 1])
    padded = torch.full((3, 140, DIM), 50.0)  # what is beyond the end must not be heard
    for row, length, seed in zip(padded, lengths.tolist(), range(3)):
        row[:length] = speech(length, seed)[0]
    features, returned = normalise(padded, lengths)
    assert returned is lengths
    for row, length, seed in zip(features, lengths.tolist(), range(3)):
        torch.testing.assert_close(row[:length], normalise(speech(length, seed))[0][0])
        assert not row[length:].any()
