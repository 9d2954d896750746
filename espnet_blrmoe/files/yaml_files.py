"""Reading and writing YAML: nothing in a file is executed, and a mistake is one sentence that names the file."""

import textwrap
from pathlib import Path

import yaml
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

LONGEST_REASON = 200  # characters of what the parser says


class _AliasError(ValueError):
    pass


class _NoAliasLoader(yaml.SafeLoader):
    """Refuses aliases, with which a short file can stand for more than any memory holds; ESPnet saves none."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise _AliasError(f"has a YAML alias, *{self.peek_event().anchor}, which no saved configuration has")
        return super().compose_node(parent, index)


def read_mapping(path: Path, name: str | None = None, aliases: bool = False) -> dict:
    """Read a YAML file of 'option: value' lines.

    Args:
        path: the file.
        name: what messages call it; None: its path.
        aliases: allow YAML aliases, for files that their user has written.

    Raises:
        ValueError: it is missing, not YAML in UTF-8 or not a mapping, or has aliases.
    """
    name = name or str(path)
    if not path.is_file():
        raise ValueError(f"{name} {'is a folder' if path.is_dir() else 'does not exist'}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader if aliases else _NoAliasLoader)
    except _AliasError as error:
        raise ValueError(f"{name} {error}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # ValueError: not UTF-8, or no such date
        reason = textwrap.shorten(" ".join(str(error).split()), LONGEST_REASON, placeholder=" ...")
        raise ValueError(f"{name} is not YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a configuration: expected 'option: value' lines")
    return content


def write_mapping(path: Path, content: dict) -> None:
    """Write a YAML file that `read_mapping` reads."""
    path.write_text(yaml_no_alias_safe_dump(content, sort_keys=False), encoding="utf-8")
