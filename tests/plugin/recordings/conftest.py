"""A file with any content."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a file, and gives its path."""

    def write(content: bytes, name: str = "talk"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write
