"""A place for what libraries keep between runs, also where a user has no home or cannot write in it."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

CACHES = "XDG_CACHE_HOME"  # environment variable that numba, the Hugging Face hub and others go by


def find_place() -> None:
    """Name libraries a folder of the user's among the temporary ones if their usual one, ~/.cache, cannot be written.

    Without any place numba, which computes the filters of ESPnet's front end, cannot be imported. Where there are no
    temporary files either, everything stays as it is. Again is harmless.
    """
    if not os.path.isabs(os.path.expanduser("~")):  # neither HOME nor the list of users names a home
        os.environ["HOME"] = "/"  # as Docker does: NLTK, which ESPnet imports, needs one
    if not _can_be_written(Path(os.environ.get(CACHES) or os.path.expanduser("~/.cache"))):
        with suppress(OSError):
            os.environ[CACHES] = str(_folder_of_the_user())
            os.environ.setdefault("MPLCONFIGDIR", os.environ[CACHES])  # matplotlib has a folder of its own in the home


def model_folder() -> Path | None:
    """The folder for models that are fetched; None: espnet_model_zoo's own, which may be in the home."""
    if _can_be_written(Path(os.path.expanduser("~/.cache"))) or CACHES not in os.environ:
        return None
    return Path(os.environ[CACHES], "espnet_model_zoo")


def _can_be_written(folder: Path) -> bool:
    """Whether a folder can be written, or made."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _folder_of_the_user() -> Path:
    """A folder that nobody else can have put something into: numba executes what it finds in its cache.

    Raises:
        OSError: there is no folder for temporary files.
    """
    folder = Path(tempfile.gettempdir(), f"espnet_blrmoe-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="espnet_blrmoe-"))
    return folder
