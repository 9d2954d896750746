"""Packing and sorting by expert, against plain Python."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe.model import packing
from espnet_blrmoe.model.packing import GROUP_RATIO, PackedFrames, Spans
from espnet_blrmoe.model.routing import Routing

LANGUAGES = ("en", "de", "es", "zh-CN")


@st.composite
def expert_lists(draw) -> tuple[int, list[list[int]]]:
    """(E, the expert of each frame of each utterance): one-frame utterances and experts without frames included."""
    num_experts = draw(st.integers(1, 5))
    utterance = st.lists(st.integers(0, num_experts - 1), min_size=1, max_size=8)
    return num_experts, draw(st.lists(utterance, min_size=1, max_size=5))


def routing_of(num_experts: int, experts: list[list[int]], padding: int = 0, seed: int = 0) -> Routing:
    """Random logits; padding frames get the expert `padding`."""
    time = max(map(len, experts))
    expert = torch.tensor([utterance + [padding] * (time - len(utterance)) for utterance in experts])
    valid = torch.tensor([[t < len(utterance) for t in range(time)] for utterance in experts])
    logits = torch.randn(*expert.shape, num_experts, generator=torch.Generator().manual_seed(seed))
    logits = logits.masked_fill(~valid.unsqueeze(-1), 100.0 * padding)
    return Routing.of(logits, expert, valid, frames_of(valid))


def frames_of(valid: torch.Tensor, gap: int = 0) -> PackedFrames:
    return PackedFrames.in_time_order(valid.sum(dim=1), tuple(valid.shape), gap)


def numbered_frames(shape: tuple[int, int]) -> torch.Tensor:
    """(B, T, 2): every frame holds its own b and t."""
    batch, time = shape
    return torch.stack(torch.meshgrid(torch.arange(batch), torch.arange(time), indexing="ij"), dim=-1)


@given(expert_lists())
def test_packing_keeps_the_frames_in_time_order_and_drops_the_padding(lists):
    _, experts = lists
    frames = frames_of(routing_of(*lists).valid)
    packed = frames.pack(numbered_frames(frames.shape)).tolist()
    assert packed == [[b, t] for b, utterance in enumerate(experts) for t in range(len(utterance))]
    assert frames.spans.counts == (len(packed),)


@given(expert_lists(), st.booleans())
def test_padding_undoes_packing_in_either_order_and_leaves_zeros(lists, by_expert):
    routing = routing_of(*lists)
    frames = routing.frames if by_expert else frames_of(routing.valid)
    x = torch.rand(*frames.shape, 3) + 1.0
    assert frames.pad(frames.pack(x)).equal(torch.where(routing.valid.unsqueeze(-1), x, torch.zeros(())))
    packed = frames.pack(x)
    assert frames.pack(frames.pad(packed)).equal(packed)


@given(expert_lists(), st.booleans(), st.sampled_from(["cpu", "cuda"]))
def test_attention_groups_hold_every_utterance_in_time_order(lists, by_expert, device):
    _, experts = lists
    with pytest.MonkeyPatch.context() as patch:
        groups_there = packing.attention_groups([len(utterance) for utterance in experts], torch.device(device))
        patch.setattr(packing, "attention_groups", lambda lengths, _: groups_there)
        routing = routing_of(*lists)
        frames = routing.frames if by_expert else frames_of(routing.valid)
    packed = frames.pack(numbered_frames(frames.shape) + 1)
    groups = frames.to_groups(packed)
    assert frames.from_groups(groups).equal(packed)
    found = {}
    for group, layout in zip(groups, frames.groups, strict=True):
        assert tuple(group.shape[:2]) == layout.shape
        mask = torch.ones(layout.shape, dtype=torch.bool) if layout.mask is None else layout.mask[:, 0, 0]
        lengths = mask.sum(dim=1)
        assert device == "cuda" or len(group) == 1
        assert lengths.min() >= GROUP_RATIO * lengths.max() and lengths.max() == layout.shape[1]
        for utterance, valid in zip(group, mask):
            assert not utterance[~valid].any()
            found[int(utterance[0, 0]) - 1] = utterance[valid].sub(1).tolist()
    assert found == {b: [[b, t] for t in range(len(utterance))] for b, utterance in enumerate(experts)}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), st.integers(1, 7))
def test_spans_are_split_as_frames_are(counts, size):
    expert = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    parts = [part.bincount(minlength=len(counts)).tolist() for part in expert.split(size)]
    assert [list(spans.counts) for spans in Spans.of(counts).split(size)] == parts


@given(expert_lists(), st.booleans(), st.integers(0, 3))
def test_the_sequence_keeps_utterances_apart(lists, by_expert, gap):
    _, experts = lists
    routing = routing_of(*lists)
    frames = frames_of(routing.valid, gap)
    if by_expert:
        frames = frames.by_expert(routing.permutation, routing.frames.spans)
    packed = frames.pack(numbered_frames(frames.shape) + 1)
    sequence = frames.in_sequence.spread(packed)
    expected = []
    for b, utterance in enumerate(experts):
        expected += [[0, 0]] * (gap if b else 0) + [[b + 1, t + 1] for t in range(len(utterance))]
    assert sequence.tolist() == expected
    assert frames.in_sequence.collect(sequence).equal(packed)


@given(expert_lists())
def test_frames_are_sorted_by_expert_and_stay_in_time_order_within_one(lists):
    num_experts, experts = lists
    routing = routing_of(*lists)
    in_time_order = [(e, b, t) for b, utterance in enumerate(experts) for t, e in enumerate(utterance)]
    by_expert = sorted(in_time_order)
    assert routing.frames.pack(numbered_frames(routing.frames.shape)).tolist() == [[b, t] for _, b, t in by_expert]
    spans = routing.frames.spans
    assert spans.counts == tuple(sum(e == expert for e, _, _ in by_expert) for expert in range(num_experts))
    assert spans.ends.tolist() == list(itertools.accumulate(spans.counts))
    rows = torch.arange(len(in_time_order)).unsqueeze(1)
    assert [in_time_order[row] for row in routing.sort(rows).flatten()] == by_expert


@given(expert_lists())
def test_utterance_probabilities_are_means_over_frames(lists):
    num_experts, experts = lists
    routing = routing_of(*lists)
    for b, utterance in enumerate(experts):
        sums = [0.0] * num_experts
        for t in range(len(utterance)):
            exponentials = [math.exp(logit) for logit in routing.logits[b, t].tolist()]
            sums = [total + e / sum(exponentials) for total, e in zip(sums, exponentials)]
        expected = torch.tensor(sums) / len(utterance)
        torch.testing.assert_close(routing.utterance_probs[b], expected)


@given(expert_lists(), st.data())
def test_padding_takes_part_in_nothing(lists, data):
    num_experts, _ = lists
    routing = routing_of(*lists)
    other = routing_of(*lists, padding=data.draw(st.integers(0, num_experts - 1)))
    everything = numbered_frames(routing.frames.shape)
    assert other.frames.pack(everything).equal(routing.frames.pack(everything))
    assert other.frames.spans.counts == routing.frames.spans.counts
    assert other.utterance_probs.equal(routing.utterance_probs)
