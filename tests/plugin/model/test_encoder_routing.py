"""Which expert a frame goes to: language priors, labels in training, routers and what they read."""

import itertools

import pytest
import torch
from encoders import LANGUAGES, FixedRouter, encode, encoder_of, features_of
from torch.nn import functional as F

from espnet_blrmoe import LanguagePrior
from espnet_blrmoe.languages import LanguageStretch
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.router import LinearRouter, TDNNRouter


def test_a_prior_of_all_languages_changes_nothing():
    encoder = encoder_of()
    x, lengths = features_of()
    free, _, _ = encode(encoder, x, lengths)
    allowed, _, _ = encode(encoder, x, lengths, prior=LanguagePrior.allow([LANGUAGES], LANGUAGES))
    assert allowed.equal(free)


@pytest.mark.parametrize("codes", [["de"], ["de", "es", "en"]], ids=["batch", "utterance"])
def test_one_language_alone_needs_no_router(codes):
    encoder = encoder_of(router="encoders.BrokenRouter")
    x, lengths = features_of()
    _, _, routing = encode(encoder, x, lengths, prior=LanguagePrior.allow(codes, LANGUAGES))
    expected = torch.tensor([LANGUAGES.index(code) for code in codes]).expand(len(x))
    assert routing.language.equal(expected.unsqueeze(1).expand_as(routing.language))
    assert routing.utterance_probs.equal(F.one_hot(expected, len(LANGUAGES)).float())
    with pytest.raises(AssertionError, match="the router was called"):
        encode(encoder, x, lengths, prior=LanguagePrior.allow([["en", "de"]], LANGUAGES))


def test_no_frame_goes_outside_the_allowed_languages():
    encoder = encoder_of(router="encoders.FixedRouter")
    allowed = [["en", "es"], ["de", "es"], ["de"]]
    _, _, routing = encode(encoder, *features_of(), prior=LanguagePrior.allow(allowed, LANGUAGES))
    for language, valid, probs, codes in zip(routing.language, routing.valid, routing.utterance_probs, allowed):
        chosen = {LANGUAGES[n] for n in language[valid].tolist()}
        assert chosen == set(codes)  # the allowed ones still compete
        assert probs[[language not in codes for language in LANGUAGES]].sum() == 0
        torch.testing.assert_close(probs.sum(), torch.tensor(1.0))


def test_within_the_allowed_languages_the_router_decides():
    encoder = encoder_of(router="encoders.FixedRouter")
    _, _, routing = encode(encoder, *features_of(), prior=LanguagePrior.allow(["en,es"], LANGUAGES))
    batch, time = routing.language.shape
    for b, t in itertools.product(range(batch), range(time)):
        en, _, es = encoder.router.logits[b, t]
        assert routing.language[b, t] == (0 if en > es else 2)


def test_routing_by_label_and_by_prediction():
    labels = torch.tensor([2, 0, 1])
    by_label = encoder_of(router="encoders.FixedRouter", label_routing=1.0).train()
    _, _, routing = encode(by_label, *features_of(), labels=labels)
    assert routing.language.equal(labels.unsqueeze(1).expand_as(routing.language))
    by_prediction = encoder_of(router="encoders.FixedRouter", label_routing=0.0).train()
    _, _, routing = encode(by_prediction, *features_of(), labels=labels)
    assert routing.language.equal(routing.logits.argmax(dim=-1))


@pytest.mark.parametrize("chunk_sizes", [None, [4]])
def test_labels_of_stretches_route_frames_and_pauses_go_with_what_they_follow(chunk_sizes):
    encoder = encoder_of(router="encoders.FixedRouter", chunk_sizes=chunk_sizes).train()
    stretches = [
        [LanguageStretch("de", 0, 0.5), LanguageStretch("es", 0.75, 1)],
        [LanguageStretch("en")],
        [LanguageStretch("es", 0.25, 1)],
    ]
    with encoder.route(labels=LanguageLabels.of(stretches, LANGUAGES)) as routings:
        encoder(*features_of())
    for language, valid, (share, before, after) in zip(
        routings[0].language, routings[0].valid, [(0.75, 1, 2), (0, 0, 0), (0, 2, 2)]
    ):
        frames = int(valid.sum())
        first = sum((t + 0.5) / frames < share for t in range(frames))
        assert language[valid].tolist() == [before] * first + [after] * (frames - first)


def test_labels_do_not_route_in_evaluation():
    encoder = encoder_of(router="encoders.FixedRouter", label_routing=1.0)
    _, _, routing = encode(encoder, *features_of(), labels=torch.tensor([2, 0, 1]))
    assert routing.language.equal(routing.logits.argmax(dim=-1))


def test_mixed_routing_takes_whole_utterances_either_way():
    encoder = encoder_of(router="encoders.FixedRouter", label_routing=0.5).train()
    torch.manual_seed(0)
    by_label = []
    for _ in range(20):
        labels = torch.tensor([2, 0, 1])
        _, _, routing = encode(encoder, *features_of(), labels=labels)
        predicted = routing.logits.argmax(dim=-1)
        for expert, label, prediction in zip(routing.language, labels, predicted):
            by_label.append(bool((expert == label).all()))
            assert by_label[-1] or expert.equal(prediction)
    assert 15 < sum(by_label) < 45  # of 60


@pytest.mark.parametrize("router", ["linear", "tdnn"])
@pytest.mark.parametrize(
    ("router_input", "trained_with_it"),
    [("features", set()), ("subsampled", {"embed"}), ("shared", {"embed", "encoders.0"})],
)
def test_router_depends_on_its_input_alone(router, router_input, trained_with_it):
    encoder = encoder_of(router=router, router_input=router_input)
    _, _, routing = encode(encoder, *features_of())
    routing.logits.square().sum().backward()
    trained = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert trained == {
        name
        for name, _ in encoder.named_parameters()
        if any(name.startswith(f"{part}.") for part in {"router", *trained_with_it})
    }


@pytest.mark.parametrize("router_input", ["features", "subsampled", "shared"])
def test_routing_features_equals_routing_while_encoding(router_input):
    encoder = encoder_of(router_input=router_input)
    _, _, routing = encode(encoder, *features_of())
    assert encoder.route_features(*features_of()).logits.equal(routing.logits)


@pytest.mark.parametrize("input_layer", ["dwconv2d", "conv2d6", "linear"])
def test_router_of_features_sees_the_window_of_its_encoder_frame(input_layer):
    encoder = encoder_of(input_layer=input_layer, router="linear", router_input="features")
    x, lengths = features_of()
    x.requires_grad_()
    logits = encode(encoder, x, lengths)[2].logits
    window, factor = encoder.embed.window, encoder.embed.factor
    for t in (0, 1, logits.size(1) - 1):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), x, retain_graph=True)
        seen = gradient[0].any(dim=1).nonzero().flatten().tolist()
        assert seen == list(range(t * factor, t * factor + window))


@pytest.mark.parametrize(("causal", "past", "future"), [(True, 14, 0), (False, 7, 7)])
def test_receptive_field_of_the_tdnn(causal, past, future):
    router = TDNNRouter(4, 3, channels=8, layers=3, context=3, dilation=2, causal=causal).eval()  # 2 * (1 + 2 + 4)
    x = torch.randn(1, 40, 4, requires_grad=True)
    router(x, torch.ones(1, 40, dtype=torch.bool))[0, 20].square().sum().backward()
    assert x.grad[0].any(dim=1).nonzero().flatten().tolist() == list(range(20 - past, 20 + future + 1))


def test_a_causal_tdnn_may_see_an_even_number_of_frames():
    router = TDNNRouter(4, 3, channels=8, layers=2, context=2, causal=True)
    assert router(torch.randn(1, 9, 4), torch.ones(1, 9, dtype=torch.bool)).shape == (1, 9, 3)
    with pytest.raises(ValueError, match="context must be odd where causal is false, got 2"):
        TDNNRouter(4, 3, context=2)


def test_router_classes_of_the_choices():
    assert isinstance(encoder_of(router="linear").router, LinearRouter)
    assert isinstance(encoder_of(router="tdnn").router, TDNNRouter)


def test_a_third_partys_classes_are_named_by_their_paths():
    encoder = encoder_of(
        block_type="encoders.HalvedBlock",
        block_conf={"factor": 0.25},
        router="encoders.FixedRouter",
        router_input="encoders.Loudness",
    )
    assert isinstance(encoder.router, FixedRouter)
    assert encoder.router_input.size == 1
    x, lengths = features_of()
    frames, (time, *_) = encoder.embed(x, lengths)
    output, _, routing = encode(encoder, x, lengths)
    halved = encoder.after_norm(0.25**3 * encoder.pos_enc(frames)[0])
    torch.testing.assert_close(output[0, :time], halved[0, :time])
    assert encoder.route_features(x, lengths).language.equal(routing.language)


def test_a_router_reads_a_third_partys_view():
    encoder = encoder_of(router="linear", router_input="encoders.Loudness")
    assert encoder.router.output.in_features == 1
    louder = encode(encoder, *features_of())[2].logits - encode(encoder_of(), *features_of())[2].logits
    assert louder.abs().max() > 0


def test_a_request_within_another_leaves_the_outer_one_as_it_was():
    encoder, other = encoder_of(), encoder_of(seed=1)
    batch = features_of()
    english, german = (LanguagePrior.allow([code], LANGUAGES) for code in ("en", "de"))
    with encoder.route(prior=english) as outer:
        with encoder.route(prior=german) as inner:
            encoder(*batch)
        other(*batch)  # another encoder's batches are not meant
        encoder(*batch)
    assert [len(outer), len(inner)] == [1, 1]
    valid = outer[0].valid
    assert (outer[0].language[valid] == LANGUAGES.index("en")).all()
    assert (inner[0].language[valid] == LANGUAGES.index("de")).all()


def test_a_prior_changes_over_time_as_the_frames_do():
    encoder = encoder_of(router="encoders.BrokenRouter")
    x, lengths = features_of()
    times = torch.arange(30.0).unsqueeze(0)
    prior = LanguagePrior.allow(["en 3:es"], LANGUAGES, times=times)
    _, output_lengths, routing = encode(encoder, x, lengths, prior=prior)
    for expert, length in zip(routing.language.tolist(), output_lengths.tolist()):
        assert expert[:length] == [0] * 3 + [2] * (length - 3)
