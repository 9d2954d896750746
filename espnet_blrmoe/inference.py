"""Speech2Text with an allowed-language list, the detected language and a timeline of languages."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import humanfriendly
import numpy as np
import torch
from espnet2.bin import asr_inference

from espnet_blrmoe.asr_model import BLRMoEModel
from espnet_blrmoe.checkpoint import load_weights, read_blr_moe_config, read_weights
from espnet_blrmoe.espnet_internals import Hypothesis
from espnet_blrmoe.routing import LanguagePrior, Routing


@dataclass(frozen=True)
class LanguageSpan:
    """A stretch of speech whose frames went to one expert.

    Attributes:
        start, end: seconds.
        language: code.
    """

    start: float
    end: float
    language: str


@dataclass(frozen=True)
class Transcript:
    """What was recognised in one utterance.

    Attributes:
        text: the best hypothesis.
        language: the detected language.
        language_probability: the router's probability of it, averaged over the frames, under the prior.
        timeline: the language of every stretch of speech, in time order.
        frames: encoder frames of each language, in the model's order of languages.
        hypotheses: ESPnet's n-best list of (text, tokens, token ids, Hypothesis).
    """

    text: str
    language: str
    language_probability: float
    timeline: tuple[LanguageSpan, ...]
    frames: dict[str, int]
    hypotheses: list[tuple[str, list[str], list[int], Hypothesis]]


class Speech2Text(asr_inference.Speech2Text):
    """Recogniser of a BLR-MoE model, built on ESPnet's class of the same name.

    Args:
        asr_train_config: config.yaml of the training.
        asr_model_file: checkpoint.
        languages: languages that may be detected, e.g. ["en", "de"]; None allows all of the model's.
        language_penalty: nats taken off the log-probability of every other language; infinity excludes them.
        language_escape: probability of the other languages, averaged over an utterance, above which the utterance
            escapes its list: it was wrong; None: no escape.
        language_smoothing: over what the router's log-probabilities are averaged before it chooses a frame's language:
            "frame", "utterance", or a number of milliseconds around the frame.
        espnet_options: options of espnet2.bin.asr_inference.Speech2Text: beam_size, ctc_weight, device, ...
            A model that was trained with CTC alone is decoded with CTC alone, whatever `ctc_weight` says; with
            `beam_size=1` that is the CTC's best path, for whole batches.

    Raises:
        ValueError: a file is missing or broken, the model is no BLR-MoE model, a language is unknown.

    Example:
        >>> speech2text = Speech2Text("exp/asr/config.yaml", "exp/asr/valid.loss.ave.pth", languages=["en", "de"])
        >>> transcript = speech2text(waveform)
        >>> transcript.text, transcript.language, transcript.language_probability
    """

    def __init__(
        self,
        asr_train_config: str | Path,
        asr_model_file: str | Path,
        languages: str | Sequence[str] | None = None,
        language_penalty: float = math.inf,
        language_escape: float | None = None,
        language_smoothing: str | float = "frame",
        **espnet_options,
    ):
        config = read_blr_moe_config(asr_train_config)
        if config["model_conf"].get("ctc_weight") == 1.0:  # no decoder; ESPnet's default of 0.5 would give nonsense
            espnet_options["ctc_weight"] = 1.0
        if espnet_options.get("quantize_asr_model"):  # ESPnet has to load the weights, then quantizes them,
            read_weights(asr_model_file)  # and would execute whatever a pickle says; this refuses
            super().__init__(str(asr_train_config), str(asr_model_file), **espnet_options)
        else:  # ESPnet overlooks missing and unexpected weights
            super().__init__(str(asr_train_config), **espnet_options)
            load_weights(self.asr_model, asr_model_file)
        assert isinstance(self.asr_model, BLRMoEModel)
        self._is_best_path = espnet_options.get("beam_size") == 1 and self.asr_model.decoder is None
        self.languages = self.asr_model.languages
        frontend = self.asr_train_args.frontend_conf
        embed = self.asr_model.encoder.embed
        hop = frontend.get("hop_length", 128)
        self.fs = humanfriendly.parse_size(str(frontend.get("fs", 16000)))  # ESPnet takes 16000 and "16k"
        self._seconds_per_frame = embed.factor * hop / self.fs
        window = window_of(language_smoothing, self._seconds_per_frame)
        self._allow = functools.partial(
            LanguagePrior.allow,
            languages=self.languages,
            penalty=language_penalty,
            escape=language_escape,
            window=window,
        )
        if languages is None:  # nothing is weighed down, but the router's choice may still be smoothed
            self._prior = None if window == 1 else self._allow([self.languages])
        else:
            self._prior = self._allow([languages])
        # One encoder frame's worth of samples: shorter audio is padded with silence to this.
        self._shortest = frontend.get("n_fft", 512) + (embed.window - 1) * hop

    @classmethod
    def from_pretrained(cls, model_tag: str | None = None, **options) -> "Speech2Text":
        """Download a model with espnet_model_zoo (a tag, a Hugging Face id, a URL or a packed file) and load it."""
        from espnet_model_zoo.downloader import ModelDownloader

        return cls(**options | ModelDownloader().download_and_unpack(model_tag))

    def __call__(
        self, speech: np.ndarray | torch.Tensor, languages: str | Sequence[str] | None = None
    ) -> Transcript:
        """Recognise one utterance: (samples,) at the model's sampling rate; `languages` overrides the instance's."""
        return self.batch([speech], None if languages is None else [languages])[0]

    @torch.no_grad()
    def batch(
        self,
        speeches: Sequence[np.ndarray | torch.Tensor],
        languages: Sequence[str | Sequence[str]] | None = None,
    ) -> list[Transcript]:
        """Recognise several utterances at once.

        Args:
            speeches: arrays (samples,), floating point in [-1, 1].
            languages: the allowed languages of each utterance; None for the instance's.

        Raises:
            ValueError: an utterance is empty, holds NaN or integers, a language is unknown, or `languages` is not one
                list per utterance.
        """
        if languages is not None and len(languages) != len(speeches):
            raise ValueError(f"got {len(languages)} lists of languages for {len(speeches)} utterances; give one each")
        if not speeches:
            return []
        waves = [self._as_wave(speech) for speech in speeches]
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        speech = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(self.device)
        prior = self._prior if languages is None else self._allow(languages)
        encoder_out, out_lengths, routing = self.asr_model.encode_under_prior(speech, lengths, prior)
        utterances = [out[:length] for out, length in zip(encoder_out, out_lengths.tolist())]
        nbest = [self._recognise(utterance, excluded) for utterance, excluded in zip(utterances, routing.excluded)]
        return [self._transcript(hypotheses, routing, position) for position, hypotheses in enumerate(nbest)]

    def _as_wave(self, speech: np.ndarray | torch.Tensor) -> torch.Tensor:
        wave = torch.as_tensor(speech)
        if not wave.is_floating_point():
            raise ValueError(f"speech must be floating point in [-1, 1], got {wave.dtype}; divide int16 by 32768")
        wave = wave.to(getattr(torch, self.dtype))
        if wave.dim() != 1 or len(wave) == 0:
            raise ValueError(f"speech must be one channel with at least one sample, got shape {tuple(wave.shape)}")
        if not wave.isfinite().all():
            raise ValueError("speech holds NaN or infinite samples")
        return torch.nn.functional.pad(wave, (0, max(0, self._shortest - len(wave))))

    def _recognise(self, encoder_out: torch.Tensor, excluded: torch.Tensor) -> list:
        """The n-best list of (T, D); languages that are excluded, (E,) bool, do not get tokens of their own in."""
        languages = [language for language, is_out in zip(self.languages, excluded.tolist()) if not is_out]
        with self.asr_model.recognise_among(languages):
            return self._best_path(encoder_out) if self._is_best_path else self._decode_single_sample(encoder_out)

    def _best_path(self, encoder_out: torch.Tensor) -> list[tuple[str, list[str], list[int], Hypothesis]]:
        """The most probable token of every frame, without repetitions and blanks, from (T, D)."""
        scores, ids = self.asr_model.ctc.log_softmax(encoder_out.unsqueeze(0))[0].max(dim=-1)
        token_ids = [token for token, _ in groupby(ids.tolist()) if token != self.asr_model.blank_id]
        tokens = self.converter.ids2tokens(token_ids)
        sos = self.asr_model.sos
        hypothesis = Hypothesis(yseq=torch.tensor([sos, *token_ids, sos]), score=scores.sum())
        return [(self.tokenizer.tokens2text(tokens), tokens, token_ids, hypothesis)]

    def _transcript(self, hypotheses: list, routing: Routing, position: int) -> Transcript:
        probability, expert = routing.utterance_probs[position].max(dim=-1)
        counts = routing.frame_counts()[position].tolist()
        return Transcript(
            text=hypotheses[0][0] if hypotheses else "",
            language=self.languages[int(expert)],
            language_probability=float(probability),
            timeline=self._timeline(routing.expert[position, routing.valid[position]].tolist()),
            frames=dict(zip(self.languages, counts)),
            hypotheses=hypotheses,
        )

    def _timeline(self, experts: list[int]) -> tuple[LanguageSpan, ...]:
        """Runs of frames with the same expert, in seconds."""
        spans, start = [], 0
        for expert, run in groupby(experts):
            end = start + len(list(run))
            seconds = (round(frame * self._seconds_per_frame, 3) for frame in (start, end))
            spans.append(LanguageSpan(*seconds, self.languages[expert]))
            start = end
        return tuple(spans)


def window_of(smoothing: str | float, seconds_per_frame: float) -> int | None:
    """Smoothing as users say it -> LanguagePrior's window: an odd number of frames, None for the whole utterance.

    Raises:
        ValueError: neither "frame" nor "utterance" nor a positive number of milliseconds.
    """
    if smoothing in ("frame", "utterance"):
        return 1 if smoothing == "frame" else None
    try:
        milliseconds = float(smoothing)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise ValueError(f"language smoothing must be frame, utterance or milliseconds, not {smoothing!r}")
    frames_each_way = round((milliseconds / 1000 / seconds_per_frame - 1) / 2)
    return 2 * max(0, frames_each_way) + 1
