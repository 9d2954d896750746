"""A language, and a model that has it."""

from pathlib import Path

import pytest
import torch
from added_language import OLD_TOKENS, add, write_texts

from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.weights import read_weights


@pytest.fixture(scope="session")
def french(tmp_path_factory) -> Path:
    return write_texts(tmp_path_factory.mktemp("fr") / "data", "fr")


@pytest.fixture(scope="session")
def extended(conformer, french, tmp_path_factory) -> ModelFiles:
    """The conformer with French, whose new tokens are more probable than all others, everywhere."""
    model = add(conformer, french, tmp_path_factory.mktemp("added") / "asr")
    weights = read_weights(model.weights)
    weights["ctc.ctc_lo.bias"][len(OLD_TOKENS) :] += 50.0
    torch.save(weights, model.weights)
    return model
