"""One tiny model, built and written once for all tests of the plugin."""

import pytest
from hypothesis import settings
from tiny import CONFIG, write_model

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
