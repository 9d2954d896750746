"""LibriSpeech: English, read books. Those of its subsets that are there are read."""

from collections.abc import Iterator
from pathlib import Path

from shared.kaldi_tables import UserError

from corpora import Clip, read_lines

LAYOUT = "[LibriSpeech/]{train-clean-100,...,dev-clean,test-clean,...}/<speaker>/<chapter>/*.{flac,trans.txt}"
SUBSETS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "valid": ("dev-clean", "dev-other"),
    "test": ("test-clean", "test-other"),
}


def languages(root: Path, split: str) -> list[str]:
    return ["en"] if _subsets(root, split) else []


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    if not _subsets(root, split):
        raise UserError(f"{root} has none of {', '.join(SUBSETS[split])}: unpack at least one of them there")
    for subset in _subsets(root, split):
        for chapter in sorted(subset.glob("*/*/")):
            speaker = chapter.parent.name
            for source, line in read_lines(chapter / f"{speaker}-{chapter.name}.trans.txt"):
                name, _, text = line.partition(" ")
                yield Clip(name, f"{chapter}/{name}.flac", text, "en", speaker, source)


def _subsets(root: Path, split: str) -> list[Path]:
    folders = (root / top / subset for top in ("LibriSpeech", "") for subset in SUBSETS[split])
    return [folder for folder in folders if folder.is_dir()]
