"""The decodings of an ASR experiment, beside what was said: exp/<asr_exp>/<decode_tag>/<test_set>."""

from dataclasses import dataclass, replace
from pathlib import Path

from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import UserError, read_table
from shared.text_normalization import normalise
from shared.timelines import Recording, read_recordings


@dataclass(frozen=True)
class Decoding:
    """One test set decoded in one way.

    Attributes:
        folder: exp/<asr_exp>/<decode_tag>/<test_set>.
        references: the utterances of the test set, with normalised transcripts.
        hypotheses: id -> normalised transcript, maybe empty; an utterance that was not decoded is absent.
        detected: id -> detected language; None when the language was given (every utterance allowed only one), when
            the recogniser detects none (a stock ESPnet model), or when every utterance has several.
        given: id -> the language that was given, or languages to an utterance that has several; None when the
            recogniser had a choice.
        recordings: what is said when in the utterances, if the language changes within them, and what was recognised.
    """

    folder: Path
    references: list[Utterance]
    hypotheses: dict[str, str]
    detected: dict[str, str] | None
    given: dict[str, str] | None = None
    recordings: list[Recording] | None = None

    @property
    def tag(self) -> str:
        return self.folder.parent.name

    @property
    def test_set(self) -> str:
        return self.folder.name

    @property
    def is_mixed(self) -> bool:
        """Whether the language changes within utterances."""
        return self.references[0].timeline is not None


def find_decodings(exp: Path, data: Path, digits: str = "kept") -> list[Decoding]:
    """Read all decodings of an experiment, sorted by decode tag and test set.

    Args:
        exp: folder of the experiment.
        data: folder of the test sets.
        digits: as `normalise` takes it, for references and hypotheses.

    Raises:
        UserError: there is none; a reference is missing; a hypothesis has no reference.
    """
    folders = [text.parent for text in sorted(exp.glob("decode_*/*/text"))]
    if not folders:
        raise UserError(f"{exp}/decode_*/*/text does not exist: nothing is decoded yet, run stage 12 first")
    return [read_decoding(folder, data / folder.name, digits) for folder in folders]


def read_decoding(folder: Path, reference: Path, digits: str) -> Decoding:
    """Read one decoding and its reference data directory; see find_decodings for the errors."""
    references = read_data_dir(reference)
    if not references or references[0].text is None:
        raise UserError(f"{reference / 'text'} is missing or empty: scoring needs reference transcripts")
    mixed = references[0].timeline is not None
    tables = {"text": read_table(folder / "text", allow_empty=True)}
    given = None if mixed else given_languages(folder, references)
    if any(u.has_one_language for u in references) and (folder / "lang").is_file() and given is None:
        tables["lang"] = read_table(folder / "lang")
    for name, table in tables.items():
        if unknown := table.keys() - {u.id for u in references}:
            raise UserError(f"{folder / name} has utterance {min(unknown)}, which {reference / 'text'} lacks: "
                            "decode this test set again")
    detected = {key: value.split()[0] for key, value in tables["lang"].items()} if "lang" in tables else None
    normalised = [replace(u, text=normalise(u.text, u.language, digits)) for u in references]
    hypotheses = {u.id: normalise(tables["text"][u.id], u.language, digits)
                  for u in references if u.id in tables["text"]}
    has_timelines = mixed and (folder / "timeline").is_file()
    recordings = read_recordings(references, reference, folder) if has_timelines else None
    return Decoding(folder, normalised, hypotheses, detected, given, recordings)


def given_languages(folder: Path, references: list[Utterance]) -> dict[str, str] | None:
    """id -> what pruning left an utterance; None where some utterance in one language had a choice."""
    allowed = folder / "utt2langs"
    given = read_table(allowed) if allowed.is_file() else {}
    return given if given and all("," not in given.get(u.id, "") for u in references if u.has_one_language) else None


def read_output(decoding: Decoding, name: str) -> dict[str, str]:
    """A further table of a decoding; empty where a recogniser does not write it."""
    path = decoding.folder / name
    return read_table(path, allow_empty=True) if path.is_file() else {}


def expert_frames(decoding: Decoding) -> dict[str, dict[str, int]]:
    """id -> {language: encoder frames that went to its expert}; empty where none is recorded.

    Raises:
        UserError: a line of the table is something else.
    """
    return {key: dict(_frames(decoding, key, field) for field in line.split())
            for key, line in read_output(decoding, "expert_frames").items()}


def _frames(decoding: Decoding, key: str, field: str) -> tuple[str, int]:
    language, _, frames = field.rpartition(":")
    if not frames.isdigit():
        raise UserError(f"{decoding.folder / 'expert_frames'}: utterance {key} has {field!r}, "
                        "expected language:frames; decode again")
    return language, int(frames)
