"""Multilingual LibriSpeech, as flac or opus: eight languages, read books."""

from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_lines, require_folder, unreadable

LAYOUT = "mls_<language>[_opus]/{train,dev,test}/transcripts.txt and .../audio/<speaker>/<book>/*.flac (or .opus)"
FOLDERS = {"train": "train", "valid": "dev", "test": "test"}
CODES = {
    "dutch": "nl", "english": "en", "french": "fr", "german": "de",
    "italian": "it", "polish": "pl", "portuguese": "pt", "spanish": "es",
}  # fmt: skip


def languages(root: Path, split: str) -> list[str]:
    return [code for code, folder in _folders(root).items() if (folder / FOLDERS[split]).is_dir()]


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    folders = _folders(root)
    for language in languages:
        folder = folders[language]
        ending = "opus" if folder.name.endswith("_opus") else "flac"
        audio = folder / FOLDERS[split] / "audio"
        require_folder(audio, root / f"{folder.name}.tar.gz")
        for source, line in read_lines(folder / FOLDERS[split] / "transcripts.txt"):
            name, _, text = line.partition("\t")
            if name.count("_") != 2:
                yield unreadable(source, language, f"not a row of MLS: {line[:50]!r}")
                continue
            speaker, book, _ = name.split("_")
            yield Clip(name, f"{audio}/{speaker}/{book}/{name}.{ending}", text, language, speaker, source)


def _folders(root: Path) -> dict[str, Path]:
    """Language -> its folder, the one with flac if there are two."""
    folders = {}
    for name, code in CODES.items():
        for folder in (root / f"mls_{name}_opus", root / f"mls_{name}"):
            if folder.is_dir():
                folders[code] = folder
    return folders
