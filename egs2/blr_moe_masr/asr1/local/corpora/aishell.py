"""AISHELL-1: Mandarin, read sentences. Recordings without a transcript are ignored."""

from collections.abc import Iterator
from pathlib import Path

from shared.kaldi_tables import UserError

from corpora import Clip, read_lines

LAYOUT = "data_aishell/transcript/aishell_transcript_v0.8.txt and data_aishell/wav/{train,dev,test}/<speaker>/*.wav"
TRANSCRIPTS = "data_aishell/transcript/aishell_transcript_v0.8.txt"
FOLDERS = {"train": "train", "valid": "dev", "test": "test"}


def languages(root: Path, split: str) -> list[str]:
    return ["zh-CN"] if (root / TRANSCRIPTS).is_file() else []


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    wav = root / "data_aishell" / "wav"
    splits = {folder.name: folder.parent.name for folder in wav.glob("*/S*/")}  # speaker -> train, dev or test
    for source, line in read_lines(root / TRANSCRIPTS):
        name, _, text = line.partition(" ")
        speaker = name[6:11]  # of BAC009S0002W0122
        if speaker not in splits:
            archive = wav / f"{speaker}.tar.gz"
            todo = f"unpack {archive} and the others" if archive.is_file() else "unpack the corpus again"
            raise UserError(f"{source}: {wav}/* have no folder {speaker!r}: the corpus is half unpacked; {todo}")
        if splits[speaker] == FOLDERS[split]:
            yield Clip(name, f"{wav}/{FOLDERS[split]}/{speaker}/{name}.wav", text, "zh-CN", speaker, source)
