"""ASCEND: conversations in Hong Kong that switch between Mandarin and English, as the Hugging Face repository
CAiRE/ASCEND has it.

Its audio is inside Parquet files, main/{train,validation,test}-*.parquet. `unpack` writes it to files in the layout in
which the corpus was distributed before: {train,validation,test}_metadata.csv with file_name (waves/*.wav),
transcription, language (zh, en or mixed), original_speaker_id and more.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from shared.kaldi_tables import UserError
from shared.write_files import write_files

from corpora import Clip, read_lines, require_columns, unreadable
from espnet_blrmoe.progress import progress_bar

LAYOUT = "main/{train,validation,test}-*.parquet, or {train,validation,test}_metadata.csv and waves/*.wav"
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
LANGUAGES = {"zh": ("zh-CN",), "en": ("en",), "mixed": ("zh-CN", "en")}
COLUMNS = ("file_name", "transcription", "language", "original_speaker_id")
# In the repository, in its folder alone, and as the hub converts data sets.
PARQUET_FILES = ("main/{}-*.parquet", "{}-*.parquet", "main/{}/*.parquet")
UNPACKED = "unpacked"
ROWS_AT_ONCE = 100


def languages(root: Path, split: str) -> list[str]:
    return sorted({code for _, row in _rows(root, split) if row for code in LANGUAGES[row["language"]]})


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    """The clips of a split; those that mix the languages where both are wanted."""
    for source, row in _rows(root, split):
        if row is None:
            yield unreadable(source, languages[0], "not a row of ASCEND: other columns than the first line")
            continue
        codes, text = LANGUAGES[row["language"]], row["transcription"]
        if set(codes) <= set(languages):
            yield Clip(
                name=Path(row["file_name"]).stem,
                audio=f"{Path(source).parent}/{row['file_name']}",
                text=text,
                language=" ".join(codes),
                speaker=row["original_speaker_id"],
                source=source,
                problem=f"partly not transcribed: {text!r}" if "[UNK]" in text else "",
            )


def unpack(root: Path) -> None:
    """Write audio and tables of Parquet files into the folder `unpacked` beside them, for each split that has no table.

    Raises:
        UserError: pyarrow is not installed, or a Parquet file is missing, damaged or of something else, or there is no
            room or no permission.
    """
    for split in SPLITS.values():
        found = (sorted(root.glob(pattern.format(split))) for pattern in PARQUET_FILES)
        files = next(filter(None, found), [])
        if not files or _table(root, split).is_file():
            continue
        _require_all(files)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for path in files:
            rows.writerows(_unpack_file(path, root / UNPACKED))
        write_files({root / UNPACKED / f"{split}_metadata.csv": table.getvalue()})


def _unpack_file(path: Path, folder: Path) -> Iterator[tuple[str | int, ...]]:
    """Write the audio of a Parquet file to files; gives the rows of their table."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise UserError(f"{path} is read by pyarrow, which is not installed: pip install pyarrow") from error
    try:
        parquet = ParquetFile(path)
        require_columns(path, ("audio", *COLUMNS[1:]), parquet.schema_arrow.names)
        with progress_bar(total=parquet.metadata.num_rows, desc=f"unpacking {path.name}", unit="clip") as bar:
            for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=["audio", *COLUMNS[1:]]):
                rows = batch.to_pylist()
                if not all(row["audio"] and row["audio"]["bytes"] and row["audio"]["path"] for row in rows):
                    raise UserError(f"{path} has a clip without its audio; download the file again, from CAiRE/ASCEND")
                clips = {f"waves/{Path(row['audio']['path']).name}": row for row in rows}
                if len(clips) < len(rows):
                    raise UserError(f"{path} has two clips of one name; download the file again, from CAiRE/ASCEND")
                write_files({folder / name: row["audio"]["bytes"] for name, row in clips.items()})
                yield from ((name, *(row[column] for column in COLUMNS[1:])) for name, row in clips.items())
                bar.update(len(rows))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}; download it again (a file of some 100 "
                        "bytes is Git LFS's note of it)") from error


def _require_all(files: list[Path]) -> None:
    """Raise UserError where the names of Parquet files say that there are more of them (train-00000-of-00003)."""
    number = re.search(r"-of-(\d+)$", files[0].stem)
    if number and len(files) != int(number[1]):
        raise UserError(f"{files[0].parent} has {len(files)} of the {int(number[1])} Parquet files that "
                        f"{files[0].name} is one of; download the others")


def _rows(root: Path, split: str) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Rows of a split, each with its place "file:line"; None for one that has more or fewer cells than the first line.
    There are none if there is no table.
    """
    table = _table(root, SPLITS[split])
    if not table.is_file():
        return
    rows = csv.reader((f"{line}\n" for _, line in read_lines(table, distributed=False)), strict=True)
    try:
        names = next(rows, [])
        require_columns(table, COLUMNS, names)
        for cells in rows:
            source, row = f"{table}:{rows.line_num}", dict(zip(names, cells))
            if len(cells) == len(names) and row["language"] not in LANGUAGES:
                raise UserError(f"{source}: 'language' must be {', '.join(LANGUAGES)}, not {row['language']!r}")
            yield source, row if len(cells) == len(names) else None
    except csv.Error as error:
        raise UserError(f"{table}:{rows.line_num}: {error}: is a quotation mark not closed?") from error


def _table(root: Path, split: str) -> Path:
    """Of a split: as it was distributed, or else as it is unpacked."""
    distributed = root / f"{split}_metadata.csv"
    return distributed if distributed.is_file() else root / UNPACKED / distributed.name
