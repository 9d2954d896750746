"""Every training configuration of the recipe builds a model whose parameters all learn from one step."""

import argparse
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from recipe_run import RECIPE

import espnet_blrmoe  # noqa: F401 (registers)
from espnet_blrmoe.preprocessor import encode_label

CONFIGS = sorted(RECIPE.glob("conf/**/train_asr*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_training_step(path: Path):
    torch.manual_seed(0)
    options = vars(ASRTask.get_parser().parse_args(["--config", str(path)]))
    options["encoder_conf"] = {**options["encoder_conf"], "languages": ["de", "pt"]}
    options["token_list"] = ["<blank>", "<unk>", "a", "b", "<sos/eos>"]
    model = ASRTask.build_model(argparse.Namespace(**options)).train()
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
    assert {"loss_ctc", "loss_lid", "acc_lid", "acc_lid_utt"} <= stats.keys()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_scheduler_and_epochs_agree():
    for path in RECIPE.glob("conf/**/train_*.yaml"):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if config["scheduler"] == "onecyclelr":
            assert config["scheduler_conf"]["epochs"] == config["max_epoch"]
            assert config["scheduler_conf"]["steps_per_epoch"] == config["num_iters_per_epoch"]
