"""Gradients, precision, compilation, checkpoints, and mistakes in the encoder's options."""

import gc

import pytest
import torch
from encoders import BLOCK_TYPES, LENGTHS, WIDTH, encode, encoder_of, features_of
from espnet2.torch_utils.initialize import initialize

from espnet_blrmoe.model.experts import ExpertLinear
from espnet_blrmoe.model.routing import Routing


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


@pytest.mark.parametrize("attention_experts", ["", "vo", "qkvo"])
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_autocast_leaves_double_precision_as_it_is(block_type, attention_experts):
    encoder = encoder_of(block_type=block_type, attention_experts=attention_experts).double().train()
    x, lengths = features_of()
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output, _, _ = encode(encoder, x.double(), lengths, labels=torch.tensor([0, 1, 2]))
            results.append((output, *torch.autograd.grad(output.square().sum(), encoder.encoders.parameters())))
    for value, expected in zip(*results):
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("experts", [None, {"west": ["en", "es"]}])
def test_a_compiled_encoder_gives_the_same_result(experts):
    encoder = encoder_of(num_shared_blocks=0, num_moe_blocks=1, experts=experts)
    compiled = torch.compile(encoder, backend="aot_eager")
    for lengths in (LENGTHS, (40, 20)):
        expected, output = (model(*features_of(lengths))[0] for model in (encoder, compiled))
        torch.testing.assert_close(output, expected)
        gradients, expected_gradients = (
            torch.autograd.grad(y.square().sum(), encoder.encoders.parameters()) for y in (output, expected)
        )
        torch.testing.assert_close(gradients, expected_gradients)


def test_espnet_initialisation_opens_the_gates_of_an_e_branchformer():
    encoder = encoder_of(**e_branchformer(use_linear_after_conv=True))
    initialize(encoder, "xavier_uniform")
    for block in encoder.encoders:
        for layer in (block.cgmlp.csgu.conv, block.cgmlp.csgu.linear):
            assert (layer.bias == 1).all() and 0 < layer.weight.abs().max() < 1e-5


def e_branchformer(**block_conf) -> dict:
    return {"block_type": "e_branchformer", "block_conf": block_conf}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_type": "mamba"}, "block_type must be transformer, conformer.* or the dotted path of .*, not 'mamba'"),
        ({"block_conf": {"width": 3}}, "block_conf: .*unexpected keyword argument 'width'"),
        ({"block_conf": {"activation_type": "sin"}}, "activation_type must be relu, .*, not 'sin'"),
        ({"input_layer": "conv3d"}, "unknown input_layer: conv3d; choose one of linear, .*, dwconv2d, dwconv2d8"),
        ({"attention_experts": "vx"}, "attention_experts must be any of q, k, v and o, as in vo, not 'vx'"),
        ({"attention_experts": 5}, "attention_experts must be any of q, k, v and o, as in vo, not 5"),
        ({"ffn_experts": "maybe"}, "ffn_experts must be true or false, not 'maybe'"),
        ({"label_routing": 5}, "label_routing must be a probability, from 0 to 1, not 5"),
        ({"label_routing": "abc"}, "label_routing must be a probability, from 0 to 1, not 'abc'"),
        ({"expert_rank": 9}, "encoder_conf: expert_rank is 9, but a matrix of 8 x 8 has a rank of 8 at most"),
        ({"expert_rank": 0}, "expert_rank must be a whole number, 1 or more, or null for full experts, not 0"),
        ({"expert_rank": 2.0}, "expert_rank must be a whole number, .* not 2.0"),
        ({"expert_rank": True}, "expert_rank must be a whole number, .* not True"),
        ({"router_input": "audio"}, "router_input must be features, subsampled, shared.* or the .*, not 'audio'"),
        ({"router": "oracle"}, "router must be linear, tdnn.* or the dotted path of a class, not 'oracle'"),
        ({"router": "nowhere.Router"}, "router 'nowhere.Router' cannot be imported: No module named 'nowhere'"),
        ({"router": "torch.nn.Router"}, "router 'torch.nn.Router' cannot be imported: .* no attribute 'Router'"),
        ({"router": "torch.nn.Linear"}, "router 'torch.nn.Linear' is not a subclass of AbsRouter"),
        ({"router": "torch.nn.init"}, "router 'torch.nn.init' is not a subclass of AbsRouter"),
        ({"block_type": "torch.nn.Linear"}, "block_type 'torch.nn.Linear' is not a subclass of AbsBlock"),
        ({"router_input": ".here"}, "router_input '.here' cannot be imported"),
        ({"languages": ["en", "de", "en"]}, "language 'en' is listed twice"),
        ({"languages": []}, "the list of languages is empty"),
        ({"languages": [False, "en"]}, r"language False is not a string; .* as in \['no', 'en'\]"),  # YAML's [no, en]
        ({"attention_heads": 3}, r"output_size \(8\) must be a multiple of attention_heads \(3\)"),
        ({"block_type": "conformer", "block_conf": {"cnn_module_kernel": 4}}, "cnn_module_kernel must be odd, not 4"),
        ({"block_type": "conformer", "block_conf": {"rel_pos_type": "new"}}, "rel_pos_type must be .* not 'new'"),
        (e_branchformer(merge_conv_kernel=2), "block_conf: merge_conv_kernel must be odd, not 2"),
        (e_branchformer(cgmlp_conv_kernel=2), "block_conf: cgmlp_conv_kernel must be odd, not 2"),
        (e_branchformer(cgmlp_linear_units=7), "block_conf: cgmlp_linear_units must be even, not 7"),
        (e_branchformer(gate_activation="sin"), "gate_activation must be relu, .*, not 'sin'"),
        (e_branchformer(ffn_activation_type="sin"), "ffn_activation_type must be relu, .*, not 'sin'"),
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
