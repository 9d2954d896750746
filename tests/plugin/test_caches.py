"""Libraries find a place for their caches, also without a home."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_blrmoe import caches

WITHOUT_NUMBAS_OWN = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator"}  # as if the installation were read-only


@pytest.fixture
def no_home(tmp_path, monkeypatch) -> Path:
    """A home in which nobody can write anything, since it is a file; returns the folder for temporary files."""
    (tmp_path / "home").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(variable, "")  # so that it is put back
        monkeypatch.delenv(variable)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def run(script: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)


def test_a_home_that_can_be_written_is_used(no_home, monkeypatch, tmp_path):
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    caches.find_place()
    assert "XDG_CACHE_HOME" not in os.environ and caches.model_folder() is None
    assert list(no_home.iterdir()) == []


@pytest.mark.parametrize("home", ["home", "home/of/a/user"])
def test_without_a_home_it_is_a_folder_of_the_users_own(no_home, monkeypatch, tmp_path, home):
    monkeypatch.setenv("HOME", str(tmp_path / home))
    caches.find_place()
    caches.find_place()
    [folder] = no_home.iterdir()
    assert folder.name == f"espnet_blrmoe-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["XDG_CACHE_HOME"] == os.environ["MPLCONFIGDIR"] == str(folder)
    assert caches.model_folder() == folder / "espnet_model_zoo"


def test_a_user_who_is_on_no_list_has_a_home_as_in_docker(no_home, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", os.environ.get("HOME", "~")))
    monkeypatch.delenv("HOME")
    caches.find_place()
    assert os.environ["HOME"] == "/"


def test_what_the_user_has_named_is_used(no_home, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    caches.find_place()
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "mine")
    assert caches.model_folder() == tmp_path / "mine/espnet_model_zoo"


@pytest.mark.parametrize("trap", [Path.touch, lambda path: path.symlink_to("/"), lambda path: path.mkdir(0o777)])
def test_a_folder_that_others_can_write_is_not_trusted(no_home, trap):
    umask = os.umask(0)
    trap(no_home / f"espnet_blrmoe-{os.getuid()}")
    os.umask(umask)
    caches.find_place()
    folder = Path(os.environ["XDG_CACHE_HOME"])
    assert folder.name != f"espnet_blrmoe-{os.getuid()}" and stat.S_IMODE(folder.lstat().st_mode) == 0o700


def test_without_any_place_everything_stays(no_home, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    caches.find_place()
    assert "XDG_CACHE_HOME" not in os.environ and caches.model_folder() is None


def test_a_model_is_loaded_without_a_home(no_home, tiny_model):
    script = f"from espnet_blrmoe import Speech2Text\nSpeech2Text.from_pretrained({str(tiny_model.config.parent)!r})"
    done = run(script, TMPDIR=str(no_home), **WITHOUT_NUMBAS_OWN)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(no_home.glob("*/numba"))


def test_where_numba_finds_no_place_the_message_says_what_to_set(tiny_model):
    script = f"""
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model
try:
    load_asr_model(ModelFiles.of_folder({str(tiny_model.config.parent)!r}))
except ValueError as error:
    print(error)
"""
    done = run(script, NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator")
    assert "NUMBA_CACHE_DIR" in done.stdout and "config" not in done.stdout
