"""Options that list paths."""

import pytest
from shared.path_lists import split_paths


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A current folder with some others in it."""
    for name in ("plain", "our recordings", "our", "it's [1:2] $x", "a=b c"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "paths"), [
    ("", []),
    ("plain", ["plain"]),
    (" plain \n nowhere\tour ", ["plain", "nowhere", "our"]),
    ("our recordings", ["our recordings"]),  # though there is a folder `our` too
    ("our plain", ["our", "plain"]),
    ("plain our recordings plain", ["plain", "our recordings", "plain"]),
    ("it's [1:2] $x our recordings", ["it's [1:2] $x", "our recordings"]),
    ("mls", ["mls"]),
    ("mls=our recordings commonvoice", ["mls=our recordings", "commonvoice"]),
    ("mls:read=it's [1:2] $x manifest=plain", ["mls:read=it's [1:2] $x", "manifest=plain"]),
    ("a=b c", ["a=b c"]),
    ("mls=no such folder", ["mls=no", "such", "folder"]),
])  # fmt: skip
def test_blanks_separate_paths_unless_one_with_blanks_exists(folders, text, paths):
    assert split_paths(text) == paths
