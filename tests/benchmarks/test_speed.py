"""The benchmark compares what it says it compares, and runs."""

import contestants
import measuring
import pytest
import speed
import torch

from espnet_blrmoe.model.experts import grouped_products

LENGTHS = torch.tensor([12, 7, 9])
WIDTH = 16


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(contestants, "SIZE", {"output_size": WIDTH, "attention_heads": 2, "linear_units": 24})
    monkeypatch.setattr(contestants, "NUM_SHARED_BLOCKS", 1)
    monkeypatch.setattr(contestants, "NUM_MOE_BLOCKS", 2)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("block_type", contestants.BLOCK_CONFS)
@pytest.mark.parametrize("experts", [contestants.LoopOverExperts, contestants.AllExpertsDense])
def test_the_slow_ways_give_the_same_result(block_type, experts):
    torch.manual_seed(0)
    plan = contestants.plan_of(LENGTHS.tolist(), num_experts=3, misrouted=0.3, seed=0)
    encoder = contestants.blr_moe(block_type, plan, 3)
    slow = contestants.naive(encoder, block_type, experts)
    # One utterance at a time: ESPnet's convolution module reads padding.
    for b, length in enumerate(LENGTHS.tolist()):
        x = torch.randn(1, length, WIDTH)
        encoder.router.plan = plan[b : b + 1]
        for module in slow.modules():
            if isinstance(module, contestants.LoopOverExperts):
                module.plan = plan[b : b + 1, :length]
        with torch.no_grad():
            expected = slow.eval()(x, LENGTHS[b : b + 1])[0]
            torch.testing.assert_close(encoder.eval()(x, LENGTHS[b : b + 1])[0], expected, rtol=1e-4, atol=1e-5)


def test_the_other_back_end_gives_the_same_result():
    plan = contestants.plan_of(LENGTHS.tolist(), num_experts=4, misrouted=0.3, seed=0)
    encoder = contestants.blr_moe("transformer", plan, 4).eval()
    x, used = torch.randn(3, 12, WIDTH), []

    def products(*arguments):
        used.append(arguments)
        return grouped_products(*arguments)

    output = contestants.by_products(encoder, products)(x, LENGTHS)[0]
    assert len(used) == 2 * 4  # blocks; V, O and the two of the feed-forward module
    torch.testing.assert_close(output, encoder(x, LENGTHS)[0])
    assert len(used) == 2 * 4


def test_a_plan_gives_every_utterance_a_language_and_misroutes_the_share_asked_for():
    plan = contestants.plan_of([1000] * 20, num_experts=8, misrouted=0.1, seed=0)
    language = plan.mode(dim=1, keepdim=True).values
    share = (plan != language).float().mean()
    assert 0.09 < share < 0.11
    assert len(language.unique()) > 3


SHORT = "--utterances 2 --rounds 1 --shorter 20 --threads 1 "


def test_every_table_is_printed(capsys):
    speed.main((SHORT + "--experts 2 3 4 --batch mixed").split())
    printed = capsys.readouterr().out
    for words in (
        "transformer, mixed batch: 2 utterances", "conformer, mixed batch", "e_branchformer, mixed batch",
        "dense (ESPnet)", "blr_moe, E = 4", "the same, rank 16, E = 4", "gradients",
        "TDNN router, E = 3", "naive loop, E = 3", "all experts, dense", "growth from E = 2 to 4", "dwconv2d8",
        "pruned to one language", "utterances of 0.5 s", "real-time factor",
    ):  # fmt: skip
        assert words in printed


def test_a_brief_table_has_the_dense_encoders_and_ours_full_and_of_low_rank(capsys):
    speed.main((SHORT + "--experts 3 --batch even --block_type transformer --tables encoder --brief").split())
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    dense = [speed.DENSE, *[speed.SDPA] * contestants.HAS_SDPA]
    assert rows == ["encoder", *dense, "blr_moe, E = 3", "the same, rank 16, E = 3"]


@pytest.mark.skipif(not contestants.HAS_SDPA, reason="needs ESPnet 202611")
@pytest.mark.parametrize("block_type", contestants.BLOCK_CONFS)
def test_the_dense_encoders_give_the_same_result(block_type):
    plain = contestants.dense(block_type)
    sdpa = contestants.dense(block_type, use_sdpa=True)
    sdpa.load_state_dict(plain.state_dict())
    x = torch.randn(3, 12, WIDTH)
    (expected, *_), (output, *_) = plain.eval()(x, LENGTHS), sdpa.eval()(x, LENGTHS)
    for own, other, length in zip(output, expected, LENGTHS):
        torch.testing.assert_close(own[:length], other[:length], rtol=1e-4, atol=1e-5)


class Linear(torch.nn.Linear):
    """An encoder that keeps its input, and its output for the loss."""

    def forward(self, x, lengths):
        return (super().forward(x),)


def test_memory_is_counted():
    batch = speed.Batch(torch.randn(1, 400, WIDTH), torch.tensor([400]))
    model = Linear(WIDTH, 1000)
    output = 4 * 400 * 1000
    assert speed.activations(model, batch, torch.float32) == batch.x.untyped_storage().nbytes() + output
    # The output, its square, and what their gradients are made of.
    assert 3 * output < measuring.peak(lambda: speed.train(model, batch, torch.float32), "cpu") < 6 * output
