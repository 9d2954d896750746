"""Kaldi-style data directories, which every stage of the recipe reads and writes.

A data directory has a line per utterance in each of the tables `wav.scp` (audio path), `utt2lang` (language code),
`utt2spk` (speaker), `utt2domain` (where the audio is from) and, as far as they are known, `text`, `utt2num_samples` and
`utt2speed`. Where utterances are stretches of longer recordings, `segments` has a line per utterance (recording, start
and end in seconds, -1 for the recording's end) and `wav.scp` one per recording. `skipped` lists what was left out, and
why.

Directories are read and written in one pass, an utterance at a time, whatever their size.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, groupby
from pathlib import Path
from typing import TextIO

from kaldi_tables import UserError, read_table, sort_lines, stream_table, write_inverse, write_table

__all__ = ["Skipped", "Summary", "UserError", "Utterance", "read_data_dir", "read_table", "replacing",
           "stream_data_dir", "with_audio_outside", "write_data_dir", "write_table", "write_tables"]


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
        start, end: seconds in `audio`, for an utterance in a longer recording; None for the whole file.
        samples: length in samples at the sampling rate of stage 3, from then on.
        speed: how many times faster stage 3 is to play the audio (stage 2); None: as it is.
        source: where the corpus says all this, "file:line", for messages.
    """

    id: str
    audio: str
    language: str
    speaker: str
    domain: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    samples: int | None = None
    speed: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that is left out of a data directory, and listed in its table `skipped`.

    Attributes:
        source: where it is: "file:line", or the utterance's id.
        reason: why. What follows a colon is detail ("no such clip: a.mp3"): reasons are counted without it.
    """

    source: str
    reason: str


@dataclass
class Summary:
    """What a data directory has.

    Attributes:
        utterances: language -> utterances.
        samples: language -> their samples, as far as they are known.
        skipped: reason, without detail -> how often.
        segments: how many of the utterances are stretches of longer recordings.
    """

    utterances: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    segments: int = 0


# Table -> the attribute of an utterance that is in it. The optional ones are there for all utterances or for none.
TABLES = {"utt2lang": "language", "utt2spk": "speaker", "utt2domain": "domain"}
OPTIONAL = {"text": "text", "utt2num_samples": "samples", "utt2speed": "speed"}
UNFINISHED = ".unfinished"
MAX_SKIPPED = 0.5  # a larger share of a language's clips is no accident


def stream_data_dir(folder: str | Path, *needed: str) -> Iterator[Utterance]:
    """Read a data directory, utterance by utterance. `wav.scp`, `utt2lang` and the tables `needed` must be there.

    Raises:
        UserError: a table is missing or not sorted by id, or has an utterance that another lacks.
    """
    folder = Path(folder)
    main = folder / ("segments" if (folder / "segments").is_file() else "wav.scp")
    names = [name for name in (*TABLES, *OPTIONAL) if name in ("utt2lang", *needed) or (folder / name).is_file()]
    tables = {name: stream_table(folder / name, allow_empty=name == "text") for name in names}
    row = {}
    for key, audio, start, end in _stream_audio(folder):
        for name, table in tables.items():
            other, row[name] = next(table, (None, ""))
            if other != key:
                raise _mismatch(folder / name, other, main, key)
        yield Utterance(
            id=key,
            audio=audio,
            language=row["utt2lang"],
            speaker=row.get("utt2spk", key),
            domain=row.get("utt2domain", "unknown"),
            text=row.get("text"),
            start=start,
            end=end,
            samples=_number(folder, key, row, "utt2num_samples", int),
            speed=_number(folder, key, row, "utt2speed", float),
        )
    for name, table in tables.items():
        if rest := next(table, None):
            raise _mismatch(folder / name, rest[0], main, None)


def read_data_dir(folder: str | Path) -> list[Utterance]:
    """Read a small data directory as a whole; see `stream_data_dir`."""
    return list(stream_data_dir(folder))


def _number(folder: Path, key: str, row: dict[str, str], name: str, kind: type) -> int | float | None:
    """A number from a table that need not be there."""
    try:
        return kind(row[name]) if name in row else None
    except ValueError:
        raise UserError(f"{folder / name}: {key}: expected a number, found {row[name]!r}") from None


def _mismatch(table: Path, key: str | None, main: Path, main_key: str | None) -> UserError:
    """The first place where two sorted tables differ; None: the table has ended."""
    unless = "(or the tables are not sorted: LC_ALL=C sort -k1,1)"
    if main_key is None or (key is not None and key < main_key):
        return UserError(f"{table} has utterance {key}, which {main} lacks; remove it {unless}")
    return UserError(f"{table} has no line for utterance {main_key} of {main}; add it {unless}")


Span = tuple[str, str, float | None, float | None]  # utterance, audio path, start and end in seconds


def _stream_audio(folder: Path) -> Iterator[Span]:
    """The audio of every utterance, sorted by utterance."""
    if (folder / "segments").is_file():
        spans = (f"{key}\t{json.dumps(rest)}" for key, *rest in _stream_segments(folder))
        for line in sort_lines(spans):
            key, _, rest = line.partition("\t")
            yield key, *json.loads(rest)
    else:
        for key, audio in stream_table(folder / "wav.scp"):
            yield key, audio, None, None


def _stream_segments(folder: Path) -> Iterator[Span]:
    """`segments` and its recordings in `wav.scp`, sorted by recording."""
    segments, recordings = folder / "segments", stream_table(folder / "wav.scp")
    recording, audio = "", ""
    for line in sort_lines(_segments_by_recording(segments)):
        wanted, key, start, end = line.split("\t")
        while recording < wanted:
            recording, audio = next(recordings, (wanted, ""))
        if recording != wanted or not audio:
            raise UserError(f"{folder / 'wav.scp'} has no line for recording {wanted} of {segments}; add it")
        yield key, audio, *((None, None) if float(end) == -1 else (float(start), float(end)))


def _segments_by_recording(segments: Path) -> Iterator[str]:
    """Lines "recording, utterance, start, end" with tabs between them."""
    for key, value in stream_table(segments):
        try:
            recording, start, end = value.split()
            if float(end) <= float(start) and (float(start), float(end)) != (0, -1):
                raise ValueError
        except ValueError:
            line = f"{key} {value}"
            raise UserError(f"{segments}: {line!r}: expected 'utterance recording start end', in seconds") from None
        yield "\t".join((recording, key, start, end))


@contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends; after an error `folder` is as before.

    Raises:
        UserError: `folder` has files and is no data directory: they would be lost; or it cannot be written.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "wav.scp").is_file():
        raise UserError(f"{folder} has files but is no data directory (no wav.scp): move it away or name another")
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
            attribute is known for some utterances alone.
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

        tables = {create(name): attribute for name, attribute in (audio | TABLES | known).items()}
        segments, recordings = (create("segments"), create("recordings")) if summary.segments else (None, None)
        for u in chain([first], utterances):
            _check_complete(u, first)
            for table, attribute in tables.items():
                table.write(f"{u.id} {getattr(u, attribute)}\n")
            if segments:
                _write_segment(u, segments, recordings)
            summary.utterances[u.language] += 1
            summary.samples[u.language] += u.samples or 0
    if summary.segments:
        _write_recordings(folder / "wav.scp", folder / "recordings")
    write_inverse(folder / "spk2utt", folder / "utt2spk")
    return summary


def _records(entries: Iterable[Utterance | Skipped], skipped_table: Path, summary: Summary) -> Iterator[str]:
    """Lines "id, utterance as JSON" with a tab between them, to be sorted; what is skipped goes to its table."""
    with skipped_table.open("w", encoding="utf-8") as skipped:
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
    for name in ("id", "language", "speaker"):
        value = getattr(u, name)
        if value.split() != [value]:
            raise UserError(f"{where}: {name} {value!r}: must be one word")
    for name in ("audio", "domain", "text"):
        value = getattr(u, name)
        if value is not None and (len(value.splitlines()) > 1 or not (value or name == "text")):
            raise UserError(f"{where}: {name} {value!r}: must be one line")
    try:
        f"{u.id}{u.audio}{u.text}".encode()
    except UnicodeEncodeError:
        raise UserError(f"{where!r}: {u.audio!r}: must be UTF-8; rename the file") from None


def _check_complete(u: Utterance, first: Utterance) -> None:
    """Raise UserError if an optional attribute is known for one of two utterances alone."""
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
