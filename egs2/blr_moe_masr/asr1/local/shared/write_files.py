"""Writing files whole or not at all."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from shared.kaldi_tables import UserError

UNFINISHED = ".unfinished"  # behind the name of what is being written


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write files, and the folders that they need; they take their places, in this order, once all are written.

    Raises:
        UserError: there is no room or no permission; then none has been changed.
    """
    unfinished = {path: path.with_name(path.name + UNFINISHED) for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished[path].write_bytes(content.encode() if isinstance(content, str) else content)
        for path in contents:
            unfinished[path].replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; it is left as it was") from error
    finally:
        for own in unfinished.values():
            with suppress(OSError):
                own.unlink()
