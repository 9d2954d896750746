"""Packed models, real ones and such as attackers would make."""

import io
import tarfile
import zipfile
from pathlib import Path

import pack
import pytest
import yaml
from tiny import CONFIG

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.files.model_files import ModelFiles


def pack_model(model: ModelFiles, archive: Path) -> Path:
    results = archive.with_name("RESULTS.md")
    results.write_text("# RESULTS\n", encoding="utf-8")
    files = {"asr_train_config": model.config, "asr_model_file": model.weights, "results": results, "outpath": archive}
    pack.main([f"--{name}={path}" for name, path in files.items()])
    return archive


def model_files(config: dict | bytes = CONFIG, meta: dict | None = None) -> dict[str, bytes]:
    """Members of an archive that looks like a packed model."""
    meta = meta or {"yaml_files": {"asr_train_config": "config.yaml"}, "files": {"asr_model_file": "model.pth"}}
    config = config if isinstance(config, bytes) else yaml.safe_dump(config).encode()
    return {"meta.yaml": yaml.safe_dump(meta).encode(), "config.yaml": config, "model.pth": b"weights"}


def write_archive(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def expect_refusal(model_tag: str | Path, cache: Path, message: str) -> None:
    with pytest.raises(ValueError, match=f"^model {model_tag}: .*{message}"):
        Speech2Text.from_pretrained(model_tag, cache)
    assert list(cache.iterdir()) == []
