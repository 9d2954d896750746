"""Lists of paths in one option, with blanks between them."""

import os
import re


def split_paths(text: str) -> list[str]:
    """Split a list of paths, or of NAME=PATH, at its blanks, but not a path that has blanks itself and exists.

    Where several readings exist, the longest path is taken.

        split_paths("mls=/data/our recordings fleurs")  # ["mls=/data/our recordings", "fleurs"], if that folder exists
    """
    paths = []
    while text := text.lstrip():
        prefixes = [text[: word.end()] for word in re.finditer(r"\S+", text)]
        paths.append(next(filter(_is_there, reversed(prefixes)), prefixes[0]))
        text = text[len(paths[-1]):]
    return paths


def _is_there(path: str) -> bool:
    return os.path.exists(path) or os.path.exists(path.partition("=")[2])
