"""Recordings, and the decoding program on them."""

from pathlib import Path

import pytest
from recognition import BEST_PATH
from tiny import (
    write_data_dir,
)

from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.files.model_files import ModelFiles


@pytest.fixture
def recordings(tmp_path) -> Path:
    return write_data_dir(tmp_path / "data", ["en", "de", "zh-CN"])


@pytest.fixture
def decode(tiny_model, recordings, tmp_path):
    """Run the program in batches of two on the recordings; returns the folder of results."""

    def run(*options: str, model: ModelFiles = tiny_model, data: str | None = None) -> Path:
        arguments = {
            "output_dir": tmp_path / "decoded",
            "data_path_and_name_and_type": data or f"{recordings / 'wav.scp'},speech,sound",
            "asr_train_config": model.config,
            "asr_model_file": model.weights,
            "batch_size": 2,
            "num_workers": 0,
            "log_level": "WARNING",
            **BEST_PATH,
        }
        asr_inference.main([*(f"--{name}={value}" for name, value in arguments.items()), *options])
        return tmp_path / "decoded" / "1best_recog"

    return run
