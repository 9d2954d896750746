"""Kaldi-style data directories, which every stage of the recipe reads and writes.

A data directory has a line per utterance in each of the tables `wav.scp` (audio path), `utt2lang` (language code, or
several: docs/corpora.md), `utt2spk` (speaker), `utt2domain` (where the audio is from) and, if they are known, `text`,
`utt2num_samples` and `utt2speed`. Where utterances are stretches of longer recordings, `segments` has a line per
utterance (recording, start and end in seconds, -1 for the recording's end) and `wav.scp` one per recording; or
`wav.scp` has the first and the last sample behind the path, "rec.wav[16000:47999]". Where the language changes within
utterances, `timeline` has a JSON list of [start seconds, end seconds, language, what is said] of each. `stretches` says
before stage 3 when which language is spoken, with a line for every stretch: utterance, start and end in seconds,
language; stage 3 writes it into `utt2lang`. `skipped` lists what was left out, and why.

Directories are read and written in one pass, an utterance at a time, whatever their size.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from espnet_blrmoe import language_times
from espnet_blrmoe.language_times import Stretches, gather_stretches, timed_label
from espnet_blrmoe.languages import label_languages, main_language, parse_label
from espnet_blrmoe.recordings.names import is_command_or_archive, split_range
from shared.kaldi_tables import UserError, sort_lines, stream_table


@dataclass(frozen=True)
class Utterance:
    """One utterance of a corpus.

    Attributes:
        id: unique in its data directory, starts with the speaker (Kaldi's sorting rule), no white space.
        audio: path of the audio file, or of a stretch of it.
        label: what `utt2lang` says: a language code, as in Common Voice ("en", "zh-CN"), or several.
        speaker: unique speaker label.
        domain: where the audio is from ("espeak", "telephone", "commonvoice", ...).
        text: transcript, or None for audio-language pairs.
        start, end: seconds in `audio`, for an utterance in a longer recording, whose end may be -1; None for the whole
            file.
        samples: length in samples at the sampling rate of stage 3, from then on.
        speed: how many times faster stage 3 is to play the audio (stage 2); None: as it is.
        timeline: which language is spoken when, as in the table of that name.
        stretches: the same, before stage 3, as in the table of that name; None: the label says it.
        source: where the corpus says all this, "file:line", for messages.
    """

    id: str
    audio: str
    label: str
    speaker: str
    domain: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    samples: int | None = None
    speed: float | None = None
    timeline: str | None = None
    stretches: Stretches | None = None
    source: str = ""

    @property
    def language(self) -> str:
        """The code of the language that the utterance counts as: its first."""
        return self.stretches[0][-1] if self.stretches else main_language(self.label)

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of all its languages, each once."""
        if self.stretches is None:
            return label_languages(self.label)
        return tuple(dict.fromkeys(code for *_, code in self.stretches))

    @property
    def has_one_language(self) -> bool:
        """Whether there is one that can be identified."""
        return self.timeline is None and len(self.languages) == 1


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
        languages: all of them.
        utterances: language -> utterances that count as in it.
        samples: language -> their samples, as far as they are known.
        skipped: reason, without detail -> how often.
        segments: how many of the utterances are stretches of longer recordings.
    """

    languages: set[str] = field(default_factory=set)
    utterances: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    segments: int = 0


# Table -> the attribute of an utterance that is in it. The optional ones are there for all utterances or for none.
TABLES = {"utt2lang": "label", "utt2spk": "speaker", "utt2domain": "domain"}
OPTIONAL = {"text": "text", "utt2num_samples": "samples", "utt2speed": "speed", "timeline": "timeline"}
MAX_SKIPPED = 0.5  # a larger share of a language's clips is not an accident


def stream_data_dir(folder: str | Path, *needed: str) -> Iterator[Utterance]:
    """Read a data directory, utterance by utterance. `wav.scp`, `utt2lang` and the tables `needed` must be there.

    Raises:
        UserError: a table is missing or not sorted by id, or has an utterance that another lacks, or `wav.scp` has
            something else than files, or what is said of languages makes no sense.
    """
    folder = Path(folder)
    main = folder / ("segments" if (folder / "segments").is_file() else "wav.scp")
    return _with_stretches(_stream_tables(folder, main, needed), folder / "stretches", main)


def _stream_tables(folder: Path, main: Path, needed: Iterable[str]) -> Iterator[Utterance]:
    """The utterances of all tables with a line for each."""
    names = [name for name in (*TABLES, *OPTIONAL) if name in ("utt2lang", *needed) or (folder / name).is_file()]
    tables = {name: stream_table(folder / name, allow_empty=name == "text") for name in names}
    row = {}
    for number, (key, audio, start, end) in enumerate(_stream_audio(folder), start=1):
        for name, table in tables.items():
            other, row[name] = next(table, (None, ""))
            if other != key:
                raise _mismatch(folder / name, other, main, key)
        yield Utterance(
            id=key,
            audio=audio,
            label=_label(folder, number, key, row["utt2lang"]),
            speaker=row.get("utt2spk", key),
            domain=row.get("utt2domain", "unknown"),
            text=row.get("text"),
            start=start,
            end=end,
            samples=_number(folder, key, row, "utt2num_samples", int),
            speed=_number(folder, key, row, "utt2speed", float),
            timeline=row.get("timeline"),
        )
    for name, table in tables.items():
        if rest := next(table, None):
            raise _mismatch(folder / name, rest[0], main, None)


def _with_stretches(utterances: Iterator[Utterance], table: Path, main: Path) -> Iterator[Utterance]:
    """The utterances with what the table `stretches` says of some of them, if there is one."""
    rows = _stream_stretches(table) if table.is_file() else iter(())
    row = next(rows, None)
    for u in utterances:
        if row is not None and row[0] <= u.id:
            key, stretches, place = row
            if key < u.id:
                break
            u = replace(u, stretches=stretches, source=place)
            if lacking := set(label_languages(u.label)) - set(u.languages):
                raise UserError(f"{place}: utterance {key} has no stretch in {min(lacking)}, which is its language in "
                                f"{table.with_name('utt2lang')}; correct one of them")
            row = next(rows, None)
        yield u
    if row is not None:
        raise UserError(f"{row[2]}: utterance {row[0]} is not in {main}; remove the line (or sort the tables: LC_ALL=C "
                        "sort -k1,1)")


def _stream_stretches(table: Path) -> Iterator[tuple[str, Stretches, str]]:
    """As `gather_stretches`; raises UserError in place of ValueError."""
    lines = enumerate(stream_table(table, in_order=False), start=1)
    try:
        yield from gather_stretches((f"{table}:{number}", *line) for number, line in lines)
    except ValueError as error:
        raise UserError(str(error)) from None


def with_times(u: Utterance, seconds: float) -> Utterance:
    """The utterance, which is that long, with its stretches in its label.

    Raises:
        UserError: one of them is not in it.
    """
    if u.stretches is None:
        return u
    try:
        return replace(u, label=timed_label(u.stretches, seconds), stretches=None)
    except ValueError as error:
        raise UserError(f"{u.source}: utterance {u.id} {error}; correct the times") from None


def read_data_dir(folder: str | Path) -> list[Utterance]:
    """Read a small data directory as a whole; see `stream_data_dir`."""
    return list(stream_data_dir(folder))


def parse_timeline(timeline: str, place: str) -> list[tuple[float, float, str, str]]:
    """As `language_times.parse_timeline`; raises UserError in place of ValueError."""
    try:
        return language_times.parse_timeline(timeline, place)
    except ValueError as error:
        raise UserError(str(error)) from None


def _label(folder: Path, number: int, key: str, label: str) -> str:
    """What a line of `utt2lang` says, with single blanks; raises UserError where that makes no sense."""
    try:
        return _checked(label)
    except ValueError as error:
        raise UserError(f"{folder / 'utt2lang'}:{number}: utterance {key}: {error}; correct the line") from None


@lru_cache(maxsize=1000)  # of a corpus, most lines say the same
def _checked(label: str) -> str:
    parse_label(label)
    return " ".join(label.split())


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
        for key, audio in _stream_files(folder / "wav.scp"):
            yield key, audio, None, None


def _stream_files(wav_scp: Path) -> Iterator[tuple[str, str]]:
    """`wav.scp`; of what Kaldi knows besides files, commands and archives, nothing is executed or unpacked."""
    for key, audio in stream_table(wav_scp):
        if is_command_or_archive(audio):
            raise UserError(f"{wav_scp}: {key} is {audio!r}, and only audio files are read, not what commands print or "
                            "archives hold: docs/recipe.md has commands that write it to files")
        try:
            split_range(audio)
        except ValueError as error:
            raise UserError(f"{wav_scp}: {key}: {error}") from error
        yield key, audio


def _stream_segments(folder: Path) -> Iterator[Span]:
    """`segments` and its recordings in `wav.scp`, sorted by recording."""
    segments, recordings = folder / "segments", _stream_files(folder / "wav.scp")
    recording, audio = "", ""
    for line in sort_lines(_segments_by_recording(segments)):
        wanted, key, start, end = line.split("\t")
        while recording < wanted:
            recording, audio = next(recordings, (wanted, ""))
        if recording != wanted or not audio:
            raise UserError(f"{folder / 'wav.scp'} has no line for recording {wanted} of {segments}; add it")
        if split_range(audio)[2] is not None:
            raise UserError(f"{folder / 'wav.scp'}: {recording} is a stretch, {audio}; beside {segments} there must be "
                            "whole recordings")
        span = float(start), float(end)
        yield key, audio, *((None, None) if span == (0, -1) else span)


def _segments_by_recording(segments: Path) -> Iterator[str]:
    """Lines "recording, utterance, start, end" with tabs between them."""
    for key, value in stream_table(segments):
        try:
            recording, start, end = value.split()
            if not 0 <= float(start) < (math.inf if float(end) == -1 else float(end)):
                raise ValueError
        except ValueError:
            line = f"{key} {value}"
            raise UserError(f"{segments}: {line!r}: expected 'utterance recording start end', in seconds") from None
        yield "\t".join((recording, key, start, end))
