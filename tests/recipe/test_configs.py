"""Every training configuration of the recipe builds at its size, and learns in all its parameters from one step."""

from pathlib import Path

import pytest
import torch
import yaml
from recipe_run import RECIPE

from espnet_blrmoe.bin.summary import complete
from espnet_blrmoe.languages import encode_label
from espnet_blrmoe.training.config_files import over
from espnet_blrmoe.training.footprint import build, count
from espnet_blrmoe.training.joining import Joining
from espnet_blrmoe.training.router_task import RouterTask

CONFIGS = sorted(RECIPE.glob("conf/**/train_asr*.yaml"))
TUNING = RECIPE / "conf" / "tuning"
EIGHT = [f"l{n}" for n in range(8)]
# What makes the models of conf/tuning small enough for a step in no time; all else is left as it is.
SMALL = {"output_size": 32, "attention_heads": 2, "linear_units": 48}
SMALL_DECODER = {"attention_heads": 2, "linear_units": 48, "num_blocks": 1}


def with_groups(path: Path, languages: list[str]) -> list[str]:
    """So many languages, among them those that the configuration names in groups."""
    groups = complete(path, languages, None)["encoder_conf"].get("experts") or {}
    named = [code for own in groups.values() for code in own]
    return [*named, *languages[len(named) :]]


def parameters(name: str) -> dict[str, int]:
    """Parameters of a configuration of conf/tuning with 8 languages and 1,000 tokens, in all and of the router."""
    with torch.device("meta"):
        model = build(complete(TUNING / f"{name}.yaml", EIGHT, 1000))
    router = getattr(model.encoder, "router", None)
    return {"all": count(model), "router": 0 if router is None else count(router)}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_builds_at_its_size(path: Path):
    with torch.device("meta"):
        assert count(build(complete(path, with_groups(path, EIGHT), 1000))) > 1e6


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_training_step(path: Path):
    torch.manual_seed(0)
    config = over(complete(path, with_groups(path, ["de", "pt"]), 5), {"encoder_conf": SMALL})
    if config["decoder"] == "transformer":
        config = over(config, {"decoder_conf": SMALL_DECODER})
    model = build(config).train()
    loss, stats, _ = model(
        speech=torch.randn(2, 16000),
        speech_lengths=torch.tensor([16000, 12000]),
        text=torch.tensor([[2, 3, 2], [3, 2, -1]]),
        text_lengths=torch.tensor([3, 2]),
        lid=torch.tensor([encode_label("de").tolist(), encode_label("pt").tolist()]),
        utt_id=["one", "two"],
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert "loss_ctc" in stats
    if config["model"] == "blr_moe":
        assert {"loss_lid", "acc_lid", "acc_lid_utt"} <= stats.keys()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_paper_size_router_has_some_11_million_parameters_more_than_the_linear_one():
    linear = 512 * len(EIGHT) + len(EIGHT)
    assert parameters("train_asr_paper")["router"] - linear == pytest.approx(11e6, rel=0.05)


def test_experts_are_where_the_names_say():
    sizes = {name: parameters(f"train_asr_{name}")["all"] for name in (
        "lr_moe", "attention_moe_v", "attention_moe_vo", "attention_moe_kq", "attention_moe_kqvo", "blr_moe_linear",
    )}  # fmt: skip
    projection = 6 * 7 * (256 * 256 + 256)  # 7 experts more in each of 6 blocks
    for name, projections in (("v", 1), ("vo", 2), ("kq", 2), ("kqvo", 4)):
        assert sizes[f"attention_moe_{name}"] - sizes["lr_moe"] == projections * projection
    assert sizes["blr_moe_linear"] == sizes["attention_moe_vo"]


def test_routers_are_what_the_names_say():
    linear, tdnn256, tdnn500 = (
        parameters(f"train_asr_{name}") for name in ("blr_moe_linear", "blr_moe_tdnn256", "blr_moe")
    )
    assert linear["router"] < tdnn256["router"] < tdnn500["router"]
    assert len({size["all"] - size["router"] for size in (linear, tdnn256, tdnn500)}) == 1


def test_scheduler_and_epochs_agree():
    for path in CONFIGS:
        config = complete(path, None, None)
        if config["scheduler"] == "onecyclelr":
            assert config["scheduler_conf"]["epochs"] == config["max_epoch"]
            assert config["scheduler_conf"]["steps_per_epoch"] == config["num_iters_per_epoch"]


def test_scheduler_and_epochs_of_fine_tunings_agree():
    for name in ("train_router", "train_language"):
        config = yaml.safe_load((RECIPE / "conf" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert config["scheduler_conf"]["epochs"] == config["max_epoch"]
        assert config["scheduler_conf"]["steps_per_epoch"] == config["num_iters_per_epoch"]


def test_the_router_is_trained_on_joined_pairs_as_long_of_every_language():
    config = RECIPE / "conf/train_router_joined.yaml"
    args = RouterTask.get_parser().parse_args([f"--config={config}", "--output_dir=router", "--model=asr"])
    RouterTask.check_required_command_args(args)
    assert Joining(**args.joined_conf).share > 0
    assert args.language_temperature == float("inf")
    assert args.encoder_conf["router"] == "tdnn"  # as in train_router.yaml
