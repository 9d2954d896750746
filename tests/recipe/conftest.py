"""A tiny run of the whole recipe, shared by the tests that look at what it leaves."""

import errno
from collections.abc import Callable
from pathlib import Path

import corpus_folders
import pytest
from recipe_run import TINY_CORPUS, TINY_TRAINING, RecipeRun, run_recipe


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory) -> RecipeRun:
    """`make demo` at tiny size: every stage on the embedded corpus, in a folder whose name shells, patterns, run.pl and
    YAML take for something else."""
    folder = tmp_path_factory.mktemp("demo") / "JOB 1: it's [a-z]* $HOME & (ü) #2"
    folder.mkdir()
    return run_recipe(folder, *TINY_CORPUS, *TINY_TRAINING)


@pytest.fixture
def fill_disk(monkeypatch) -> Callable[[str], None]:
    """Leaves no room for files of a name."""
    write_bytes = Path.write_bytes

    def fill(name: str) -> None:
        def until_the_disk_is_full(path: Path, content: bytes) -> int:
            if path.name.startswith(name):
                write_bytes(path, content[: len(content) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
            return write_bytes(path, content)

        monkeypatch.setattr(Path, "write_bytes", until_the_disk_is_full)

    return fill


@pytest.fixture
def root(tmp_path):
    return tmp_path / "corpus"


@pytest.fixture
def ours(tmp_path):
    """The option that names a manifest in German."""
    return f"manifest={corpus_folders.manifest(tmp_path / 'ours')}"
