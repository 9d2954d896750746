"""Experts of low rank: one dense encoder, and each expert's difference from it."""

import pytest
import torch
from encoders import BLOCK_TYPES, LANGUAGES, encode, encoder_of, features_of

from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.prior import LanguagePrior


def low_rank_encoder(block_type: str = "transformer", trained: bool = True, **options) -> BLRMoEEncoder:
    """An encoder whose experts differ as they would after some training, or not yet."""
    encoder = encoder_of(block_type=block_type, expert_rank=3, attention_experts="qkvo", **options)
    for name, parameter in encoder.named_parameters():
        if trained and name.endswith(".up"):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    return encoder


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_all_experts_begin_as_the_dense_encoder_of_the_same_parameters(block_type):
    encoder = low_rank_encoder(block_type, trained=False, router="encoders.FixedRouter")
    dense = encoder_of(block_type=block_type, num_shared_blocks=3, num_moe_blocks=0)
    missing, unexpected = dense.load_state_dict(encoder.state_dict(), strict=False)
    assert all(name.startswith("router.") for name in missing)
    assert all(name.startswith("router.") or ".difference." in name for name in unexpected)
    output, _, routing = encode(encoder, *features_of())
    assert len(routing.language.unique()) == len(LANGUAGES)
    torch.testing.assert_close(output, encode(dense, *features_of())[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_trained_ones_are_full_experts_of_the_sums(block_type):
    encoder = low_rank_encoder(block_type, router="encoders.FixedRouter")
    full = encoder_of(block_type=block_type, attention_experts="qkvo", router="encoders.FixedRouter")
    weights = encoder.state_dict()
    for name in [name for name in weights if name.endswith(".difference.up")]:
        layer = name.removesuffix(".difference.up")
        difference = weights.pop(name) @ weights.pop(f"{layer}.difference.down")
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + difference
        weights[f"{layer}.bias"] = weights[f"{layer}.bias"].expand(len(difference), -1)
    full.load_state_dict(weights)
    (output, _, routing), (expected, *_) = encode(encoder, *features_of()), encode(full, *features_of())
    assert len(routing.language.unique()) == len(LANGUAGES)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept", [["de"], ["en", "es"]])
def test_pruned_to_some_languages_results_are_those_of_all_that_may_choose_only_these(kept):
    encoder = low_rank_encoder()
    with encoder.route(prior=LanguagePrior.allow([kept], LANGUAGES)):
        expected = encoder(*features_of())[0]
    size = sum(parameter.numel() for parameter in encoder.encoders.parameters())
    encoder.keep_languages(kept)
    assert sum(parameter.numel() for parameter in encoder.encoders.parameters()) < size
    torch.testing.assert_close(encode(encoder, *features_of())[0], expected)


def test_a_language_is_added_with_anothers_difference_or_none():
    encoder = low_rank_encoder()
    before = encoder.state_dict()
    encoder.add_language("fr", like="de")
    encoder.add_language("it")
    for name, value in encoder.state_dict().items():
        if ".difference." in name:
            assert value[:3].equal(before[name])
            assert value[3].equal(before[name][1])
            assert value[4].any() != name.endswith(".up")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_training_step_in_half_precision(dtype):
    encoder = low_rank_encoder().train()
    labels = torch.tensor([0, 1, 2])
    expected = encode(encoder, *features_of(), labels=labels)[0]
    with torch.autocast("cpu", dtype):
        output = encode(encoder, *features_of(), labels=labels)[0]
    torch.testing.assert_close(output.float(), expected, atol=0.3, rtol=0.1)
    gradients = torch.autograd.grad(output.float().square().sum(), encoder.encoders.parameters())
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert all(gradient.isfinite().all() for gradient in gradients)
