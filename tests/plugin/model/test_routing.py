"""Packing, sorting by expert and language priors, against plain Python."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe.model.routing import GROUP_RATIO, LanguagePrior, PackedFrames, Routing, smooth

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


@given(expert_lists(), st.booleans())
def test_attention_groups_hold_every_utterance_in_time_order(lists, by_expert):
    _, experts = lists
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
        assert lengths.min() >= GROUP_RATIO * lengths.max() and lengths.max() == layout.shape[1]
        for utterance, valid in zip(group, mask):
            assert not utterance[~valid].any()
            found[int(utterance[0, 0]) - 1] = utterance[valid].sub(1).tolist()
    assert found == {b: [[b, t] for t in range(len(utterance))] for b, utterance in enumerate(experts)}


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


@given(expert_lists())
def test_frame_counts(lists):
    num_experts, experts = lists
    counts = routing_of(*lists).frame_counts().tolist()
    assert counts == [[utterance.count(expert) for expert in range(num_experts)] for utterance in experts]


@given(expert_lists(), st.data())
def test_padding_takes_part_in_nothing(lists, data):
    num_experts, _ = lists
    routing = routing_of(*lists)
    other = routing_of(*lists, padding=data.draw(st.integers(0, num_experts - 1)))
    everything = numbered_frames(routing.frames.shape)
    assert other.frames.pack(everything).equal(routing.frames.pack(everything))
    assert other.frames.spans.counts == routing.frames.spans.counts
    assert other.frame_counts().equal(routing.frame_counts())
    assert other.utterance_probs.equal(routing.utterance_probs)


@given(st.lists(st.sets(st.sampled_from(LANGUAGES), min_size=1), min_size=1, max_size=4))
def test_prior_excludes_exactly_the_languages_that_are_not_allowed(allowed):
    prior = LanguagePrior.allow([sorted(codes) for codes in allowed], LANGUAGES)
    expected = [[0.0 if language in codes else -math.inf for language in LANGUAGES] for codes in allowed]
    assert prior.log_weights.tolist() == expected
    only = prior.only_expert()
    if all(len(codes) == 1 for codes in allowed):
        assert only.tolist() == [LANGUAGES.index(*codes) for codes in allowed]
    else:
        assert only is None


@st.composite
def batches_of_logits(draw) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """(B, T, 4) logits, (B, T) valid, lengths."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    valid = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    logits = 3 * torch.randn(*valid.shape, len(LANGUAGES), generator=generator)
    return logits, valid, lengths


@given(batches_of_logits(), st.floats(0, 20))
def test_a_penalty_is_taken_off_the_other_languages(batch, penalty):
    logits, valid, lengths = batch
    prior = LanguagePrior.allow(["en,es"] * len(lengths), LANGUAGES, penalty=penalty)
    expected = logits - penalty * torch.tensor([0.0, 1.0, 0.0, 1.0])
    torch.testing.assert_close(prior.apply(logits, valid).log_softmax(-1), expected.log_softmax(-1))
    assert prior.only_expert() is None


@given(batches_of_logits(), st.sampled_from([3, 5, None]))
def test_smoothing_averages_over_the_frames_of_the_utterance_alone(batch, window):
    logits, valid, lengths = batch
    smoothed = smooth(logits.masked_fill(~valid.unsqueeze(-1), 1e4), valid, window)
    for b, length in enumerate(lengths):
        for t in range(length):
            reach = length if window is None else window // 2
            around = logits[b, max(0, t - reach) : min(length, t + reach + 1)]
            torch.testing.assert_close(smoothed[b, t], around.mean(0), rtol=1e-4, atol=1e-3)


@given(batches_of_logits(), st.floats(0.05, 0.95))
def test_utterances_escape_a_list_that_excludes_what_they_sound_like(batch, escape):
    logits, valid, lengths = batch
    lists = [["en"], ["de", "zh-CN"], LANGUAGES][: len(lengths)]
    prior = LanguagePrior.allow(lists, LANGUAGES, escape=escape)
    applied = prior.apply(logits, valid)
    assert prior.only_expert() is None  # the router has to be asked
    for b, (codes, length) in enumerate(zip(lists, lengths)):
        probs = logits[b, :length].softmax(-1).mean(0)
        excluded = sum(float(p) for p, language in zip(probs, LANGUAGES) if language not in codes)
        if abs(excluded - escape) < 1e-3:
            continue
        finite = applied[b].isfinite().all(0).tolist()
        assert finite == [excluded > escape or language in codes for language in LANGUAGES]


@given(batches_of_logits(), st.floats(0.05, 0.95))
def test_smoothing_does_not_change_who_escapes(batch, escape):
    logits, valid, lengths = batch
    frame, utterance = (
        LanguagePrior.allow(["en"], LANGUAGES, escape=escape, window=window).apply(logits, valid).isfinite().all(-1)
        for window in (1, None)
    )
    assert frame[valid].equal(utterance[valid])


@given(batches_of_logits())
def test_one_window_over_the_utterance_gives_it_one_language(batch):
    logits, valid, lengths = batch
    applied = LanguagePrior.allow([LANGUAGES], LANGUAGES, window=None).apply(logits, valid)
    for b, length in enumerate(lengths):
        choices = applied[b, :length].argmax(-1).unique().tolist()
        assert choices == [int(logits[b, :length].log_softmax(-1).mean(0).argmax())]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": -1.0}, "language penalty must be a number of nats from 0 on, not -1.0"),
        ({"penalty": math.nan}, "language penalty must be"),
        ({"escape": 1.5}, "escape threshold is a probability between 0 and 1, not 1.5"),
        ({"window": 4}, "smoothing window must be an odd number of frames, not 4"),
    ],
)
def test_prior_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LanguagePrior.allow(["en"], LANGUAGES, **options)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_weights_that_are_no_weights_are_refused(weight):
    with pytest.raises(ValueError, match="log-weights must be numbers or minus infinity"):
        LanguagePrior(torch.tensor([[0.0, weight]]))


def test_one_string_is_no_list_of_lists():
    with pytest.raises(ValueError, match=r"write \['en,de'\] for the whole batch"):
        LanguagePrior.allow("en,de", LANGUAGES)


def test_a_prior_that_excludes_everything_is_refused():
    with pytest.raises(ValueError, match="excludes every language"):
        LanguagePrior(torch.full((2, 4), -math.inf))


def test_prior_reads_lists_as_users_write_them():
    assert LanguagePrior.allow(["en, zh-CN"], LANGUAGES).log_weights.isfinite().tolist() == [[True, False, False, True]]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "the list of languages is empty"),
        (" , ", "the list of languages is empty"),
        (["en", "fr"], "unknown language 'fr'; this model knows en, de, es, zh-CN"),
        ("de,en,de", "language 'de' is listed twice in 'de,en,de'"),
    ],
)
def test_prior_refuses_a_bad_list(codes, message):
    with pytest.raises(ValueError, match=message):
        LanguagePrior.allow([codes], LANGUAGES)
