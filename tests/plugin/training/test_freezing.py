"""What `freeze_param` names does not learn; a wrong name, or a wrong option of the model, ends in one sentence."""

import pytest
import torch
import yaml
from encoders import encoder_of
from tiny import CONFIG

from espnet_blrmoe.bin import asr_train
from espnet_blrmoe.training.freezing import freeze


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(2)
        self.norm12 = torch.nn.LayerNorm(2)
        self.w_1 = torch.nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("freeze_param", "frozen"),
    [
        ([], set()),
        (["0.norm1"], {"0.norm1.weight", "0.norm1.bias"}),
        (["0.w_1.bias"], {"0.w_1.bias"}),
        (["*.norm1"], {"0.norm1.weight", "0.norm1.bias", "1.norm1.weight", "1.norm1.bias"}),
        (["*.w_?.weight", "1.norm12.bias"], {"0.w_1.weight", "1.w_1.weight", "1.norm12.bias"}),
        (["[1-9].norm1*.weight"], {"1.norm1.weight", "1.norm12.weight"}),
    ],
)
def test_names_are_those_of_parameters_or_modules_or_patterns(freeze_param, frozen):
    model = torch.nn.ModuleList([Block(), Block()])
    freeze(model, freeze_param)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == frozen


@pytest.mark.parametrize("rank", [None, 2])
def test_what_languages_share_can_be_kept(rank):
    encoder = encoder_of(languages=("en", "de"), expert_rank=rank, router="tdnn")
    freeze(encoder, ["shared"])
    learning = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in learning} == {"encoders", "router"}
    experts = {name for name in learning if name.startswith("encoders")}
    assert all(len(encoder.get_parameter(name)) == 2 for name in experts)
    assert all((".difference." in name) == (rank is not None) for name in experts)
    assert len(experts) == 2 * 4 * 2  # MLE blocks; V, O and the feed-forward module's two; weight and bias, or two


@pytest.mark.parametrize("name", ["norm1", "0.norm", "0.norm1.", "2.*"])
def test_a_name_that_fits_nothing_is_a_mistake(name):
    with pytest.raises(ValueError, match="freeze_param: no parameter of the model is called "):
        freeze(torch.nn.ModuleList([Block(), Block()]), ["0.w_1", name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_param": ["encoder.embde"]}, "freeze_param: no parameter of the model is called encoder.embde"),
        (
            {"encoder_conf": {**CONFIG["encoder_conf"], "expert_rank": 17}},
            "encoder_conf: expert_rank is 17, but a matrix of 16 x 16 has a rank of 16 at most; make it smaller, or "
            "leave it out for full experts",
        ),
    ],
)
def test_a_training_ends_in_one_sentence(tmp_path, changes, message):
    (tmp_path / "options.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    options = ["--config", str(tmp_path / "options.yaml"), "--output_dir", str(tmp_path / "asr"), "--dry_run", "true"]
    with pytest.raises(SystemExit) as exit:
        asr_train.main(options)
    assert exit.value.code == f"asr_train: error: {message}"
