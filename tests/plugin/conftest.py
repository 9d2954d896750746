"""One tiny model, built and written once for all tests of the plugin."""

import pytest
import torch
from espnet2.tasks.asr import ASRTask
from hypothesis import settings
from tiny import CONFIG, write_model, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.files.model_files import ModelFiles

# The same examples in every run, and no deadline: machines differ in speed.
settings.register_profile("plugin", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("plugin")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> ModelFiles:
    """The tiny model with random weights."""
    return write_model(tmp_path_factory.mktemp("asr"))


@pytest.fixture(scope="session")
def conformer(tmp_path_factory) -> ModelFiles:
    """A model with the running statistics of batch normalisation, that is, with buffers that training moves."""
    encoder_conf = {**CONFIG["encoder_conf"], "block_type": "conformer", "router_input": "shared"}
    return write_model(tmp_path_factory.mktemp("conformer"), encoder_conf=encoder_conf)


@pytest.fixture(scope="session")
def speech2text(tiny_model) -> Speech2Text:
    """A recogniser of the tiny model by its CTC's best path."""
    return Speech2Text(tiny_model.config, tiny_model.weights)


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory) -> ModelFiles:
    """A model of ESPnet's own."""
    folder = tmp_path_factory.mktemp("plain")
    encoder_conf = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    config = write_training_config(
        folder, encoder="transformer", encoder_conf=encoder_conf, model="espnet", preprocessor="default"
    )
    model = ASRTask.build_model_from_file(config)[0]
    torch.save(model.state_dict(), folder / "model.pth")
    return ModelFiles(config, folder / "model.pth")


@pytest.fixture(autouse=True)
def gradients():
    """ESPnet 202611's decoding program switches gradients off, for the rest of the process."""
    yield
    torch.set_grad_enabled(True)
