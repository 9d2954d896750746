"""How well a router knows languages: accuracy, equal error rate and calibration, by domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torchmetrics.functional.classification import binary_eer, multiclass_calibration_error
from tqdm import tqdm

from espnet_blrmoe import audio
from espnet_blrmoe.languages import label_languages, main_language
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.recordings.names import split_range
from espnet_blrmoe.segments import read_audio_table
from espnet_blrmoe.tables import read_table

BATCH_SECONDS = 200  # of padded speech: only the front end and the router run
READ_AT_ONCE = 100  # utterances
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class HeardSpeech:
    """What a router made of utterances whose languages are known.

    Attributes:
        domains: of each utterance.
        languages: (U,) int64, the right language of each.
        probs: (U, E) float32, the router's probability of each language, averaged over the frames.
        frames: (U, E) int64, frames that it gave to each language.
    """

    domains: tuple[str, ...]
    languages: torch.Tensor
    probs: torch.Tensor
    frames: torch.Tensor

    def of_domain(self, domain: str) -> "HeardSpeech":
        """The utterances of one domain."""
        own = torch.tensor([own == domain for own in self.domains])
        return HeardSpeech((domain,) * int(own.sum()), self.languages[own], self.probs[own], self.frames[own])


@dataclass(frozen=True)
class LidScores:
    """Language identification of a set of utterances.

    Attributes:
        utterances: how many.
        frame_accuracy: share of the frames that went to the right language.
        utterance_accuracy: share of the utterances whose most probable language is the right one.
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
        right_frames = heard.frames.gather(1, heard.languages.unsqueeze(1)).sum()
        rates = [
            binary_eer(heard.probs[:, language], (heard.languages == language).long())
            for language in heard.languages.unique().tolist()
            if (heard.languages != language).any()
        ]
        return cls(
            utterances=len(heard.languages),
            frame_accuracy=float(right_frames / heard.frames.sum()),
            utterance_accuracy=float((heard.probs.argmax(dim=1) == heard.languages).float().mean()),
            equal_error_rate=float(torch.stack(rates).mean()) if rates else float("nan"),
            calibration_error=float(
                multiclass_calibration_error(heard.probs, heard.languages, heard.probs.size(1), CALIBRATION_BINS)
            ),
        )


@torch.no_grad()
def hear(model: BLRMoEModel, fs: int, data_dir: str | Path) -> HeardSpeech:
    """Let a model's router hear all utterances of a data directory that are in one language.

    Args:
        model: in evaluation mode; only what its router needs is run.
        fs: its sampling rate in Hz.
        data_dir: folder with wav.scp, utt2lang and, where they are needed, utt2domain and segments.

    Raises:
        ValueError: a table or an audio file is missing or damaged, or an utterance has no language or one that the
            model does not know.
    """
    files, languages, domains = read_pairs(Path(data_dir), model.languages)
    # By size, so that a batch has little padding.
    utterances = sorted(files, key=lambda utterance: size(files[utterance]))
    device = next(model.parameters()).device
    probs = [torch.empty(0, len(model.languages))]
    frames = [torch.empty(0, len(model.languages), dtype=torch.int64)]
    for start in tqdm(range(0, len(utterances), READ_AT_ONCE), desc=str(data_dir), disable=None):
        waves = [audio.load(files[utterance], fs) for utterance in utterances[start : start + READ_AT_ONCE]]
        for batch in audio.in_batches(waves, BATCH_SECONDS * fs):
            speech = torch.nn.utils.rnn.pad_sequence([waves[n] for n in batch], batch_first=True)
            routing = model.route(speech.to(device), torch.tensor([len(waves[n]) for n in batch], device=device))
            probs.append(routing.utterance_probs.cpu())
            frames.append(routing.frame_counts().cpu())
    right = torch.tensor([model.languages.index(languages[u]) for u in utterances], dtype=torch.int64)
    return HeardSpeech(tuple(domains[u] for u in utterances), right, torch.cat(probs), torch.cat(frames))


def size(path: str) -> int:
    """Bytes of a file; for a stretch of one, about as many as it would have as a file."""
    file, first, end = split_range(path)
    return Path(file).stat().st_size if end is None else 2 * (end - first)


def read_pairs(data_dir: Path, known: Sequence[str]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Audio file, language and domain of every utterance of a data directory that is in one language.

    Raises:
        ValueError: see `hear`.
    """
    files, languages = read_audio_table(data_dir / "wav.scp"), read_table(data_dir / "utt2lang")
    has_domains = (data_dir / "utt2domain").is_file()
    domains = read_table(data_dir / "utt2domain") if has_domains else dict.fromkeys(files, data_dir.name)
    for utterance, file in files.items():
        if utterance not in languages or utterance not in domains:
            raise ValueError(f"{data_dir}: utterance {utterance} is missing in utt2lang or utt2domain")
        for language in label_languages(languages[utterance]):
            if language not in known:
                raise ValueError(f"{data_dir / 'utt2lang'}: utterance {utterance} has language {language!r}; "
                                 f"the model knows {', '.join(known)}")
        if not Path(split_range(file)[0]).is_file():
            raise ValueError(f"{data_dir / 'wav.scp'}: utterance {utterance}: {file} does not exist")
    if not files:
        raise ValueError(f"{data_dir / 'wav.scp'} has no utterance")
    scored = [utterance for utterance in files if len(label_languages(languages[utterance])) == 1]
    return ({utterance: files[utterance] for utterance in scored},
            {utterance: main_language(languages[utterance]) for utterance in scored}, domains)
