"""Uploading a packed model: what would be uploaded, and that only a sound zip is."""

import zipfile
from pathlib import Path

import pytest
import upload


@pytest.fixture
def hub(monkeypatch):
    """A hub that remembers what it gets: {path: content}."""
    uploaded = {}

    class Hub:
        def create_repo(self, repo: str, exist_ok: bool) -> None:
            pass

        def upload_folder(self, repo_id: str, folder_path: Path) -> None:
            files = [path for path in folder_path.rglob("*") if path.is_file()]
            uploaded.update({str(path.relative_to(folder_path)): path.read_bytes() for path in files})

    monkeypatch.setattr(upload, "HfApi", Hub)
    return uploaded


def write_zip(path: Path, **content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_a_dry_run_lists_the_files_and_uploads_nothing(tmp_path, hub, capsys):
    upload.main([str(write_zip(tmp_path / "model.zip", **{"meta.yaml": b"m", "exp/model.pth": b"w"}))])
    assert "meta.yaml\n" in (out := capsys.readouterr().out) and "exp/model.pth\n" in out and "dry run" in out
    assert hub == {}


def test_the_files_are_uploaded(tmp_path, hub):
    content = {"meta.yaml": b"m", "exp/model.pth": b"w"}
    upload.main([str(write_zip(tmp_path / "model.zip", **content)), "--repo", "me/model"])
    assert hub == content


def test_nothing_of_a_damaged_or_hostile_zip_is_uploaded(tmp_path, hub):
    model = write_zip(tmp_path / "model.zip", **{"meta.yaml": b"m", "../evil": b"e"})
    with pytest.raises(SystemExit, match="model.zip: it holds '../evil', a path outside its folder"):
        upload.main([str(model), "--repo", "me/model"])
    model.write_bytes(model.read_bytes()[:40])
    with pytest.raises(SystemExit, match="model.zip is not a zip, or is cut off: run stage 20 again"):
        upload.main([str(model), "--repo", "me/model"])
    with pytest.raises(SystemExit, match="does not exist: run stage 20 first"):
        upload.main([str(tmp_path / "missing.zip")])
    assert hub == {}
