"""Kaldi-style data directories: the tables that every stage of the recipe reads and writes.

A data directory holds one line per utterance in each of `wav.scp` (audio path), `utt2lang` (language
code), `utt2spk` (speaker), `utt2domain` (where the audio is from) and, where there are transcripts, `text`.
Tables are UTF-8, sorted by utterance id, with one space between id and value, as Kaldi and ESPnet expect.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class UserError(SystemExit):
    """A mistake in the user's data or options: Python prints the sentence, without a traceback, and exits with 1."""


@dataclass(frozen=True)
class Utterance:
    """One utterance of a corpus.

    Attributes:
        id: unique in its data directory, starts with the speaker (Kaldi's sorting rule), no white space.
        audio: path of the audio file.
        language: language code, as in Common Voice ("en", "zh-CN").
        speaker: unique speaker label.
        domain: where the audio is from ("espeak", "telephone", "commonvoice", ...).
        text: transcript, or None for audio-language pairs.
    """

    id: str
    audio: str
    language: str
    speaker: str
    domain: str
    text: str | None = None


def read_table(path: str | Path, allow_empty: bool = False) -> dict[str, str]:
    """Read a Kaldi table: id -> the rest of the line, in the file's order.

    Args:
        path: the table.
        allow_empty: take a line with an id alone as an empty value, as decoders write for "nothing recognised".

    Raises:
        UserError: the file is missing, or a line has no value, or an id occurs twice (names file and line).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the stage that makes it first (./run.sh --help lists the stages)")
    table: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            key, _, value = line.strip().partition(" ")
            if not key or not (value or allow_empty):
                raise UserError(f"{path}:{number}: expected 'id value', found {line.strip()!r}")
            if key in table:
                raise UserError(f"{path}:{number}: utterance {key} occurs a second time; ids must be unique")
            table[key] = value
    return table


def write_table(path: str | Path, table: dict[str, object]) -> None:
    """Write a Kaldi table sorted by id."""
    with Path(path).open("w", encoding="utf-8") as lines:
        lines.writelines(f"{key} {table[key]}\n" for key in sorted(table))


def read_utterance_table(folder: str | Path, name: str) -> dict[str, str]:
    """Read the table `name` of a data directory: a value for every utterance of `wav.scp`; transcripts may be empty.

    Raises:
        UserError: `name` or `wav.scp` is missing, or one of them has an utterance that the other lacks.
    """
    folder = Path(folder)
    audio = read_table(folder / "wav.scp")
    table = read_table(folder / name, allow_empty=name == "text")
    for key in sorted(audio.keys() - table.keys()):
        raise UserError(f"{folder / name} has no line for utterance {key} of {folder / 'wav.scp'}; add it")
    for key in sorted(table.keys() - audio.keys()):
        raise UserError(f"{folder / name} has utterance {key}, which {folder / 'wav.scp'} lacks; remove it")
    return table


def read_data_dir(folder: str | Path) -> list[Utterance]:
    """Read a data directory; `text`, `utt2spk` and `utt2domain` are optional.

    Raises:
        UserError: `wav.scp` or `utt2lang` is missing, or a table has an utterance that another lacks.
    """
    folder = Path(folder)
    audio = read_table(folder / "wav.scp")
    optional = [name for name in ("text", "utt2spk", "utt2domain") if (folder / name).is_file()]
    tables = {name: read_utterance_table(folder, name) for name in ("utt2lang", *optional)}
    return [
        Utterance(
            id=key,
            audio=path,
            language=tables["utt2lang"][key],
            speaker=tables["utt2spk"][key] if "utt2spk" in tables else key,
            domain=tables["utt2domain"][key] if "utt2domain" in tables else "unknown",
            text=tables["text"][key] if "text" in tables else None,
        )
        for key, path in audio.items()
    ]


@contextmanager
def replacing(folder: str | Path, utterances: Iterable[Utterance]) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends; after an error `folder` is as before.

    Args:
        folder: data directory to make or to replace.
        utterances: what the block reads.

    Raises:
        UserError: `folder` holds the audio of `utterances`, or files of another kind: they would be lost; or it cannot
            be written.
    """
    folder = Path(folder)
    if any(Path(u.audio).absolute().is_relative_to(folder.absolute()) for u in utterances):
        raise UserError(f"{folder} holds the audio that is read; choose another folder for the result")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "wav.scp").is_file():
        raise UserError(f"{folder} has files but is no data directory (no wav.scp): move it away or name another")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; choose another folder") from error
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_data_dir(folder: str | Path, utterances: Iterable[Utterance], **extra: dict[str, object]) -> None:
    """Write a data directory in one step: it appears whole, or not at all.

    Args:
        folder: replaced if it exists.
        utterances: all with text, or all without.
        extra: further tables by file name, e.g. utt2num_samples={id: samples}.

    Raises:
        UserError: there is no utterance at all, or `folder` is something else than a data directory.
    """
    utterances = list(utterances)
    if not utterances:
        raise UserError(f"no utterance is left for {folder}; see the messages above for what was skipped")
    with replacing(folder, utterances) as unfinished:
        write_tables(unfinished, utterances, **extra)


def write_tables(folder: Path, utterances: Iterable[Utterance], **extra: dict[str, object]) -> None:
    """Write the tables of a data directory into an existing folder; arguments as for `write_data_dir`."""
    utterances = list(utterances)
    tables = {
        "wav.scp": {u.id: u.audio for u in utterances},
        "utt2lang": {u.id: u.language for u in utterances},
        "utt2spk": {u.id: u.speaker for u in utterances},
        "utt2domain": {u.id: u.domain for u in utterances},
        **extra,
    }
    if any(u.text is not None for u in utterances):
        tables["text"] = {u.id: u.text for u in utterances}
    speakers: dict[str, list[str]] = {}
    for u in sorted(utterances, key=lambda u: u.id):
        speakers.setdefault(u.speaker, []).append(u.id)
    tables["spk2utt"] = {speaker: " ".join(ids) for speaker, ids in speakers.items()}
    for name, table in tables.items():
        write_table(folder / name, table)
