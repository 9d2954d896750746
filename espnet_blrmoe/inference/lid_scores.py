"""How well a router knows languages: accuracy, equal error rate and calibration, by domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torchmetrics.functional.classification import binary_eer, multiclass_calibration_error

from espnet_blrmoe import audio
from espnet_blrmoe.language_times import Stretches, as_parts, read_times
from espnet_blrmoe.languages import LanguageStretch, has_times, label_languages, parse_label
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.language_labels import IGNORED, LanguageLabels
from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.segments import read_audio_table
from espnet_blrmoe.tables import read_table

BATCH_SECONDS = 200  # of padded speech: only the front end and the router run
READ_AT_ONCE = 100  # utterances
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class HeardSpeech:
    """What a router made of utterances whose languages are known, with times.

    Attributes:
        domains: of each utterance.
        languages: (U,) int64, the right language of each, or IGNORED where it has several.
        probs: (U, E) float32, the router's probability of each language, averaged over the frames.
        frames: (U,) int64, frames whose language is known.
        right_frames: (U,) int64, those of them that went to it.
    """

    domains: tuple[str, ...]
    languages: torch.Tensor
    probs: torch.Tensor
    frames: torch.Tensor
    right_frames: torch.Tensor

    def of_domain(self, domain: str) -> "HeardSpeech":
        """The utterances of one domain."""
        own = torch.tensor([own == domain for own in self.domains])
        parts = (part[own] for part in (self.languages, self.probs, self.frames, self.right_frames))
        return HeardSpeech((domain,) * int(own.sum()), *parts)


@dataclass(frozen=True)
class LidScores:
    """Language identification of a set of utterances.

    Attributes:
        utterances: how many.
        frame_accuracy: share of the frames that went to the right language, of those that are in a known one.
        utterance_accuracy: share of the utterances whose most probable language is the right one; as the other two, of
            utterances in one language, and NaN without them.
        equal_error_rate: where as many utterances of a language are missed as others are taken for it, by the threshold
            on its probability; the mean over the languages.
        calibration_error: how far the detected language's probability is, on average, from the share of correct ones
            among utterances with such a probability (expected calibration error, 10 bins).
    """

    utterances: int
    frame_accuracy: float
    utterance_accuracy: float
    equal_error_rate: float
    calibration_error: float

    @classmethod
    def of(cls, heard: HeardSpeech) -> "LidScores":
        """Score utterances; an equal error rate needs utterances in two languages, and is NaN otherwise."""
        in_one = heard.languages != IGNORED
        languages, probs = heard.languages[in_one], heard.probs[in_one]
        rates = [
            binary_eer(probs[:, language], (languages == language).long())
            for language in languages.unique().tolist()
            if (languages != language).any()
        ]
        return cls(
            utterances=len(heard.languages),
            frame_accuracy=float(heard.right_frames.sum() / heard.frames.sum()),
            utterance_accuracy=float((probs.argmax(dim=1) == languages).float().mean()),
            equal_error_rate=float(torch.stack(rates).mean()) if rates else float("nan"),
            calibration_error=float(
                multiclass_calibration_error(probs, languages, probs.size(1), CALIBRATION_BINS)
            ) if len(languages) else float("nan"),
        )


@torch.no_grad()
def hear(model: BLRMoEModel, fs: int, data_dir: str | Path) -> HeardSpeech:
    """Let a model's router hear all utterances of a data directory whose languages are known, with times.

    Args:
        model: in evaluation mode; only what its router needs is run.
        fs: its sampling rate in Hz.
        data_dir: folder with wav.scp, utt2lang and, where they are needed, utt2domain, segments, and stretches or
            timeline.

    Raises:
        ValueError: a table or an audio file is missing or damaged, or an utterance has no language or one that the
            model does not know.
    """
    pairs = read_pairs(Path(data_dir), model.languages)
    pairs.sort(key=lambda pair: size(pair.file))  # so that a batch has little padding
    device = next(model.parameters()).device
    probs = [torch.empty(0, len(model.languages))]
    frames, right_frames = ([torch.empty(0, dtype=torch.int64)] for _ in range(2))
    for start in progress_bar(range(0, len(pairs), READ_AT_ONCE), desc=str(data_dir)):
        heard = pairs[start : start + READ_AT_ONCE]
        waves = [audio.load(pair.file, fs) for pair in heard]
        stretches = [pair.stretches(len(wave) / fs) for pair, wave in zip(heard, waves)]
        for batch in audio.in_batches(waves, BATCH_SECONDS * fs):
            speech = torch.nn.utils.rnn.pad_sequence([waves[n] for n in batch], batch_first=True)
            routing = model.route(speech.to(device), torch.tensor([len(waves[n]) for n in batch], device=device))
            labels = LanguageLabels.of([stretches[n] for n in batch], model.languages).to(device)
            spoken = labels.spoken(routing.valid)
            probs.append(routing.utterance_probs.cpu())
            frames.append((spoken != IGNORED).sum(dim=1).cpu())
            right_frames.append((spoken == routing.language).sum(dim=1).cpu())
    languages = [IGNORED if len(pair.languages) > 1 else model.languages.index(pair.languages[0]) for pair in pairs]
    return HeardSpeech(tuple(pair.domain for pair in pairs), torch.tensor(languages, dtype=torch.int64),
                       torch.cat(probs), torch.cat(frames), torch.cat(right_frames))


def size(path: str) -> int:
    """Bytes of a file; for a stretch of one, about as many as it would have as a file."""
    file, first, end = split_range(path)
    return Path(file).stat().st_size if end is None else 2 * (end - first)


@dataclass(frozen=True)
class Pair:
    """Audio and the languages that it is in.

    Attributes:
        place: the table that says which, and the utterance, for messages.
        file: of audio, or a stretch of one.
        domain: where it is from.
        label: its languages, as in `utt2lang`.
        times: when it is in which, in seconds; None: the label says all that is known.
    """

    place: str
    file: str
    domain: str
    label: str
    times: Stretches | None

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of its languages, each once."""
        codes = label_languages(self.label) if self.times is None else (code for *_, code in self.times)
        return tuple(dict.fromkeys(codes))

    @property
    def has_times(self) -> bool:
        """Whether it is known when it is in which; raises ValueError where its label makes no sense."""
        try:
            return self.times is not None or has_times(parse_label(self.label))
        except ValueError as error:
            raise ValueError(f"{self.place}: {error}") from error

    def stretches(self, seconds: float) -> list[LanguageStretch]:
        """When it, which is that long, is in which language; raises ValueError where it is not long enough."""
        if self.times is None:
            return parse_label(self.label)
        try:
            return as_parts(self.times, seconds)
        except ValueError as error:
            raise ValueError(f"{self.place} {error}; correct the times") from None


def read_pairs(data_dir: Path, known: Sequence[str]) -> list[Pair]:
    """The utterances of a data directory whose languages are known, with times; not those with only their order.

    Raises:
        ValueError: see `hear`.
    """
    files, labels = read_audio_table(data_dir / "wav.scp"), read_table(data_dir / "utt2lang")
    has_domains = (data_dir / "utt2domain").is_file()
    domains = read_table(data_dir / "utt2domain") if has_domains else dict.fromkeys(files, data_dir.name)
    table, times = read_times(data_dir)
    if lost := times.keys() - files.keys():
        raise ValueError(f"{table}: utterance {min(lost)} is not in wav.scp or segments; remove the line")
    if not files:
        raise ValueError(f"{data_dir / 'wav.scp'} has no utterance")
    pairs = []
    for utterance, file in files.items():
        if utterance not in labels or utterance not in domains:
            raise ValueError(f"{data_dir}: utterance {utterance} is missing in utt2lang or utt2domain")
        place = f"{table if utterance in times else data_dir / 'utt2lang'}: utterance {utterance}"
        pair = Pair(place, file, domains[utterance], labels[utterance], times.get(utterance))
        if unknown := [language for language in pair.languages if language not in known]:
            raise ValueError(f"{place} has language {unknown[0]!r}; the model knows {', '.join(known)}")
        if not Path(split_range(file)[0]).is_file():
            raise ValueError(f"{data_dir / 'wav.scp'}: utterance {utterance}: {file} does not exist")
        if pair.has_times:
            pairs.append(pair)
    return pairs
