"""YAML is read without executing anything, and mistakes are told in one sentence."""

import pytest
from tiny import one_sentence

from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a configuration: expected 'option: value' lines"),
        (b"words", "is not a configuration: expected 'option: value' lines"),
        (b"- a\n- b\n", "is not a configuration: expected 'option: value' lines"),
        (b"a: [b\nc: :\n", "is not YAML: while parsing .*line 2"),
        (b"a: 2024-02-31\n", "is not YAML: day is out of range"),
        (b"\x80\x81", "is not YAML: 'utf-8' codec can't decode"),
        (b"a: " + b"[" * 10**5, "is not YAML: maximum recursion depth"),
        (b"a: !!python/name:os.mkdir\n", "is not YAML: could not determine a constructor"),
    ],
    ids=["empty", "a word", "a list", "syntax", "no such date", "not UTF-8", "deep", "code"],
)
@pytest.mark.parametrize("aliases", [False, True])
def test_a_file_that_is_not_a_configuration(tmp_path, content, message, aliases):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} {message}"):
        read_mapping(path, aliases=aliases)
    assert one_sentence(read_mapping, path, "its config").startswith("its config is not ")


def test_missing_files(tmp_path):
    assert one_sentence(read_mapping, tmp_path) == f"{tmp_path} is a folder"
    assert one_sentence(read_mapping, tmp_path / "config.yaml") == f"{tmp_path / 'config.yaml'} does not exist"


def test_aliases_are_for_files_that_their_user_wrote(tmp_path):
    (tmp_path / "config.yaml").write_text("a: &name [1]\nb: *name\n")
    assert "config.yaml has a YAML alias, *name" in one_sentence(read_mapping, tmp_path / "config.yaml")
    assert read_mapping(tmp_path / "config.yaml", aliases=True) == {"a": [1], "b": [1]}


def test_what_is_written_is_read_again_even_if_values_are_shared(tmp_path):
    shared = ["en", "de"]
    write_mapping(tmp_path / "config.yaml", {"languages": shared, "encoder_conf": {"languages": shared}})
    assert read_mapping(tmp_path / "config.yaml")["encoder_conf"] == {"languages": shared}
