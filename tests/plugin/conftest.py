"""One tiny model, built and written once for all tests of the plugin."""

import pytest
import torch
from hypothesis import settings
from tiny import CONFIG, TinyModel, build_model, write_training_config

# The same examples in every run, and no deadline: machines differ in speed.
settings.register_profile("plugin", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("plugin")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> TinyModel:
    """The tiny model with random weights."""
    folder = tmp_path_factory.mktemp("asr")
    config = write_training_config(folder)
    weights = folder / "valid.loss.best.pth"
    torch.save(build_model(config).state_dict(), weights)
    return TinyModel(config, weights)


@pytest.fixture(scope="session")
def conformer(tmp_path_factory) -> TinyModel:
    """A model with the running statistics of batch normalisation, that is, with buffers that training moves."""
    folder = tmp_path_factory.mktemp("conformer")
    encoder_conf = {**CONFIG["encoder_conf"], "block_type": "conformer", "router_input": "shared"}
    config = write_training_config(folder, encoder_conf=encoder_conf)
    torch.save(build_model(config).state_dict(), folder / "valid.loss.best.pth")
    return TinyModel(config, folder / "valid.loss.best.pth")
