"""NIST SPHERE files, as the LDC distributes them."""

import io
import re

from espnet_blrmoe.recordings.parts import Part
from espnet_blrmoe.recordings.unusable import cut_off, damaged, unreadable


def nist_parts(file: io.BufferedReader, path: str) -> list[Part]:
    """The recording in a SPHERE file.

    Raises:
        UnusableAudio: it is cut off, longer than it says, or compressed.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    header = file.read(1024).decode("latin-1")
    if "shorten" in header:
        raise unreadable(path, "it is compressed by shorten")
    fields = {name: int(number) for name, number in re.findall(r"^(\w+) -i (\d+)", header, re.MULTILINE)}
    announced = fields.get("sample_count", 0) * fields.get("channel_count", 1) * fields.get("sample_n_bytes", 2)
    begin = int(header[8:16].strip() or 0) if header[8:16].strip().isdigit() else 1024
    if announced > size - begin:
        raise cut_off(path, f"it has {size - begin:,} of the {announced:,} bytes of audio that it announces")
    if announced < size - begin:
        raise damaged(path, f"it announces {announced:,} bytes of audio, and {size - begin:,} follow")
    return [Part(is_plain=True)]
