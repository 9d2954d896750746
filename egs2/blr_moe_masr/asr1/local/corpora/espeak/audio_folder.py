"""A folder of synthesised speech: audio files, and of each data set a table of its clips, <set>.jsonl."""

import json
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import soundfile
import torch
from shared.kaldi_tables import write_table
from shared.write_data_dir import replacing

from espnet_blrmoe.progress import progress_bar

MADE_FROM = "made_from"  # file in the folder: what its audio was made from


class Recording(Protocol):
    """One recording to synthesise, a frozen dataclass; `file` is its path in the folder."""

    @property
    def id(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def domain(self) -> str: ...

    @property
    def speaker(self) -> str: ...

    @property
    def file(self) -> str: ...


# Synthesises a recording into its file below a folder; returns further fields of its clip, if it knows any.
Write = Callable[[Recording, Path], dict | None]


def make(folder: Path, data_sets: Mapping[str, Sequence[Recording]], write: Write, nj: int) -> None:
    """Synthesise data sets into a folder, unless it holds the same already; it appears whole or not at all.

    Args:
        folder: for the audio and the tables.
        data_sets: name -> its recordings; those of a set named router_... get no transcripts.
        nj: processes.

    Raises:
        UserError: the folder holds something else than such audio.
    """
    recordings = [r for own in data_sets.values() for r in own]
    fingerprint = blake2b(repr([[astuple(r) for r in own] for own in data_sets.values()]).encode()).hexdigest()
    if (folder / MADE_FROM).is_file() and (folder / MADE_FROM).read_text() == fingerprint:
        print(f"{folder}: has this audio already")
        return
    with replacing(folder) as unfinished:
        told = write_audio(recordings, write, unfinished, nj)
        write_table(unfinished / "wav.scp", {r.id: str(folder / r.file) for r in recordings})
        for name, own in data_sets.items():
            write_clips(unfinished / f"{name}.jsonl", own, told, transcribed=not name.startswith("router_"))
            seconds = sum(soundfile.info(unfinished / r.file).duration for r in own)
            print(f"{folder}: {name} has {len(own)} recordings of {len({r.speaker for r in own})} voices, "
                  f"{seconds / 3600:.2f} hours")
        (unfinished / MADE_FROM).write_text(fingerprint)


def write_audio(recordings: Sequence[Recording], write: Write, folder: Path, nj: int) -> dict[str, dict]:
    """Synthesise into files below the folder, side by side: id -> what `write` returned."""
    for place in {(folder / r.file).parent for r in recordings}:
        place.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(nj, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        # Ctrl-C reaches all processes, but this one ends the others, which are started here so that they ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        written = pool.map(partial(write, folder=folder), recordings, chunksize=16)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            told = progress_bar(written, total=len(recordings), desc="speaking", unit="recording", leave=False)
            return {r.id: fields or {} for r, fields in zip(recordings, told)}
        finally:
            pool.shutdown(cancel_futures=True)


def write_clips(
    table: Path, recordings: Iterable[Recording], told: Mapping[str, dict], transcribed: bool
) -> None:
    """Write the fields of `corpora.Clip`, a line of JSON for each recording."""
    with table.open("w", encoding="utf-8") as lines:
        for r in recordings:
            clip = {"name": r.id, "audio": r.file, "text": r.text if transcribed else None, "language": r.language,
                    "speaker": r.speaker, "domain": r.domain, "id": r.id, **told[r.id]}
            lines.write(json.dumps(clip, ensure_ascii=False) + "\n")
