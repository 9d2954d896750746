"""An encoder in which languages share experts is one in which each of them has a copy."""

import itertools

import pytest
import torch
from encoders import BLOCK_TYPES, encode, encoder_of, features_of
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.experts import PackedExperts
from espnet_blrmoe.model.prior import LanguagePrior

LANGUAGES = ("es", "de", "pt", "fr")
IBERIAN = {"iberian": ["es", "pt"]}  # the first and the third language: the first of three experts


def encoder_with(experts: dict | None = IBERIAN, **options) -> BLRMoEEncoder:
    """A small encoder whose experts differ from each other, and whose router sends frames everywhere."""
    options = {"attention_experts": "qkvo", "router": "encoders.FixedRouter", "languages": LANGUAGES, **options}
    encoder = encoder_of(experts=experts, **options)
    for name, parameter in encoder.named_parameters():
        if name.endswith(".difference.up"):
            torch.nn.init.normal_(parameter)
    return encoder


def of_experts(encoder: BLRMoEEncoder) -> set[str]:
    """Names of the packed parameters."""
    layers = [(name, layer) for name, layer in encoder.named_modules() if isinstance(layer, PackedExperts)]
    return {f"{name}.{own}" for name, layer in layers for own, _ in layer.named_parameters()}


def rows_of(encoder: BLRMoEEncoder) -> list[int]:
    """The expert of each language, by the names."""
    return [encoder.groups.experts.index(name) for name in encoder.groups.names]


def with_copies(encoder: BLRMoEEncoder, **options) -> BLRMoEEncoder:
    """The same in which every language has an expert of its own."""
    whole = encoder_with(None, languages=encoder.languages, **options)
    weights, rows = encoder.state_dict(), rows_of(encoder)
    weights |= {name: weights[name][rows] for name in of_experts(encoder)}
    whole.load_state_dict({**weights, "language_codes": whole.language_codes})
    return whole


def expect_the_same(encoder: BLRMoEEncoder, whole: BLRMoEEncoder, batch: tuple, **known) -> None:
    """Output, Routing and all gradients: a shared expert's is the sum of its copies'."""
    (output, _, routing), (expected, _, own) = encode(encoder, *batch, **known), encode(whole, *batch, **known)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    assert routing.language[routing.valid].equal(own.language[own.valid]) and routing.logits.equal(own.logits)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    parameters, of_whole = dict(encoder.encoders.named_parameters()), dict(whole.encoders.named_parameters())
    gradients = torch.autograd.grad(output, list(parameters.values()), weights)
    expected_of = dict(zip(of_whole, torch.autograd.grad(expected, list(of_whole.values()), weights)))
    for name, gradient in zip(parameters, gradients):
        summed = expected_of[name]
        if f"encoders.{name}" in of_experts(encoder):
            summed = torch.zeros_like(gradient).index_add_(0, torch.tensor(rows_of(encoder)), summed)
        torch.testing.assert_close(gradient, summed, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("expert_rank", [None, 3])
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_results_and_gradients_are_those_with_a_copy_for_each_language(block_type, expert_rank):
    options = {"block_type": block_type, "expert_rank": expert_rank}
    encoder = encoder_with(**options)
    assert {len(parameter) for name, parameter in encoder.named_parameters() if name in of_experts(encoder)} == {3}
    expect_the_same(encoder, with_copies(encoder, **options), features_of())


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=5),
    st.lists(st.integers(10, 80), min_size=1, max_size=4),
    st.sampled_from([None, "labels", "prior"]),
)
def test_any_groups_any_lengths(group, lengths, known):
    languages = [f"l{n}" for n in range(len(group))]
    experts = {f"g{g}": [code for code, own in zip(languages, group) if own == g] for g in sorted(set(group))}
    encoder = encoder_with(experts, languages=languages, num_moe_blocks=1)
    generator = torch.Generator().manual_seed(len(lengths))
    options = {}
    if known == "labels":
        options["labels"] = torch.randint(len(languages), (len(lengths),), generator=generator)
        encoder.train()
    if known == "prior":
        options["prior"] = LanguagePrior.allow([languages[1:]], languages)
    whole = with_copies(encoder, num_moe_blocks=1).train(encoder.training)
    expect_the_same(encoder, whole, features_of(lengths), **options)


@pytest.mark.parametrize("experts", [{}, {"es": ["es"]}, {"pt": "pt", "de": "de"}])
def test_without_shared_experts_nothing_is_different(experts):
    plain, encoder = encoder_with(None), encoder_with(experts)
    assert list(encoder.state_dict()) == list(plain.state_dict())
    assert all(value.equal(plain.state_dict()[name]) for name, value in encoder.state_dict().items())
    assert encoder.groups.expert_of is None
    assert encode(encoder, *features_of())[0].equal(encode(plain, *features_of())[0])


def test_frames_are_sorted_by_expert():
    _, _, routing = encode(encoder_with(), *features_of())
    es, de, pt, fr = routing.language[routing.valid].bincount(minlength=4).tolist()
    assert min(es, de, pt, fr) > 0
    assert routing.frames.spans.counts == (es + pt, de, fr)
    assert routing.utterance_probs.shape == (3, 4)


def test_where_all_frames_go_to_one_expert_nothing_is_gathered():
    iberian = LanguagePrior.allow([["es", "pt"]], LANGUAGES)
    for encoder, known in ((encoder_with(), {"prior": iberian}), (encoder_with({"all": LANGUAGES}), {})):
        _, _, routing = encode(encoder, *features_of(), **known)
        assert routing.permutation is None
        assert len(routing.language[routing.valid].unique()) > 1  # the router still tells languages apart


SUBSETS = [list(codes) for n in (1, 2, 3, 4) for codes in itertools.combinations(LANGUAGES, n)]


@pytest.mark.parametrize("expert_rank", [None, 3])
@pytest.mark.parametrize("kept", SUBSETS, ids=",".join)
def test_pruned_results_are_those_of_the_whole_encoder_bit_for_bit(kept, expert_rank):
    encoder = encoder_with(router="linear", expert_rank=expert_rank)
    encoder.router.output.weight.data.mul_(20)
    with torch.no_grad():
        expected, _, whole = encode(encoder, *features_of(), prior=LanguagePrior.allow([kept], LANGUAGES))
        encoder.keep_languages(kept)
        output, _, routing = encode(encoder, *features_of())
    assert output.equal(expected)
    assert encoder.languages == tuple(kept)
    experts = {"iberian" if code in ("es", "pt") else code for code in kept}
    assert {len(value) for name, value in encoder.state_dict().items() if name in of_experts(encoder)} == {len(experts)}
    assert (routing.permutation is None) == (whole.permutation is None)
    again = encoder_with(encoder.groups.named(), languages=kept, router="linear", expert_rank=expert_rank)
    again.load_state_dict(encoder.state_dict())  # its configuration, as it is written


@pytest.mark.parametrize("group", [None, "iberian", "de"])
@pytest.mark.parametrize("like", [None, "pt", "fr"])
def test_a_language_is_added_with_an_expert_or_joins_one(like, group):
    encoder = encoder_with(router="linear")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.add_language("gl", like, group)
    assert encoder.languages == (*LANGUAGES, "gl")
    like_row = {"pt": 0, "fr": 2}.get(like)
    for name in of_experts(encoder):
        rows = encoder.state_dict()[name]
        assert len(rows) == (4 if group is None else 3)
        assert rows[:3].equal(before[name])
        if group is None:
            assert [row.equal(rows[3]) for row in rows[:3]] == [n == like_row for n in range(3)]
    classes = encoder.router.output.weight
    assert [row.equal(classes[4]) for row in classes[:4]] == [code == like for code in LANGUAGES]
    known = {"prior": LanguagePrior.allow([["gl"]], encoder.languages)}
    output, _, routing = encode(encoder, *features_of(), **known)
    counts = routing.frames.spans.counts
    assert counts.index(max(counts)) == {None: 3, "iberian": 0, "de": 1}[group]
    encoder.keep_languages(LANGUAGES)
    assert encoder.groups == encoder_with().groups
    after = encoder.state_dict()
    assert before.keys() == after.keys() and all(after[name].equal(value) for name, value in before.items())


def test_a_model_of_one_language_is_joined_by_another():
    encoder = encoder_with({"iberian": ["es"]}, languages=["es"])
    encoder.add_language("pt", group="iberian")
    assert encoder.router is not None
    assert str(encoder.groups) == "iberian (es, pt)"


@pytest.mark.parametrize("other", [None, {"iberian": ["es", "fr"]}, {"southern": ["es", "pt"]}])
def test_a_checkpoint_of_other_groups_is_refused(other):
    encoder = encoder_with()
    encoder_with().load_state_dict(encoder.state_dict())
    with pytest.raises(RuntimeError, match="the checkpoint's languages are es of iberian,de,pt of iberian,fr, "):
        encoder_with(other).load_state_dict(encoder.state_dict())


def test_printed_it_says_who_shares():
    assert "\n  experts: iberian (es, pt), de, fr\n" in str(encoder_with())
    assert "num_experts=3" in str(encoder_with())


def test_a_training_step_in_half_precision():
    encoder = encoder_with().train()
    labels = torch.tensor([0, 1, 2])
    expected = encode(encoder, *features_of(), labels=labels)[0]
    with torch.autocast("cpu", torch.bfloat16):
        output = encode(encoder, *features_of(), labels=labels)[0]
    torch.testing.assert_close(output.float(), expected, atol=0.2, rtol=0.1)
