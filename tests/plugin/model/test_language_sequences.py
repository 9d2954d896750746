"""Utterances in several languages: their LID losses against all alignments written out, and their routing."""

import itertools
import math

import pytest
import torch
from encoders import LANGUAGES as ENCODER_LANGUAGES
from encoders import encoder_of, features_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LANGUAGES, batch_of, build_model

from espnet_blrmoe.languages import LanguageStretch, format_label, parse_label
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.language_labels import IGNORED, LanguageLabels
from espnet_blrmoe.model.routing import PackedFrames, Routing

SEQUENCES = ["zh-CN en zh-CN", "en de", "de zh-CN en de", "en en de"]


@pytest.fixture
def model(tiny_model) -> BLRMoEModel:
    return build_model(tiny_model.config)


def labels_of(*labels: str) -> LanguageLabels:
    return LanguageLabels.of([parse_label(label) for label in labels], LANGUAGES)


def random_routing(lengths: list[int], seed: int = 0) -> Routing:
    """A Routing of random logits, with large ones in the padding."""
    torch.manual_seed(seed)
    valid = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    logits = torch.randn(*valid.shape, len(LANGUAGES)).masked_fill(~valid.unsqueeze(-1), 50.0).requires_grad_()
    frames = PackedFrames.in_time_order(valid.sum(dim=1), tuple(valid.shape))
    return Routing.of(logits, logits.argmax(dim=-1), valid, frames)


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [language for language, _ in itertools.groupby(path)]


def places(label: str) -> list[int]:
    """The languages of a sequence, as places in the model's list, neighbours different."""
    return collapsed(tuple(LANGUAGES.index(language) for language in label.split()))


def order_loss(log_probs: torch.Tensor, sequence: list[int]) -> torch.Tensor:
    """(T, E) -> the negative logarithm of the probability of all paths of languages in which `sequence` is spoken."""
    paths = [path for path in itertools.product(range(log_probs.size(1)), repeat=len(log_probs))
             if collapsed(path) == sequence]  # fmt: skip
    return -torch.stack([log_probs[range(len(path)), path].sum() for path in paths]).logsumexp(dim=0)


def ctc_loss(logits: torch.Tensor, sequence: list[int]) -> torch.Tensor:
    """(T, E) -> the same with a blank, whose logit is 0, before, between and after the languages."""
    blank = logits.size(1)
    log_probs = torch.nn.functional.pad(logits, (0, 1)).log_softmax(dim=-1)
    paths = [path for path in itertools.product(range(blank + 1), repeat=len(logits))
             if [symbol for symbol in collapsed(path) if symbol != blank] == sequence]  # fmt: skip
    return -torch.stack([log_probs[range(len(path)), path].sum() for path in paths]).logsumexp(dim=0)


# --------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("label", SEQUENCES)
def test_where_only_the_order_is_known_the_frame_loss_sums_over_all_times_of_change(model, label):
    routing = random_routing([6, 4])
    loss, _ = model.lid_loss_and_stats(routing, labels_of(label, "de"))
    expected = (order_loss(routing.log_probs[0], places(label)) - routing.log_probs[1, :4, 1].sum()) / 2
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(total, routing.logits, retain_graph=True)[0] for total in (loss, expected))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("label", SEQUENCES)
def test_the_ctc_loss_is_of_the_sequence_without_repeats(model, label):
    model.lid_loss = "ctc"
    routing = random_routing([6, 4])
    loss, _ = model.lid_loss_and_stats(routing, labels_of(label, "de"))
    expected = (ctc_loss(routing.logits[0], places(label)) + ctc_loss(routing.logits[1, :4], [1])) / 2
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(total, routing.logits, retain_graph=True)[0] for total in (loss, expected))
    torch.testing.assert_close(*gradients)


def test_where_times_are_known_the_frame_loss_is_of_the_frames(model):
    routing = random_routing([8, 3])
    loss, stats = model.lid_loss_and_stats(routing, labels_of("zh-CN:0:0.25 en:0.5:1", "de:0:0.34"))
    spoken = [(0, 0, 2), (0, 1, 2), *((0, t, 0) for t in range(4, 8)), (1, 0, 1)]
    assert loss.item() == pytest.approx(-sum(routing.log_probs[place].item() for place in spoken) / 2, rel=1e-5)
    right = sum(int(routing.logits[b, t].argmax()) == language for b, t, language in spoken)
    assert stats["acc_lid"].item() == pytest.approx(right / len(spoken))


def test_an_utterance_may_be_known_in_part(model):
    """As when an utterance whose languages' order is known is joined with one in one language, after a pause."""
    routing = random_routing([8])
    loss, _ = model.lid_loss_and_stats(routing, labels_of("de:0:0.25 zh-CN:0.5:1 en:0.5:1"))
    log_probs = routing.log_probs[0]
    expected = order_loss(log_probs[4:], [2, 0]) - log_probs[:2, 1].sum()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("lid_loss", ["frame", "ctc"])
def test_fewer_frames_than_languages_say_nothing(model, lid_loss):
    model.lid_loss = lid_loss
    routing = random_routing([2, 2])
    loss, stats = model.lid_loss_and_stats(routing, labels_of("zh-CN en zh-CN", "de en de"))
    loss.backward()
    assert loss.item() == 0 and not routing.logits.grad.any()
    assert math.isnan(stats["acc_lid"]) and math.isnan(stats["acc_lid_utt"])


def test_accuracies_are_of_what_is_known(model):
    routing = random_routing([6, 4])
    both, one = (model.lid_loss_and_stats(routing, labels_of(label, "de"))[1] for label in ("zh-CN en", "en"))
    frames = routing.logits.argmax(dim=-1)[1, :4] == 1
    assert both["acc_lid"].item() == pytest.approx(frames.float().mean().item())
    assert both["acc_lid_utt"].item() == float(routing.utterance_probs[1].argmax() == 1)
    assert both.keys() == one.keys()


@pytest.mark.parametrize("lid_loss", ["frame", "ctc"])
def test_a_router_learns_from_sequences(model, lid_loss):
    model.lid_loss = lid_loss
    loss, stats, _ = model(**batch_of(["zh-CN en zh-CN", "de:0:0.4 en:0.5:1", "en"]))
    loss.backward()
    assert stats["loss_lid"].isfinite() and stats["loss_lid"] > 0
    assert all(parameter.grad.any() for parameter in model.encoder.router.parameters())


def test_an_unknown_language_in_a_sequence(model):
    with pytest.raises(ValueError, match="utterance utt1 has language 'fr' in utt2lang; .* knows en, de, zh-CN"):
        model(**batch_of(["en", "de fr de"]))


# -------------------------------------------------------------------------------------------------------------- routing


def test_frames_go_to_their_stretch_or_to_one_of_the_utterances_languages():
    encoder = encoder_of(router="encoders.FixedRouter", label_routing=1.0).train()
    labels = ["en es", "de:0:0.5 en:0.5:1", "de:0:0.5 es:0.5:1 en:0.5:1"]
    stretches = [parse_label(label) for label in labels]
    with encoder.route(labels=LanguageLabels.of(stretches, ENCODER_LANGUAGES)) as routings:
        encoder(*features_of())
    (routing,) = routings
    for utterance, known in enumerate([{}, {0: 1, 1: 0}, {0: 1}]):
        frames = int(routing.valid[utterance].sum())
        for t in range(frames):
            en, _, es = routing.logits[utterance, t]
            half = int((t + 0.5) / frames >= 0.5)
            assert routing.language[utterance, t] == known.get(half, 0 if en > es else 2), (utterance, t)


def test_the_routers_own_choice_is_not_restricted():
    encoder = encoder_of(router="encoders.FixedRouter", label_routing=0.0).train()
    with encoder.route(labels=LanguageLabels.of([parse_label("en es")] * 3, ENCODER_LANGUAGES)) as routings:
        encoder(*features_of())
    assert routings[0].language.equal(routings[0].logits.argmax(dim=-1))


# --------------------------------------------------------------------------------------------------------------- labels


@st.composite
def stretches(draw) -> list[LanguageStretch]:
    """Stretches in time order, some of which share a span."""
    edges = sorted(draw(st.lists(st.integers(0, 10**7), min_size=2, max_size=8, unique=True)))
    spans = draw(st.lists(st.integers(0, len(edges) - 2), min_size=1, max_size=6).map(sorted))
    codes = st.sampled_from(LANGUAGES)
    return [LanguageStretch(draw(codes), edges[n] / 10**7, edges[n + 1] / 10**7) for n in spans]


@settings(max_examples=100, deadline=None)
@given(stretches(), st.integers(1, 30))
def test_a_label_is_read_as_it_was_written_and_frames_are_known_or_in_order(own, frames):
    assert parse_label(format_label(own)) == own
    valid, logits = torch.ones(1, frames, dtype=torch.bool), torch.randn(1, frames, len(LANGUAGES))
    labels = LanguageLabels.of([own], LANGUAGES)
    spoken, routed = labels.spoken(valid)[0].tolist(), labels.routed(valid, logits)[0].tolist()
    for t, (language, choice) in enumerate(zip(spoken, routed)):
        middle = (t + 0.5) / frames
        if min(abs(middle - time) for stretch in own for time in stretch[1:]) < 1e-5:
            continue  # rounding
        here = {LANGUAGES.index(s.language) for s in own if s.start <= middle < s.end}
        assert {language} == (here if len(here) == 1 else {IGNORED})
        assert choice in (here or range(3))


@settings(max_examples=50, deadline=None)
@given(stretches(), stretches(), st.floats(0, 0.5), st.floats(0.5, 1))
def test_labels_of_joined_utterances_stay_in_order(one, other, end, start):
    joined = [stretch.within(0, end) for stretch in one] + [stretch.within(start, 1) for stretch in other]
    assert [stretch.language for stretch in parse_label(format_label(joined))] == [s.language for s in one + other]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("", "there is no language"),
        ("en:0.5", "expected language:start:end, from 0 to 1 of the utterance's length, found 'en:0.5'"),
        ("en:0.5:0.2", "expected language:start:end"),
        ("en:0:1.5", "expected language:start:end"),
        ("en:0:nan", "expected language:start:end"),
        ("en:0:0.5 de:0.4:1", "overlap or are not in the order of time"),
        ("en:0.5:1 de:0:0.5", "overlap or are not in the order of time"),
        ("en:0:0.5 de", "overlap or are not in the order of time"),
    ],
)
def test_labels_that_make_no_sense(label, message):
    with pytest.raises(ValueError, match=message):
        parse_label(label)
