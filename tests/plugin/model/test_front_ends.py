"""The encoder's front ends: lengths, windows, padding."""

import itertools

import pytest
import torch
from encoders import CONVOLUTIONS, WIDTH, encode, encoder_of, features_of

from espnet_blrmoe.espnet_internals import TooShortUttError


def convolved_length(input_layer: str, length: int) -> int:
    """Output length of unpadded convolutions, as torch.nn.Conv1d documents it."""
    for kernel, stride in CONVOLUTIONS[input_layer]:
        length = (length - kernel) // stride + 1
    return length


@pytest.mark.parametrize("input_layer", CONVOLUTIONS)
@pytest.mark.parametrize("lengths", [(61, 34, 50), (32, 31, 17), (40, 39, 38, 37, 36, 35, 34, 33)])
def test_lengths_are_those_of_the_convolutions(input_layer, lengths):
    encoder = encoder_of(input_layer=input_layer, router="linear")
    output, output_lengths, _ = encode(encoder, *features_of(lengths, extra=13))
    assert output.size(1) == output_lengths.max()
    assert output_lengths.tolist() == [convolved_length(input_layer, length) for length in lengths]


@pytest.mark.parametrize("input_layer", CONVOLUTIONS)
def test_front_end_frames_read_nothing_beyond_an_utterances_end(input_layer):
    embed = encoder_of(input_layer=input_layer).embed
    clean, lengths = embed(*features_of())
    noisy, _ = embed(*features_of(padding=100.0, extra=29))
    for b, length in enumerate(lengths):
        torch.testing.assert_close(noisy[b, :length], clean[b, :length], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("input_layer", CONVOLUTIONS)
def test_shortest_utterance(input_layer):
    encoder = encoder_of(input_layer=input_layer, router="linear")
    window = next(length for length in itertools.count(1) if convolved_length(input_layer, length) == 1)
    _, lengths, _ = encode(encoder, *features_of([40, window]))
    assert lengths[1] == 1
    with pytest.raises(TooShortUttError, match=f"has {window - 1} frames .* at least {window} frames"):
        encode(encoder, *features_of([40, window - 1]))


def test_other_front_ends():
    ids = torch.tensor([[1, 2, 3, 0], [3, 1, 0, 0]])
    encoder = encoder_of(input_size=5, input_layer="embed", padding_idx=0)
    assert encode(encoder, ids, torch.tensor([3, 2]))[0].shape == (2, 3, 8)
    for input_size, input_layer in ((8, None), (WIDTH, None), (8, "wav2vec")):
        encoder = encoder_of(input_size=input_size, input_layer=input_layer)
        assert encode(encoder, torch.randn(2, 6, input_size), torch.tensor([6, 4]))[0].shape == (2, 6, 8)
