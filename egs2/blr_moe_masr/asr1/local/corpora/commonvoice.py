"""Common Voice, scripted speech of any release from 2019 on and spontaneous speech, and corpora in its layout.

Of scripted speech columns client_id (or speaker), path and sentence are read. Only test.tsv is needed of a corpus that
serves as an out-of-domain test. Of spontaneous speech, where one table has all splits, columns client_id, audio_file,
transcription and split are read.
"""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

from shared.kaldi_tables import UserError

from corpora import Clip, read_lines, read_tsv, require_columns, require_folder, unreadable

LAYOUT = (
    "<language>/{train,dev,test}.tsv and <language>/clips/*.mp3; or, of spontaneous speech, <folder>/audios/*.mp3 and "
    "<folder>/ss-corpus-<language>.tsv, with rows whose split is not 'unassigned'"
)
SPLITS = {"train": "train", "valid": "dev", "test": "test"}  # Common Voice's names
SPONTANEOUS = "ss-corpus-"  # tables of spontaneous speech: ss-corpus-<language>.tsv
LEVELS = 2  # a language's folder may be PATH, in PATH, or in a folder in PATH
OTHER_COLUMNS = "not a row of Common Voice: other columns than the first line"


def languages(root: Path, split: str) -> list[str]:
    folders, spontaneous = _find(root)
    scripted = [language for language, folder in folders.items() if _table(folder, split).is_file()]
    return list(dict.fromkeys(scripted + [code for code, table in spontaneous.items() if any(_rows(table, split))]))


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    folders, spontaneous = _find(root)
    for language in languages:
        if language in folders:
            yield from _read_scripted(folders[language], split, language)
        if language in spontaneous:
            yield from _read_spontaneous(spontaneous[language], split, language)


def _read_scripted(folder: Path, split: str, language: str) -> Iterator[Clip]:
    require_folder(folder / "clips")
    for source, row in read_tsv(_table(folder, split), ("path", "sentence")):
        if row is None:
            yield unreadable(source, language, OTHER_COLUMNS)
            continue
        # The first release leaves out the ending.
        path = row["path"] if "." in row["path"] else f"{row['path']}.mp3"
        yield Clip(
            name=re.sub(r"\.\w+$", "", path).removeprefix(f"common_voice_{language}_"),
            audio=f"{folder}/clips/{path}",
            text=row["sentence"],
            language=language,
            speaker=row.get("client_id") or row.get("speaker", ""),
            source=source,
        )


def _read_spontaneous(table: Path, split: str, language: str) -> Iterator[Clip]:
    """Clips of a split. Tags in brackets ([noise], [um]) are not words; [unclear] stands for some that are missing."""
    require_folder(table.parent / "audios")
    for source, row in _rows(table, split):
        if row is None:
            yield unreadable(source, language, OTHER_COLUMNS)
            continue
        text = row["transcription"]
        yield Clip(
            name=re.sub(r"\.\w+$", "", row["audio_file"]),
            audio=f"{table.parent}/audios/{row['audio_file']}",
            text=re.sub(r"\[[^]]*\]", " ", text),
            language=language,
            speaker=row["client_id"],
            source=source,
            problem=f"partly not transcribed: {text!r}" if "[unclear]" in text.lower() else "",
        )


def _rows(table: Path, split: str) -> Iterator[tuple[str, dict[str, str] | None]]:
    """A split's rows in a table of spontaneous speech, whose cells are in quotation marks where they have some, or line
    ends; None for those that cannot be read, which count as training.
    """
    rows = csv.DictReader((f"{line}\n" for _, line in read_lines(table)), delimiter="\t")
    columns = rows.fieldnames or []
    require_columns(table, ("client_id", "audio_file", "transcription", "split"), columns)
    last = 1
    try:
        for row in rows:
            first, last = last + 1, rows.line_num
            if max(str(cell).count("\t") for cell in row.values()) >= len(columns) - 1:  # it has swallowed a row
                raise UserError(f"{table}:{first}: a quotation mark is not closed; double it to have it in the text")
            whole = None not in row and None not in row.values()
            if (row["split"] if whole else "train") == SPLITS[split]:
                yield f"{table}:{rows.line_num}", row if whole else None
    except csv.Error as error:
        raise UserError(f"{table}:{rows.line_num}: {error}: is a quotation mark not closed?") from error


def _table(folder: Path, split: str) -> Path:
    return folder / f"{SPLITS[split]}.tsv"


def _find(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Language -> its folder of scripted speech, and language -> its table of spontaneous speech."""
    tables = _tables(root, LEVELS)
    spontaneous = [table for table in tables if table.name.startswith(SPONTANEOUS)]
    folders = dict.fromkeys(table.parent for table in tables if table not in spontaneous)
    return (
        _one_of_each((os.path.basename(os.path.abspath(folder)), folder) for folder in folders),
        _one_of_each((table.stem.removeprefix(SPONTANEOUS), table) for table in spontaneous),
    )


def _tables(folder: Path, levels: int) -> list[Path]:
    """The tables in a folder or, if it has none, in the folders in it. Those in a language's folder are not looked
    through: one of them may have a million clips.
    """
    tables = [table for split in SPLITS if (table := _table(folder, split)).is_file()]
    tables += sorted(folder.glob(f"{SPONTANEOUS}*.tsv"))
    if tables or not levels:
        return tables
    return [table for inside in sorted(folder.glob("*/")) for table in _tables(inside, levels - 1)]


def _one_of_each(found: Iterator[tuple[str, Path]]) -> dict[str, Path]:
    """Language -> path; raises UserError if a language has two."""
    paths: dict[str, Path] = {}
    for language, path in found:
        if language in paths:
            raise UserError(f"'{language}' is in {paths[language]} and in {path}: name the folder of one release, or "
                            "each as a corpus with a domain of its own (NAME:DOMAIN=PATH)")
        paths[language] = path
    return paths
