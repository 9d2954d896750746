"""A router, a block and a router input of another package, named in a configuration alone, through run.sh."""

from pathlib import Path

import pytest
import torch
import yaml
from recipe_run import RECIPE, TINY_TRAINING, RecipeRun, run_recipe

PACKAGE = '''
import torch
from espnet_blrmoe import AbsRouter, AbsRouterInput
from espnet_blrmoe.model.blocks import TransformerBlock


class Router(AbsRouter):
    def __init__(self, input_size, num_languages, hidden=8):
        super().__init__()
        self.hidden = torch.nn.Linear(input_size, hidden)
        self.output = torch.nn.Linear(hidden, num_languages)

    def forward(self, x, valid):
        return self.output(self.hidden(x).relu())


class Block(TransformerBlock):
    """A Transformer block whose output has a scale of its own."""

    def __init__(self, options, scale=1.0, **others):
        super().__init__(options, **others)
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, x, frames, pos_emb):
        return self.scale * super().forward(x, frames, pos_emb)


class Halves(AbsRouterInput):
    """The first half of every frame after the front end."""

    def __init__(self, front_end, input_size, output_size):
        super().__init__()
        self.size = output_size // 2

    def forward(self, batch, shared):
        return batch.frames[..., : self.size]
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A folder with the package, as `pip install --target` leaves it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "ourparts").mkdir()
    (folder / "ourparts" / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    return folder


def write_config(path: Path, **encoder_conf) -> Path:
    base = RECIPE / "conf" / "train_asr.yaml"
    path.write_text(yaml.safe_dump({"base": str(base), "encoder_conf": encoder_conf}), encoding="utf-8")
    return path


def train(demo: RecipeRun, config: Path, package: Path, *options: str) -> RecipeRun:
    tag = ("--asr_config", str(config), "--asr_tag", config.stem)
    return run_recipe(demo.folder, *tag, *TINY_TRAINING, *options, PYTHONPATH=str(package))


def test_training_decoding_and_packing(tiny_demo, tmp_path, package):
    config = write_config(
        tmp_path / "ours.yaml",
        block_type="ourparts.Block",
        block_conf={"scale": 0.5},
        router="ourparts.Router",
        router_conf={"hidden": 6},
        router_input="ourparts.Halves",
    )
    run = train(tiny_demo, config, package, "--langs", "es pt", "--stage", "10", "--stop_stage", "12")
    assert run.exit_code == 0, run.output
    folder = tiny_demo.folder / "exp" / "asr_ours"
    weights = torch.load(folder / "model.pth", weights_only=True)
    assert weights["encoder.router.hidden.weight"].shape == (6, 144 // 2)
    assert weights["encoder.encoders.0.scale"] != 0.5  # trained
    assert (folder / "decode_asr" / "test_in" / "lang").is_file()


def test_a_package_that_is_not_there_is_named(tiny_demo, tmp_path, package):
    config = write_config(tmp_path / "missing.yaml", router="theirparts.Router", router_conf={})
    run = train(tiny_demo, config, package, "--stage", "11", "--stop_stage", "11")
    assert run.exit_code != 0
    message = "encoder_conf: router 'theirparts.Router' cannot be imported: No module named 'theirparts'"
    assert message in run.output
