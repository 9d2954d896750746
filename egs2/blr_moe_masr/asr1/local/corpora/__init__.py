"""Corpora: one module each in this folder, which is the list of them. All have the same names:

    LAYOUT                            what the corpus's folder must look like, for messages
    languages(root, split)            codes of the languages that have something in a split
    read(root, split, languages)      the clips of a split, one after the other

and may have these:

    SPLITS                            its splits, if they are not just train, valid and test: also test_out
                                      (another domain), test_mixed (in which the language changes), test_dev (what
                                      choices are made on, so that the tests stay unseen), and router_train and
                                      router_valid (audio-language pairs)
    ASR_CONFIG                        configuration that run.sh trains with, unless another is named
    TAG                               its part of the names of folders in exp/ (default: "_" and the module's name)
    make(root, languages, train_hours, test_sentences, nj)
                                      makes the corpus in the folder `root`, for one that is not downloaded; [] and
                                      None leave the choice to the corpus
    unpack(root)                      writes the audio of a corpus that has it inside its tables to files, unless that
                                      is done
    make_mixed(root, languages, recordings, nj)
                                      makes its data set test_mixed, of recordings in which the language changes, or
                                      removes it (None)

The modules open no audio but that which they make. Language codes are those of Common Voice, whatever a corpus calls
them. docs/corpora.md has the layouts, the codes, what is skipped, and how to add a corpus.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.kaldi_tables import UserError, decode


@dataclass(frozen=True)
class Clip:
    """A clip as its corpus describes it.

    Attributes:
        name: unique among the clips of its speaker and language.
        audio: path of the audio file.
        text: transcript, not normalised; None for an audio-language pair.
        language: code; or several, with blanks between them, in their order, which marks in the text (<en>) or scripts
            correct.
        speaker: the corpus's label; "" if it has none.
        source: "file:line" that the clip is from.
        domain: "" for the corpus's own.
        start, end: seconds in the audio file; both or none.
        duration: in seconds, where the corpus says so.
        problem: why the clip is left out, if the table says so already; details follow a colon.
        id: the utterance's whole id, starting with the speaker, where the corpus has such; "": one is made.
        timeline: start and end in seconds, language, and what is said in it, of every stretch of a clip in which the
            language changes; None: it does not, or nobody knows when.
        other_language: code of a language that the transcript is mixed with, in an order which marks in it or scripts
            may tell; "": there is none.
    """

    name: str
    audio: str
    text: str | None
    language: str
    speaker: str
    source: str
    domain: str = ""
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    problem: str = ""
    id: str = ""
    other_language: str = ""
    timeline: list[tuple[float, float, str, str]] | None = None

    @property
    def languages(self) -> list[str]:
        """The codes of all languages that it may be in, each once; first the one that it counts as."""
        return list(dict.fromkeys([*self.language.split(), *filter(None, [self.other_language])]))


def unreadable(source: str, language: str, problem: str) -> Clip:
    """A row that makes no clip."""
    return Clip("", "", "", language, "", source, problem=problem)


def read_lines(path: Path, distributed: bool = True) -> Iterator[tuple[str, str]]:
    """Lines of a table, each with its place "file:line".

    Args:
        path: the table.
        distributed: it comes with a corpus whose tables end with a line end; without it they are cut off.

    Raises:
        UserError: the file is missing, not UTF-8, or cut off.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: the corpus is another one, or half unpacked; unpack it again")
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if distributed and not line.endswith(b"\n"):
                    raise UserError(f"{path}:{number} has no line end, so the file is cut off: unpack the corpus "
                                    "again, or end the line if it is whole")
                yield f"{path}:{number}", decode(line, path, number).rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def read_tsv(
    path: Path, columns: tuple[str, ...], distributed: bool = True
) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Rows of a table with a header; quotation marks are part of the text. None for a row that has more or fewer cells:
    something of it is missing, or its text has a tab.

    Raises:
        UserError: as for `read_lines`, or one of the columns is lacking.
    """
    lines = read_lines(path, distributed)
    names = next(lines, ("", ""))[1].split("\t")
    require_columns(path, columns, names)
    for source, line in lines:
        if line:
            cells = line.split("\t")
            yield source, dict(zip(names, cells)) if len(cells) == len(names) else None


def read_jsonl(path: Path, fields: tuple[str, ...], distributed: bool = True) -> Iterator[tuple[str, dict]]:
    """Objects of a table with one JSON object a line; empty lines are left out.

    Raises:
        UserError: as for `read_lines`, or a line is no object, or one of the fields is lacking or not text.
    """
    for source, line in read_lines(path, distributed):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "\\u" in line:  # which can spell what UTF-8 cannot
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{source} has half a character, {error.object[error.start]!r}; write it whole") from error
        except json.JSONDecodeError as error:
            raise UserError(f"{source} is not JSON: {error.msg} in column {error.colno}") from error
        if not isinstance(row, dict):
            raise UserError(f"{source}: expected an object with the fields {', '.join(fields)}")
        require_text(source, row, fields)
        yield source, row


def require_text(source: str, row: dict, fields: Sequence[str]) -> None:
    """Raise UserError if one of the fields of a row is lacking or not text."""
    for field in fields:
        if not isinstance(row.get(field), str):
            raise UserError(f"{source}: the field '{field}' is missing or not text; every row needs "
                            f"{', '.join(fields)}")


def require_columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise UserError if one of the columns is not among the names in a table's first line."""
    for column in columns:
        if column not in names:
            raise UserError(f"{path}:1: there is no column '{column}', only {', '.join(names) or 'an empty line'}")


def require_folder(folder: Path, archive: Path | None = None) -> None:
    """Raise UserError if a folder of audio is missing, maybe because its archive is still packed."""
    if not folder.is_dir():
        todo = f"unpack {archive}" if archive and archive.is_file() else "unpack the corpus again"
        raise UserError(f"{folder} does not exist: the corpus is another one, or half unpacked; {todo}")
