"""The encoder against ESPnet's encoders and against plain mathematics; routing, padding, pruning, front ends."""

import gc
import itertools

import pytest
import reference
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.encoder.transformer_encoder import TransformerEncoder
from torch.nn import functional as F

from espnet_blrmoe import AbsRouter, LanguagePrior, router_choices
from espnet_blrmoe.espnet_internals import TooShortUttError
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.experts import ExpertLinear
from espnet_blrmoe.model.router import LinearRouter, TDNNRouter
from espnet_blrmoe.model.routing import Routing

LANGUAGES = ("en", "de", "es")
WIDTH = 40  # of the features
LENGTHS = (61, 34, 50)
BLOCK_TYPES = ("transformer", "conformer")

# (kernel, stride) over time of every convolution of an `input_layer`.
CONVOLUTIONS = {
    "linear": [],
    "conv1d2": [(3, 1), (3, 2)],
    "conv2d": [(3, 2), (3, 2)],
    "conv2d1": [(3, 1), (3, 1)],
    "conv2d2": [(3, 2), (3, 1)],
    "conv2d6": [(3, 2), (5, 3)],
    "conv2d8": [(3, 2), (3, 2), (3, 2)],
    "dwconv2d": [(3, 2), (3, 2)],
    "dwconv2d8": [(3, 2), (3, 2), (3, 2)],
}


class FixedRouter(AbsRouter):
    """Routes any batch of B utterances by fixed random logits: frames of one utterance differ from each other."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.register_buffer("logits", torch.randn(8, 100, num_languages))

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(x), : x.size(1)]


class BrokenRouter(AbsRouter):
    """Must not be called."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the router was called")


@pytest.fixture(autouse=True)
def third_party_routers(monkeypatch):
    monkeypatch.setitem(router_choices.classes, "fixed", FixedRouter)
    monkeypatch.setitem(router_choices.classes, "broken", BrokenRouter)


def encoder_of(seed: int = 0, **options) -> BLRMoEEncoder:
    """A small encoder in evaluation mode, without dropout."""
    options = {
        "input_size": WIDTH,
        "languages": LANGUAGES,
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 12,
        "num_shared_blocks": 1,
        "num_moe_blocks": 2,
        "cnn_module_kernel": 5,
        "input_layer": "dwconv2d",
        "router": "tdnn",
        **options,
    }
    if options["router"] == "tdnn":
        options.setdefault("router_conf", {"channels": 8, "layers": 2, "dropout_rate": 0.0})
    dropouts = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0}
    torch.manual_seed(seed)
    return BLRMoEEncoder(**options, **dropouts).eval()


def features_of(lengths=LENGTHS, padding: float = 0.0, extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, WIDTH) random features and (B,) their lengths; the padding is noise of that scale."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(lengths), max(lengths), WIDTH, generator=generator)
    x = F.pad(x, (0, 0, 0, extra))
    valid = torch.arange(x.size(1)) < torch.tensor(lengths).unsqueeze(1)
    noise = padding * torch.randn(x.shape, generator=generator)
    return torch.where(valid.unsqueeze(-1), x, noise), torch.tensor(lengths)


def encode(encoder: BLRMoEEncoder, x: torch.Tensor, lengths: torch.Tensor, **known):
    """Encoder output, its lengths and the Routing."""
    with encoder.route(**known) as routings:
        output, output_lengths, _ = encoder(x, lengths)
    assert len(routings) == 1
    return output, output_lengths, routings[0]


# ------------------------------------------------------------------------------------------------ plain references


def espnet_encoder(block_type: str, input_layer: str):
    options = {"input_size": WIDTH, "output_size": 8, "attention_heads": 2, "linear_units": 12, "num_blocks": 3}
    torch.manual_seed(3)
    if block_type == "transformer":
        return TransformerEncoder(input_layer=input_layer, **options).eval()
    conformer = {"macaron_style": True, "rel_pos_type": "latest", "cnn_module_kernel": 5}
    encoder = ConformerEncoder(input_layer=input_layer, **conformer, **options).eval()
    for block in encoder.encoders:  # as if trained
        torch.nn.init.uniform_(block.conv_module.norm.running_mean, -0.5, 0.5)
        torch.nn.init.uniform_(block.conv_module.norm.running_var, 0.5, 2.0)
    return encoder


def load_into_every_expert(encoder: BLRMoEEncoder, weights: dict[str, torch.Tensor]) -> None:
    """Give a dense encoder's weights to the shared parts and to every expert; all of them must be used."""
    own = encoder.state_dict()
    used = set()
    for name, value in own.items():
        source = name.replace("embed.layer.", "embed.")
        if not name.startswith("router.") and name != "language_codes":
            own[name] = weights[source].expand_as(value)
            used.add(source)
    assert used == set(weights)
    encoder.load_state_dict(own)


ESPNET_INPUT_LAYERS = ["conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8"]


@pytest.mark.parametrize(
    ("block_type", "input_layer"),
    [*itertools.product(BLOCK_TYPES, ESPNET_INPUT_LAYERS), ("transformer", "conv1d2"), ("transformer", "linear")],
)
@pytest.mark.parametrize("num_languages", [1, 3])
def test_equal_experts_equal_espnets_dense_encoder(block_type, input_layer, num_languages):
    dense = espnet_encoder(block_type, input_layer)
    encoder = encoder_of(
        languages=LANGUAGES[:num_languages],
        block_type=block_type,
        input_layer=input_layer,
        attention_experts="qkvo",
        router="fixed",
    )
    load_into_every_expert(encoder, dense.state_dict())
    x, lengths = features_of([61, 61])
    output, output_lengths, routing = encode(encoder, x, lengths)
    assert len(routing.expert.unique()) == num_languages
    expected, expected_lengths, _ = dense(x, lengths)
    assert output_lengths.equal(expected_lengths)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ffn_experts", [True, False])
@pytest.mark.parametrize("attention_experts", ["", "v", "k", "vo", "qk", "qkvo"])
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_every_frame_passes_its_own_experts(block_type, attention_experts, ffn_experts):
    encoder = encoder_of(
        block_type=block_type, attention_experts=attention_experts, ffn_experts=ffn_experts, router="fixed"
    )
    weights = {name: value.detach() for name, value in encoder.state_dict().items()}
    parts = {"self_attn.linear_" + ("out" if part == "o" else part): part in attention_experts for part in "qkvo"}
    for part, has_experts in {**parts, "feed_forward.w_1": ffn_experts, "feed_forward.w_2": ffn_experts}.items():
        assert weights[f"encoders.0.{part}.weight"].dim() == 2  # the shared block
        assert weights[f"encoders.1.{part}.weight"].dim() == 2 + has_experts
    x, lengths = features_of()
    output, output_lengths, _ = encode(encoder, x, lengths)
    assert (output[~(torch.arange(output.size(1)) < output_lengths.unsqueeze(1))] == 0).all()
    for b, length in enumerate(lengths):
        frames, (time,) = encoder.embed(x[b : b + 1, :length], length.unsqueeze(0))
        frames, pos_emb = encoder.pos_enc(frames) if block_type == "conformer" else (encoder.pos_enc(frames), None)
        expert = encoder.router.logits[b, :time].argmax(dim=-1)
        expected = reference.encode(weights, block_type, 2, frames[0], pos_emb, expert)
        torch.testing.assert_close(output[b, :time], expected, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------------------------------- padding and batching

ENCODERS = [
    {"block_type": block_type, "router": router, "router_input": router_input}
    for block_type, router, router_input in itertools.product(
        BLOCK_TYPES, ["linear", "tdnn"], ["features", "subsampled", "shared"]
    )
]


def as_id(options: dict) -> str:
    return "-".join(map(str, options.values()))


def undecided_encoder(**options) -> BLRMoEEncoder:
    """An encoder whose router prefers no language on average, so that utterances are of several languages."""
    encoder = encoder_of(**options)
    routing = encoder.route_features(*features_of())
    with torch.no_grad():
        encoder.router.output.bias -= routing.logits[routing.valid].mean(dim=0)
    return encoder


@pytest.mark.parametrize("options", ENCODERS, ids=as_id)
def test_padding_never_changes_a_result(options):
    encoder = undecided_encoder(**options)
    output, lengths, routing = encode(encoder, *features_of())
    assert (routing.frame_counts().sum(dim=0) > 0).sum() > 1
    noisy_output, noisy_lengths, noisy_routing = encode(encoder, *features_of(padding=100.0, extra=29))
    assert noisy_lengths.equal(lengths)
    assert noisy_output.shape == output.shape
    assert noisy_routing.frame_counts().equal(routing.frame_counts())
    torch.testing.assert_close(noisy_output, output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", ENCODERS, ids=as_id)
def test_a_batch_of_one_equals_a_batch(options):
    encoder = undecided_encoder(**options)
    x, lengths = features_of()
    output, output_lengths, routing = encode(encoder, x, lengths)
    for b, length in enumerate(lengths):
        alone, alone_lengths, alone_routing = encode(encoder, x[b : b + 1, :length], length.unsqueeze(0))
        assert alone_lengths.equal(output_lengths[b : b + 1])
        torch.testing.assert_close(alone[0], output[b, : output_lengths[b]], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone_routing.utterance_probs[0], routing.utterance_probs[b])


def test_batch_statistics_of_training_leave_padding_out():
    encoder = encoder_of(block_type="conformer", label_routing=1.0).train()
    norm = encoder.encoders[0].conv_module.norm
    norm.momentum = 1.0  # the running mean is that of the newest batch
    x, lengths = features_of()
    _, output_lengths, _ = encode(encoder, x, lengths)
    mean_of_batch = norm.running_mean.clone()
    means = []
    for b, length in enumerate(lengths):
        encode(encoder, x[b : b + 1, :length], length.unsqueeze(0))
        means.append(norm.running_mean.clone())
    expected = (torch.stack(means) * output_lengths.unsqueeze(1)).sum(dim=0) / output_lengths.sum()
    torch.testing.assert_close(mean_of_batch, expected)


# --------------------------------------------------------------------------------------------------- language priors


def test_a_prior_of_all_languages_changes_nothing():
    encoder = encoder_of()
    x, lengths = features_of()
    free, _, _ = encode(encoder, x, lengths)
    allowed, _, _ = encode(encoder, x, lengths, prior=LanguagePrior.allow([LANGUAGES], LANGUAGES))
    assert allowed.equal(free)


@pytest.mark.parametrize("codes", [["de"], ["de", "es", "en"]], ids=["batch", "utterance"])
def test_one_language_alone_needs_no_router(codes):
    encoder = encoder_of(router="broken")
    x, lengths = features_of()
    _, _, routing = encode(encoder, x, lengths, prior=LanguagePrior.allow(codes, LANGUAGES))
    expected = torch.tensor([LANGUAGES.index(code) for code in codes]).expand(len(x))
    assert routing.expert.equal(expected.unsqueeze(1).expand_as(routing.expert))
    assert routing.utterance_probs.equal(F.one_hot(expected, len(LANGUAGES)).float())
    with pytest.raises(AssertionError, match="the router was called"):
        encode(encoder, x, lengths, prior=LanguagePrior.allow([["en", "de"]], LANGUAGES))


def test_no_frame_goes_outside_the_allowed_languages():
    encoder = encoder_of(router="fixed")
    allowed = [["en", "es"], ["de", "es"], ["de"]]
    _, _, routing = encode(encoder, *features_of(), prior=LanguagePrior.allow(allowed, LANGUAGES))
    for counts, probs, codes in zip(routing.frame_counts(), routing.utterance_probs, allowed):
        outside = [language not in codes for language in LANGUAGES]
        assert counts[outside].sum() == 0
        assert probs[outside].sum() == 0
        assert (counts > 0).sum() == len(codes)  # and the allowed ones still compete
        torch.testing.assert_close(probs.sum(), torch.tensor(1.0))


def test_within_the_allowed_languages_the_router_decides():
    encoder = encoder_of(router="fixed")
    _, _, routing = encode(encoder, *features_of(), prior=LanguagePrior.allow(["en,es"], LANGUAGES))
    batch, time = routing.expert.shape
    for b, t in itertools.product(range(batch), range(time)):
        en, _, es = encoder.router.logits[b, t]
        assert routing.expert[b, t] == (0 if en > es else 2)


# ------------------------------------------------------------------------------------------------ routing in training


def test_routing_by_label_and_by_prediction():
    labels = torch.tensor([2, 0, 1])
    by_label = encoder_of(router="fixed", label_routing=1.0).train()
    _, _, routing = encode(by_label, *features_of(), labels=labels)
    assert routing.expert.equal(labels.unsqueeze(1).expand_as(routing.expert))
    by_prediction = encoder_of(router="fixed", label_routing=0.0).train()
    _, _, routing = encode(by_prediction, *features_of(), labels=labels)
    assert routing.expert.equal(routing.logits.argmax(dim=-1))


def test_labels_do_not_route_in_evaluation():
    encoder = encoder_of(router="fixed", label_routing=1.0)
    _, _, routing = encode(encoder, *features_of(), labels=torch.tensor([2, 0, 1]))
    assert routing.expert.equal(routing.logits.argmax(dim=-1))


def test_mixed_routing_takes_whole_utterances_either_way():
    encoder = encoder_of(router="fixed", label_routing=0.5).train()
    torch.manual_seed(0)
    by_label = []
    for _ in range(20):
        labels = torch.tensor([2, 0, 1])
        _, _, routing = encode(encoder, *features_of(), labels=labels)
        predicted = routing.logits.argmax(dim=-1)
        for expert, label, prediction in zip(routing.expert, labels, predicted):
            by_label.append(bool((expert == label).all()))
            assert by_label[-1] or expert.equal(prediction)
    assert 15 < sum(by_label) < 45  # of 60


# --------------------------------------------------------------------------------------------------------- front ends


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


# ------------------------------------------------------------------------------------------------------------ routers


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
    assert isinstance(encoder_of(router="fixed").router, FixedRouter)


# ------------------------------------------------------------------------------------- gradients, precision, mistakes


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_every_parameter_gets_a_gradient_from_a_batch_of_one_language(block_type):
    encoder = encoder_of(block_type=block_type, attention_experts="qkvo").train()
    output, _, routing = encode(encoder, *features_of(), labels=torch.tensor([1, 1, 1]))
    assert routing.permutation is None  # nothing to gather
    (output.square().sum() + routing.logits.square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
    expert_layers = [module for module in encoder.modules() if isinstance(module, ExpertLinear)]
    assert expert_layers
    for layer in expert_layers:
        assert layer.weight.grad[1].any()
        assert not layer.weight.grad[[0, 2]].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_a_training_step_in_half_precision(block_type, dtype):
    encoder = encoder_of(block_type=block_type, attention_experts="qkvo").train()
    expected, _, _ = encode(encoder, *features_of(), labels=torch.tensor([0, 1, 2]))
    weights = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad(expected, encoder.encoders.parameters(), weights)
    with torch.autocast("cpu", dtype):
        output, _, routing = encode(encoder, *features_of(), labels=torch.tensor([0, 1, 2]))
    assert routing.logits.dtype == torch.float32
    torch.testing.assert_close(output.float(), expected, atol=0.2, rtol=0.1)
    gradients = torch.autograd.grad(output, encoder.encoders.parameters(), weights.to(output.dtype))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    flat, expected_flat = (torch.cat([g.flatten() for g in every]) for every in (gradients, expected_gradients))
    assert torch.cosine_similarity(flat, expected_flat, dim=0) > 0.97


def test_a_compiled_encoder_gives_the_same_result():
    encoder = encoder_of(num_shared_blocks=0, num_moe_blocks=1)
    compiled = torch.compile(encoder, backend="aot_eager")
    for lengths in (LENGTHS, (40, 20)):
        expected, output = (model(*features_of(lengths))[0] for model in (encoder, compiled))
        torch.testing.assert_close(output, expected)
        gradients, expected_gradients = (
            torch.autograd.grad(y.square().sum(), encoder.encoders.parameters()) for y in (output, expected)
        )
        torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_type": "mamba"}, "block_type must be transformer or conformer, not 'mamba'"),
        ({"input_layer": "conv3d"}, "unknown input_layer: conv3d; choose one of linear, .*, dwconv2d, dwconv2d8"),
        ({"attention_experts": "vx"}, "attention_experts must be any of q, k, v and o, not 'x'"),
        ({"router_input": "audio"}, "router_input must be features, subsampled or shared, not 'audio'"),
        ({"router": "oracle"}, "router"),
        ({"languages": ["en", "de", "en"]}, "language 'en' is listed twice"),
        ({"languages": []}, "the list of languages is empty"),
        ({"languages": [False, "en"]}, r"language False is no string; .* as in \['no', 'en'\]"),  # YAML's [no, en]
        ({"attention_heads": 3}, r"output_size \(8\) must be a multiple of attention_heads \(3\)"),
        ({"block_type": "conformer", "cnn_module_kernel": 4}, "cnn_module_kernel must be odd, got 4"),
    ],
)
def test_mistakes_in_the_options(options, message):
    with pytest.raises(ValueError, match=message):
        encoder_of(**options)


@pytest.mark.parametrize("others", [["en", "de", "fr"], ["de", "en", "es"], ["en", "de"], ["en", "de", "zh-CN"]])
def test_a_checkpoint_of_other_languages_is_refused(others):
    message = f"the checkpoint's languages are en,de,es, the configuration's {','.join(others)}"
    with pytest.raises(RuntimeError, match=message):
        encoder_of(languages=others).load_state_dict(encoder_of().state_dict())


def test_a_checkpoint_of_the_same_languages_is_loaded():
    source, target = encoder_of(seed=1), encoder_of(seed=2)
    target.load_state_dict(source.state_dict())
    assert encode(target, *features_of())[0].equal(encode(source, *features_of())[0])


def test_routings_do_not_pile_up():
    def alive() -> int:
        gc.collect()
        return sum(isinstance(thing, Routing) for thing in gc.get_objects())

    encoder = encoder_of()
    batch = torch.randn(1, 40, WIDTH), torch.tensor([40])
    before = alive()
    encoder(*batch)
    with encoder.route() as routings:
        encoder(*batch)
        encoder(*batch)
    encoder(*batch)
    assert len(routings) == 2
    del routings
    assert alive() == before
