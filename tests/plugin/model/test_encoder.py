"""The encoder against ESPnet's encoders and against plain mathematics; padding and batching."""

import itertools
from importlib.metadata import version

import pytest
import reference
import torch
from encoders import BLOCK_CONFS, BLOCK_TYPES, LANGUAGES, WIDTH, encode, encoder_of, features_of
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder
from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

from espnet_blrmoe.model import packing
from espnet_blrmoe.model.encoder import BLRMoEEncoder

ENCODER_CLASSES = {
    "transformer": TransformerEncoder, "conformer": ConformerEncoder, "e_branchformer": EBranchformerEncoder,
}  # fmt: skip


def espnet_encoder(block_type: str, input_layer: str = "conv2d", **block_conf):
    """ESPnet's encoder with the same options, in evaluation mode, as if trained."""
    options = {"input_size": WIDTH, "output_size": 8, "attention_heads": 2, "linear_units": 12, "num_blocks": 3}
    if block_type == "conformer":
        options |= {"macaron_style": True, "rel_pos_type": "latest"}
    if block_type == "e_branchformer":
        options |= {"use_ffn": True, "macaron_ffn": True}
    options |= BLOCK_CONFS.get(block_type, {}) | block_conf
    options.pop("cgmlp_experts", None)
    if options.get("rel_pos_type", "latest") is None:
        attention = "attention_layer_type" if block_type == "e_branchformer" else "selfattention_layer_type"
        options |= {"rel_pos_type": "latest", "pos_enc_layer_type": "abs_pos", attention: "selfattn"}
    torch.manual_seed(3)
    encoder = ENCODER_CLASSES[block_type](input_layer=input_layer, **options).eval()
    for name, buffer in encoder.named_buffers():
        if "running_" in name:
            torch.nn.init.uniform_(buffer, *((-0.5, 0.5) if name.endswith("mean") else (0.5, 2.0)))
    return encoder


def espnets(name: str) -> str:
    """ESPnet's name of a parameter of ours."""
    return name.replace("embed.layer.", "embed.")


def load_into_every_expert(encoder: BLRMoEEncoder, weights: dict[str, torch.Tensor]) -> None:
    """Give a dense encoder's weights to the shared parts and to every expert; all of them must be used."""
    own = encoder.state_dict()
    used = set()
    for name, value in own.items():
        if not name.startswith("router.") and name != "language_codes":
            own[name] = weights[espnets(name)].expand_as(value)
            used.add(espnets(name))
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
        router="encoders.FixedRouter",
    )
    load_into_every_expert(encoder, dense.state_dict())
    x, lengths = features_of([61, 61])
    output, output_lengths, routing = encode(encoder, x, lengths)
    assert len(routing.language.unique()) == num_languages
    expected, expected_lengths, _ = dense(x, lengths)
    assert output_lengths.equal(expected_lengths)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


BLOCK_OPTIONS = [
    ("transformer", {}),
    ("conformer", {"rel_pos_type": "legacy"}),
    ("conformer", {"rel_pos_type": None}),
    ("conformer", {"macaron_style": False, "use_cnn_module": False, "activation_type": "tanh"}),
    ("e_branchformer", {"rel_pos_type": "legacy"}),
    ("e_branchformer", {"rel_pos_type": None, "gate_activation": "relu"}),
    ("e_branchformer", {"use_linear_after_conv": True, "gate_activation": "swish", "merge_conv_kernel": 3}),
    ("e_branchformer", {"macaron_ffn": False, "ffn_activation_type": "relu", "cgmlp_experts": False}),
    ("e_branchformer", {"use_ffn": False, "cgmlp_conv_kernel": 1}),
    ("e_branchformer", {"use_ffn": True, "macaron_ffn": True, "merge_conv_kernel": 1}),
]


@pytest.mark.parametrize(("block_type", "block_conf"), BLOCK_OPTIONS, ids=str)
@pytest.mark.parametrize("num_languages", [1, 3])
def test_every_option_of_a_block_is_espnets_in_gradients_too(block_type, block_conf, num_languages):
    dense = espnet_encoder(block_type, **block_conf)
    encoder = encoder_of(
        languages=LANGUAGES[:num_languages],
        block_type=block_type,
        block_conf=BLOCK_CONFS.get(block_type, {}) | block_conf,
        input_layer="conv2d",
        attention_experts="qkvo",
        router="encoders.FixedRouter",
    )
    load_into_every_expert(encoder, dense.state_dict())
    x, lengths = features_of([61])
    output, (expected, *_) = encode(encoder, x, lengths)[0], dense(x, lengths)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(expected)
    ours, theirs = list(encoder.encoders.named_parameters()), dict(dense.encoders.named_parameters())
    gradients = torch.autograd.grad(output, [parameter for _, parameter in ours], weights)
    expected_gradients = torch.autograd.grad(expected, list(theirs.values()), weights)
    expected_of = dict(zip(theirs, expected_gradients))
    for (name, _), gradient in zip(ours, gradients):
        of_all = gradient if gradient.dim() == expected_of[name].dim() else gradient.sum(dim=0)
        torch.testing.assert_close(of_all, expected_of[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.skipif(version("espnet") == "202511", reason="its convolutions read padding")
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_a_padded_batch_is_espnets_too(block_type):
    dense = espnet_encoder(block_type)
    options = {"block_type": block_type, "input_layer": "conv2d", "attention_experts": "qkvo"}
    encoder = encoder_of(**options, router="encoders.FixedRouter")
    load_into_every_expert(encoder, dense.state_dict())
    x, lengths = features_of()
    output, output_lengths, _ = encode(encoder, x, lengths)
    expected, expected_lengths, _ = dense(x, lengths)
    assert output_lengths.equal(expected_lengths)
    for own, other, length in zip(output, expected, output_lengths):
        torch.testing.assert_close(own[:length], other[:length], atol=1e-5, rtol=1e-5)


GROUPED = [*((block_type, {}) for block_type in BLOCK_TYPES), *(
    (block_type, {"rel_pos_type": "legacy"}) for block_type in ("conformer", "e_branchformer")
)]  # fmt: skip


@pytest.mark.parametrize(("block_type", "block_conf"), GROUPED, ids=str)
def test_utterances_attend_in_groups_on_a_gpu_and_alone_on_a_cpu_with_the_same_result(
    block_type, block_conf, monkeypatch
):
    encoder = encoder_of(block_type=block_type, block_conf=BLOCK_CONFS.get(block_type, {}) | block_conf)
    batch = features_of([61, 40, 57, 60])
    alone = encode(encoder, *batch)[0]
    monkeypatch.setattr(packing, "attention_groups", lambda lengths, _: packing.group_by_length(lengths))
    torch.testing.assert_close(encode(encoder, *batch)[0], alone)


@pytest.mark.parametrize("ffn_experts", [True, False])
@pytest.mark.parametrize("attention_experts", ["", "v", "k", "vo", "qk", "qkvo"])
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_every_frame_passes_its_own_experts(block_type, attention_experts, ffn_experts):
    experts = {"attention_experts": attention_experts, "ffn_experts": ffn_experts}
    encoder = encoder_of(block_type=block_type, router="encoders.FixedRouter", **experts)
    weights = {name: value.detach() for name, value in encoder.state_dict().items()}
    attention = "attn" if block_type == "e_branchformer" else "self_attn"
    parts = {f"{attention}.linear_" + ("out" if part == "o" else part): part in attention_experts for part in "qkvo"}
    parts |= {"feed_forward.w_1": ffn_experts, "feed_forward.w_2": ffn_experts}
    if block_type == "e_branchformer":
        parts |= {"cgmlp.channel_proj1.0": True, "cgmlp.channel_proj2": True}
    for part, has_experts in parts.items():
        assert weights[f"encoders.0.{part}.weight"].dim() == 2  # the shared block
        assert weights[f"encoders.1.{part}.weight"].dim() == 2 + has_experts
    x, lengths = features_of()
    output, output_lengths, _ = encode(encoder, x, lengths)
    assert (output[~(torch.arange(output.size(1)) < output_lengths.unsqueeze(1))] == 0).all()
    for b, length in enumerate(lengths):
        frames, (time,) = encoder.embed(x[b : b + 1, :length], length.unsqueeze(0))
        frames, pos_emb = encoder.pos_enc(frames)
        expert = encoder.router.logits[b, :time].argmax(dim=-1)
        expected = reference.encode(weights, block_type, 2, frames[0], pos_emb, expert)
        torch.testing.assert_close(output[b, :time], expected, atol=1e-5, rtol=1e-5)


ENCODERS = [
    *(
        {"block_type": block_type, "router": router, "router_input": router_input}
        for block_type, router, router_input in itertools.product(
            BLOCK_TYPES, ["linear", "tdnn"], ["features", "subsampled", "shared"]
        )
    ),
    *(
        {"block_type": block_type, "block_conf": BLOCK_CONFS[block_type] | {"rel_pos_type": "legacy"}}
        for block_type in ("conformer", "e_branchformer")
    ),
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
    assert len(routing.language[routing.valid].unique()) > 1
    noisy_output, noisy_lengths, noisy_routing = encode(encoder, *features_of(padding=100.0, extra=29))
    assert noisy_lengths.equal(lengths)
    assert noisy_output.shape == output.shape
    assert noisy_routing.language[noisy_routing.valid].equal(routing.language[routing.valid])
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
