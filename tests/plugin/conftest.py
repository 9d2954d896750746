"""One tiny model, built and written once for all tests of the plugin."""

import pytest
import torch
from hypothesis import settings
from tiny import TinyModel, build_model, write_training_config

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
