"""Chunks: what frames see of whole utterances, and trainings that draw the chunks' size."""

import itertools

import pytest
import reference
import torch
from encoders import BLOCK_TYPES, encode, encoder_of, features_of

from espnet_blrmoe.model.chunks import Chunking

CHUNKINGS = [(1, 0), (1, 3), (3, 0), (4, 2), (4, 9), (5, 5), (100, 0), (100, 7)]


@pytest.mark.parametrize(("block_type", "chunk"), itertools.product(BLOCK_TYPES, CHUNKINGS), ids=str)
def test_frames_see_their_chunk_and_what_is_left_of_it(block_type, chunk):
    encoder = encoder_of(block_type=block_type, router="encoders.FixedRouter", attention_experts="qkvo")
    weights = {name: value.detach() for name, value in encoder.state_dict().items()}
    x, lengths = features_of()
    output, output_lengths, _ = encode(encoder, x, lengths, chunking=Chunking(*chunk))
    for b, length in enumerate(lengths):
        frames, (time,) = encoder.embed(x[b : b + 1, :length], length.unsqueeze(0))
        frames, pos_emb = encoder.pos_enc(frames)
        expert = encoder.router.logits[b, :time].argmax(dim=-1)
        expected = reference.encode(weights, block_type, 2, frames[0], pos_emb, expert, chunk)
        torch.testing.assert_close(output[b, :time], expected, atol=1e-5, rtol=1e-5)
        assert (output[b, time:] == 0).all()


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_padding_and_other_utterances_change_nothing_in_chunks(block_type):
    encoder = encoder_of(block_type=block_type)
    x, lengths = features_of()
    output, output_lengths, _ = encode(encoder, x, lengths, chunking=Chunking(4, 6))
    noisy, *_ = encode(encoder, *features_of(padding=100.0, extra=29), chunking=Chunking(4, 6))
    torch.testing.assert_close(noisy, output, atol=1e-5, rtol=1e-5)
    for b, length in enumerate(lengths):
        alone, *_ = encode(encoder, x[b : b + 1, :length], length.unsqueeze(0), chunking=Chunking(4, 6))
        torch.testing.assert_close(alone[0], output[b, : output_lengths[b]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_one_chunk_of_all_frames_is_no_chunk(block_type):
    encoder = encoder_of(block_type=block_type)
    batch = features_of()
    torch.testing.assert_close(encode(encoder, *batch, chunking=Chunking(100, 0))[0], encode(encoder, *batch)[0])


def test_every_batch_of_a_training_draws_the_size_of_its_chunks():
    encoder = encoder_of(chunk_sizes=[2, 5, None], left_context=4, label_routing=0.0)
    batch = features_of()
    of_sizes = [encode(encoder, *batch, chunking=size and Chunking(size, 4))[0] for size in encoder.chunk_sizes]
    encoder.train()
    drawn = [encode(encoder, *batch)[0] for _ in range(30)]
    times = [sum(torch.allclose(output, expected, atol=1e-5) for output in drawn) for expected in of_sizes]
    assert sum(times) == 30 and min(times) > 3
    drawn[0].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.encoders.parameters())
    encoder.eval()
    assert encode(encoder, *batch)[0].equal(of_sizes[2])


def test_a_training_without_chunks_draws_nothing():
    encoder = encoder_of(router="encoders.FixedRouter", label_routing=0.0).train()
    state = torch.get_rng_state()
    encode(encoder, *features_of())
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_sizes": []}, "encoder_conf: chunk_sizes must be a list of numbers of frames"),
        ({"chunk_sizes": 4}, "encoder_conf: chunk_sizes must be a list of numbers of frames"),
        ({"chunk_sizes": [4, 0]}, "encoder_conf: chunk_sizes must be a list of numbers of frames"),
        ({"chunk_sizes": [True]}, "encoder_conf: chunk_sizes must be a list of numbers of frames"),
        ({"chunk_sizes": [4.0]}, "encoder_conf: chunk_sizes must be a list of numbers of frames"),
        ({"chunk_sizes": [4], "left_context": -1}, "encoder_conf: left_context must be a number of frames"),
        (
            {"chunk_sizes": [4], "block_type": "conformer", "block_conf": {"rel_pos_type": "legacy"}},
            "encoder_conf: chunk_sizes do not go with block_conf: rel_pos_type: legacy",
        ),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        encoder_of(**options)
