"""A tiny model that was "trained" for streaming."""

from collections.abc import Sequence
from pathlib import Path

from dense import write_statistics
from tiny import CONFIG, LANGUAGES, write_model

from espnet_blrmoe.files.model_files import ModelFiles

CHUNK_MS = 128  # 4 of its frames
ENCODER = {
    **CONFIG["encoder_conf"],
    "block_type": "conformer",
    "block_conf": {"cnn_module_kernel": 5},
    "chunk_sizes": [4, None],
    "left_context": 8,
}


def write_streaming_model(folder: Path, languages: Sequence[str] = LANGUAGES, **changes) -> ModelFiles:
    """The model's folder, with random weights; `changes` replace options of CONFIG."""
    folder.mkdir(parents=True, exist_ok=True)
    statistics = write_statistics(folder / "feats_stats.npz", "running_mvn")
    return write_model(folder, **{"encoder_conf": {**ENCODER, "languages": list(languages)}, **statistics, **changes})
