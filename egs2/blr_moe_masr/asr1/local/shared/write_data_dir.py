"""Writing data directories (shared/data_dir.py): whole or not at all, sorted, in one pass, whatever their size."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, groupby
from pathlib import Path
from typing import TextIO

from shared.data_dir import OPTIONAL, TABLES, Skipped, Summary, Utterance
from shared.kaldi_tables import UserError, sort_lines, stream_table, write_inverse
from shared.write_files import UNFINISHED


@contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends; after an error `folder` is as before.

    Raises:
        UserError: `folder` has files and is not a data directory: they would be lost; or it cannot be written, or its
            name is not UTF-8.
    """
    folder = Path(folder)
    if not _is_utf8(str(folder)):
        raise UserError(f"{str(folder)!r}: must be UTF-8; choose another folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "wav.scp").is_file():
        raise UserError(f"{folder} has files but is not a data directory (no wav.scp): move it away or name another")
    unfinished = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except OSError as error:  # no room, no permission
        raise UserError(f"{folder} cannot be written: {error.strerror}; it is left as it was") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_data_dir(folder: str | Path, entries: Iterable[Utterance | Skipped]) -> Summary:
    """Write a data directory in one step: it appears whole, or not at all.

    Args:
        folder: replaced if it exists.
        entries: utterances in any order, all with text or all without, and what was skipped; read once.

    Raises:
        UserError: as `write_tables`, `replacing` and `with_audio_outside` say.
    """
    with replacing(folder) as unfinished:
        return write_tables(unfinished, with_audio_outside(folder, entries))


def with_audio_outside(folder: str | Path, entries: Iterable[Utterance | Skipped]) -> Iterator[Utterance | Skipped]:
    """The entries; raises UserError when it comes to one whose audio is in `folder`, and would be lost with it."""
    inside = os.path.join(os.path.abspath(folder), "")
    for entry in entries:
        if isinstance(entry, Utterance) and os.path.abspath(entry.audio).startswith(inside):
            raise UserError(f"{folder} holds the audio that is read; choose another folder for the result")
        yield entry


def write_tables(folder: Path, entries: Iterable[Utterance | Skipped]) -> Summary:
    """Write the tables of a data directory into an existing folder; `entries` as for `write_data_dir`.

    Raises:
        UserError: there is no utterance; or an id occurs twice (names both sources) or has white space; or an optional
            attribute is known only for some utterances.
    """
    summary = Summary()
    utterances = _without_duplicates(sort_lines(_records(entries, folder / "skipped", summary)))
    if (first := next(utterances, None)) is None:
        raise UserError(f"{str(folder).removesuffix(UNFINISHED)}: no utterance is left{_why(folder, summary)}")
    audio = {} if summary.segments else {"wav.scp": "audio"}
    known = {name: attribute for name, attribute in OPTIONAL.items() if getattr(first, attribute) is not None}
    with ExitStack() as files:
        def create(name: str):
            return files.enter_context((folder / name).open("w", encoding="utf-8"))

        stretches = create("stretches")
        tables = {create(name): attribute for name, attribute in (audio | TABLES | known).items()}
        segments, recordings = (create("segments"), create("recordings")) if summary.segments else (None, None)
        for u in chain([first], utterances):
            _check_complete(u, first)
            for table, attribute in tables.items():
                table.write(f"{u.id} {getattr(u, attribute)}\n")
            if segments:
                _write_segment(u, segments, recordings)
            if u.stretches:
                stretches.writelines(f"{u.id} {start} {end} {language}\n" for start, end, language in u.stretches)
            summary.languages.update(u.languages)
            summary.utterances[u.language] += 1
            summary.samples[u.language] += u.samples or 0
    if not (folder / "stretches").stat().st_size:
        (folder / "stretches").unlink()
    if summary.segments:
        _write_recordings(folder / "wav.scp", folder / "recordings")
    write_inverse(folder / "spk2utt", folder / "utt2spk")
    return summary


def _records(entries: Iterable[Utterance | Skipped], skipped_table: Path, summary: Summary) -> Iterator[str]:
    """Lines "id, utterance as JSON" with a tab between them, to be sorted; what is skipped goes to its table."""
    with skipped_table.open("w", encoding="utf-8", errors="backslashreplace") as skipped:
        for entry in entries:
            if isinstance(entry, Skipped):
                skipped.write(f"{entry.source} {entry.reason}\n")
                summary.skipped[entry.reason.partition(":")[0]] += 1
            else:
                _check_fields(entry)
                summary.segments += entry.start is not None
                yield f"{entry.id}\t{json.dumps(vars(entry))}"


def _without_duplicates(lines: Iterable[str]) -> Iterator[Utterance]:
    """The utterances of sorted records."""
    previous = None
    for line in lines:
        utterance = Utterance(**json.loads(line.partition("\t")[2]))
        if previous is not None and utterance.id == previous.id:
            first, second = (u.source or u.audio for u in (previous, utterance))
            raise UserError(f"{second}: utterance {utterance.id} is at {first} too; ids must be unique: remove one "
                            "of them, or give manifests an id in every row, or corpora domains of their own "
                            "(NAME:DOMAIN=PATH)")
        previous = utterance
        yield utterance


def _check_fields(u: Utterance) -> None:
    """Raise UserError for what a table cannot hold."""
    where = u.source or u.audio
    if "/" in u.id:
        raise UserError(f"{where}: id {u.id!r}: must not have a '/', since it names the utterance's file")
    for name in ("id", "speaker"):
        value = getattr(u, name)
        if value.split() != [value]:
            raise UserError(f"{where}: {name} {value!r}: must be one word")
    if not u.label or " ".join(u.label.split()) != u.label:
        raise UserError(f"{where}: language {u.label!r}: must be one code, or several with one blank between them")
    for name in ("audio", "domain", "text"):
        value = getattr(u, name)
        if value is not None and (len(value.splitlines()) > 1 or not (value or name == "text")):
            raise UserError(f"{where}: {name} {value!r}: must be one line")
    if u.audio.strip() != u.audio:
        raise UserError(f"{where}: audio {u.audio!r}: must not begin or end with a blank; rename the file")
    if not _is_utf8("".join((u.id, u.audio, u.label, u.speaker, u.domain, u.text or ""))):
        raise UserError(f"{where!r}: {u.audio!r}: must be UTF-8; rename the file")


def _is_utf8(text: str) -> bool:
    """Whether it can be written; in names of files, Python keeps bytes that are not UTF-8 as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_complete(u: Utterance, first: Utterance) -> None:
    """Raise UserError if an optional attribute is known only for one of two utterances."""
    for name, attribute in OPTIONAL.items():
        if (getattr(u, attribute) is None) != (getattr(first, attribute) is None):
            has, lacks = (first, u) if getattr(u, attribute) is None else (u, first)
            raise UserError(f"{lacks.source or lacks.audio}: utterance {lacks.id} has no {attribute}, but "
                            f"{has.id} ({has.source or has.audio}) has; a data directory needs it for all or for none")


def _write_segment(u: Utterance, segments: TextIO, recordings: TextIO) -> None:
    """Write the lines of an utterance in the table `segments`, and of its recording in a raw table of them."""
    recording, span = (u.id, "0 -1") if u.start is None else (recording_id(u.audio), f"{u.start:.6f} {u.end:.6f}")
    segments.write(f"{u.id} {recording} {span}\n")
    recordings.write(f"{recording} {u.audio}\n")


def _write_recordings(wav_scp: Path, raw: Path) -> None:
    """Sort a table of recordings and leave repeated ones out."""
    with wav_scp.open("w", encoding="utf-8") as table:
        pairs = stream_table(raw, in_order=False)
        for line, _ in groupby(sort_lines(f"{recording}\t{audio}" for recording, audio in pairs)):
            table.write(line.replace("\t", " ", 1) + "\n")
    raw.unlink()


@lru_cache(maxsize=10_000)
def recording_id(audio: str) -> str:
    """A name for a recording: that of its file, which need not be unique, with a digest of its path."""
    name = re.sub(r"\s", "_", Path(audio).stem)
    return f"{name}-{blake2b(audio.encode(), digest_size=6).hexdigest()}"


def _why(folder: Path, summary: Summary) -> str:
    """What was skipped, for a message: counts and the first one."""
    if not summary.skipped:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in summary.skipped.items())
    with (folder / "skipped").open(encoding="utf-8") as skipped:
        return f" ({counts}; the first: {next(skipped).strip()})"
