"""Normalisation by the frames with speech: silence around and within an utterance changes nothing for its speech."""

import pytest
import torch

from espnet_blrmoe.model.speech_mvn import FLOOR, SPEECH_RANGE, SpeechMVN

SILENCE = -23.0  # the logarithm of ESPnet's smallest power


def speech(frames: int = 40, seed: int = 0) -> torch.Tensor:
    """(1, frames, 8) features whose frames' levels are less than SPEECH_RANGE apart."""
    return torch.rand(1, frames, 8, generator=torch.Generator().manual_seed(seed)) * 0.9 * SPEECH_RANGE


def normalised(features: torch.Tensor) -> torch.Tensor:
    return SpeechMVN()(features)[0]


def test_of_speech_alone_the_mean_is_subtracted():
    torch.testing.assert_close(normalised(speech()), speech() - speech().mean(dim=1))


@pytest.mark.parametrize(("before", "within", "behind"), [(30, 0, 0), (0, 7, 0), (0, 0, 200), (50, 50, 50)])
def test_silence_changes_nothing_for_the_speech(before, within, behind):
    first, second = speech().split([15, 25], dim=1)
    silences = (torch.full((1, frames, 8), SILENCE) for frames in (before, within, behind))
    before_it, within_it, behind_it = silences
    features = normalised(torch.cat([before_it, first, within_it, second, behind_it], dim=1))
    start = before + 15
    torch.testing.assert_close(features[:, before:start], normalised(speech())[:, :15])
    torch.testing.assert_close(features[:, start + within :][:, :25], normalised(speech())[:, 15:])


def test_digital_silence_is_like_any_quiet_room():
    quiet = [torch.full((1, 10, 8), level) for level in (SILENCE, SILENCE + 5)]
    features = [normalised(torch.cat([speech() + 20, silence], dim=1)) for silence in quiet]
    torch.testing.assert_close(features[0], features[1])
    loudest = (speech() + 20).mean(dim=2).max()
    torch.testing.assert_close(features[0][0, -1], loudest - FLOOR - (speech() + 20).mean(dim=1)[0])


def test_a_batch_gives_what_each_utterance_gives_by_itself():
    lengths = torch.tensor([40, 23, 1])
    padded = torch.full((3, 40, 8), 50.0)  # what is beyond the end must not be heard
    for row, length, seed in zip(padded, lengths.tolist(), range(3)):
        row[:length] = speech(length, seed)[0]
    features, returned = SpeechMVN()(padded, lengths)
    assert returned is lengths
    for row, length, seed in zip(features, lengths.tolist(), range(3)):
        torch.testing.assert_close(row[:length], normalised(speech(length, seed))[0])
        assert not row[length:].any()


def test_silence_alone_is_zero():
    assert not normalised(torch.full((1, 5, 8), SILENCE)).any()
