"""FLEURS: 102 languages, as the archives of 2022 or the Hugging Face repository have it.

The tables have no header: id, file name, transcript, transcript in lower case without punctuation, its characters,
samples at 16 kHz, gender. Speakers are not told apart.
"""

from collections.abc import Iterator
from pathlib import Path

from corpora import Clip, read_lines, require_folder, unreadable

LAYOUT = "[data/]<language>_<region>/{train,dev,test}.tsv and .../audio/{train,dev,test}/*.wav"
FOLDERS = {"train": "train", "valid": "dev", "test": "test"}
RATE = 16000
# FLEURS's code where Common Voice's is not the part before the region.
CODES = {
    "cmn_hans_cn": "zh-CN", "yue_hant_hk": "yue", "ga_ie": "ga-IE", "hy_am": "hy-AM", "nb_no": "nb-NO",
    "ne_np": "ne-NP", "pa_in": "pa-IN", "sv_se": "sv-SE",
}  # fmt: skip


def languages(root: Path, split: str) -> list[str]:
    return [code for code, folder in _folders(root).items() if (folder / f"{FOLDERS[split]}.tsv").is_file()]


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    folders = _folders(root)
    for language in languages:
        audio = folders[language] / "audio" / FOLDERS[split]
        require_folder(audio, audio.with_name(f"{audio.name}.tar.gz"))
        # Of these tables the number of columns says whether a row is whole.
        for source, line in read_lines(folders[language] / f"{FOLDERS[split]}.tsv", distributed=False):
            cells = line.split("\t")
            if len(cells) != 7 or not cells[5].isdecimal():
                yield unreadable(source, language, f"not a row of FLEURS: {len(cells)} of 7 columns")
                continue
            _, name, text, _, _, samples, _ = cells
            yield Clip(
                name=name.removesuffix(".wav"),
                audio=f"{audio}/{name}",
                text=text,
                language=language,
                speaker="",
                source=source,
                duration=int(samples) / RATE,
            )


def _folders(root: Path) -> dict[str, Path]:
    """Language -> its folder."""
    folders = {table.parent for pattern in ("*_*/*.tsv", "data/*_*/*.tsv") for table in root.glob(pattern)}
    return {CODES.get(folder.name, folder.name.split("_")[0]): folder for folder in folders}
