"""StreamingRecogniser: text and language while people speak, in as many streams at once as there are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch.nn import functional as F

from espnet_blrmoe import audio
from espnet_blrmoe.files.model_files import files_of
from espnet_blrmoe.inference.pieces import RecognisedPiece
from espnet_blrmoe.inference.speech2text import Languages, Speech2Text
from espnet_blrmoe.inference.stream_text import StreamText
from espnet_blrmoe.inference.timeline import timeline_of
from espnet_blrmoe.inference.transcript import StreamPart
from espnet_blrmoe.languages import AllowedLanguages
from espnet_blrmoe.model.prior import LanguagePrior, window_of
from espnet_blrmoe.model.streaming import EncodedChunk, StreamingEncoder, StreamState, frames_of
from espnet_blrmoe.recordings.recording import check_rate

MOST_STREAMS = 64  # that are encoded at once: bounds the memory, however many there are

Samples = np.ndarray | torch.Tensor


class StreamingRecogniser:
    """Recogniser of streams with a BLR-MoE model that was trained for it (encoder_conf: chunk_sizes).

    Text is the CTC's best path. One object serves any number of streams; it keeps nothing of them.

    Args:
        asr_train_config: config.yaml of the training.
        asr_model_file: checkpoint.
        chunk_ms: milliseconds of audio that are recognised at a time: a whole number of frames, not less than the
            shortest chunk that the model was trained with and not more than the longest, where whole utterances count
            as 30 s. More is slower to answer, and better.
        languages, language_penalty: as of Speech2Text.
        language_smoothing: over what the router's log-probabilities are averaged before it chooses a frame's language:
            "frame", or a number of milliseconds up to the frame.
        device: cpu, cuda, ...

    Attributes:
        languages: the model's.
        fs: its sampling rate in Hz.
        latency: seconds from a sound to the text that has heard it, computing aside, at most.

    Raises:
        ValueError: as Speech2Text; or the model was not trained for streaming, or an option is out of its range.

    Example:
        >>> recogniser = StreamingRecogniser.from_pretrained("exp/asr", chunk_ms=320)
        >>> session = recogniser.start(languages=["en", "de"])
        >>> for piece in microphone:
        ...     for part in session.feed(piece):
        ...         print(part.language, part.text)
        >>> print(session.finish().text)
    """

    def __init__(
        self,
        asr_train_config: str | Path,
        asr_model_file: str | Path,
        chunk_ms: float = 320,
        languages: Languages | None = None,
        language_penalty: float = math.inf,
        language_smoothing: str | float = "frame",
        device: str = "cpu",
    ) -> None:
        whole = Speech2Text(asr_train_config, asr_model_file, beam_size=1, ctc_weight=1.0, device=device)
        self.languages, self.fs, self._device, self._model = whole.languages, whole.fs, device, whole.asr_model
        if whole.volume is not None:
            raise ValueError(
                "the model was trained with speech_volume_normalize, which needs the whole utterance; train one without"
            )
        self._seconds_per_frame = whole.seconds_per_frame
        window = None if language_smoothing == "viterbi" else window_of(language_smoothing, self._seconds_per_frame)
        if window is None:
            wanted = "language_smoothing of a stream must be frame or milliseconds"
            raise ValueError(f"{wanted}, not {language_smoothing!r}")
        self._encoder = StreamingEncoder(self._model, frames_of(chunk_ms, self._model, self.fs), window)
        self.latency = self._encoder.samples / self.fs + self._encoder.delay * self._seconds_per_frame
        self._beginning = self._encoder.begin()
        self._penalty = language_penalty
        self._allowed = AllowedLanguages.of(self.languages if languages is None else languages, self.languages)
        LanguagePrior.allow([self.languages], self.languages, language_penalty)  # a wrong penalty is told here
        self._converter, self._tokenizer = whole.converter, whole.tokenizer

    def _new_text(self) -> StreamText:
        """The text of a stream before anything is said."""

        def text_of(ids: list[int]) -> str:
            return self._tokenizer.tokens2text(self._converter.ids2tokens(ids)) or ""

        return StreamText(text_of, self._model.blank_id, self._seconds_per_frame)

    @classmethod
    def from_pretrained(
        cls, model_tag: str | Path, cachedir: str | Path | None = None, **options: Any
    ) -> "StreamingRecogniser":
        """Load a model as Speech2Text.from_pretrained does; options are the constructor's."""
        return cls(**options | files_of(model_tag, cachedir))

    def start(self, languages: Languages | None = None, rate: int | None = None) -> "StreamingSession":
        """A new stream.

        Args:
            languages: those that may be detected, as of Speech2Text; None: the recogniser's.
            rate: sampling rate of its audio in Hz, which is resampled on the way; None: the model's, `fs`.

        Raises:
            ValueError: a language is unknown, or the rate is not a sampling rate of audio.
        """
        return StreamingSession(self, languages, self.fs if rate is None else rate)

    def feed(self, sessions: Sequence["StreamingSession"], pieces: Sequence[Samples]) -> list[list[StreamPart]]:
        """Give several streams of this recogniser a piece of audio each; see StreamingSession.feed.

        Raises:
            ValueError: a session is finished, another recogniser's or there twice, or a piece is unusable; then none
                has been taken.
        """
        self._check(sessions)
        if len(pieces) != len(sessions):
            raise ValueError(f"{len(sessions)} sessions need a piece of audio each, not {len(pieces)} pieces")
        waves = [session._checked(piece) for session, piece in zip(sessions, pieces)]
        for session, wave in zip(sessions, waves):
            session._hear(wave)
        parts: dict[StreamingSession, list[StreamPart]] = {session: [] for session in sessions}
        while ready := [session for session in sessions if len(session._wave) >= self._encoder.samples]:
            for session, heard in zip(ready, self._encode(ready, [self._encoder.chunking.size] * len(ready))):
                if heard.ids:
                    parts[session].append(session._part(heard))
        return list(parts.values())

    def finish(self, sessions: Sequence["StreamingSession"]) -> list[StreamPart]:
        """End several streams; see StreamingSession.finish.

        Raises:
            ValueError: a session is finished, another recogniser's or there twice; then none has been ended.
        """
        self._check(sessions)
        frames = [session._end() for session in sessions]
        steps = [self._encode(sessions, frames)]
        for _ in range(self._encoder.delay // self._encoder.chunking.size):  # what the router has yet to choose for
            steps.append(self._encode(sessions, [0] * len(sessions)))
        return [session._part(*heard, is_last=True) for session, *heard in zip(sessions, *steps)]

    def _check(self, sessions: Sequence["StreamingSession"]) -> None:
        """Raise ValueError unless these are sessions of this recogniser, each of which can be fed."""
        if len(set(sessions)) < len(sessions):
            raise ValueError("a session is there twice; give its audio one piece after another")
        for session in sessions:
            if session._recogniser is not self:
                raise ValueError("a session is another recogniser's; give it to the one that started it")
            if session._is_finished:
                raise ValueError("the session is finished; start another one")

    def _encode(self, sessions: Sequence["StreamingSession"], frames: list[int]) -> list["HeardFrames"]:
        """The next chunk of each stream, with so many frames; what comes out may be of earlier ones."""
        heard = []
        for first in range(0, len(sessions), MOST_STREAMS):
            heard += self._encode_batch(sessions[first:][:MOST_STREAMS], frames[first:][:MOST_STREAMS])
        return heard

    @torch.inference_mode()
    def _encode_batch(self, sessions: Sequence["StreamingSession"], frames: list[int]) -> list["HeardFrames"]:
        encoder = self._encoder
        waves = [session._wave[: encoder.samples] for session in sessions]
        speech = torch.stack([F.pad(wave, (0, encoder.samples - len(wave))) for wave in waves]).to(self._device)
        state = StreamState.joined([session._state for session in sessions])
        prior = self._prior(sessions, state)
        chunk, state = encoder.encode(speech, torch.tensor(frames, device=self._device), state, prior)
        for session, own in zip(sessions, state.split()):
            session._state, session._wave = own, session._wave[encoder.step :]
        return [self._heard(chunk, b) for b in range(len(sessions))]

    def _heard(self, chunk: EncodedChunk, b: int) -> "HeardFrames":
        """The frames of stream `b`."""
        routing, valid = chunk.routing, chunk.routing.valid[b]
        allowed = [code for code, is_out in zip(self.languages, routing.excluded[b].tolist()) if not is_out]
        with self._model.recognise_among(allowed):
            scores, ids = self._model.ctc.log_softmax(chunk.frames[b, valid].unsqueeze(0))[0].max(dim=-1)
        probs, languages = routing.log_probs[b, valid].exp().cpu(), routing.language[b, valid].cpu()
        return HeardFrames(ids.tolist(), scores.tolist(), probs, languages)

    def _prior(self, sessions: Sequence["StreamingSession"], state: StreamState) -> LanguagePrior:
        """The prior of the frames that come out next."""
        lists = [session._allowed for session in sessions]
        frames = state.seen.cpu().unsqueeze(1) - self._encoder.delay + torch.arange(self._encoder.chunking.size)
        times = (frames + 0.5).clamp(min=0.0) * self._seconds_per_frame
        return LanguagePrior.allow(lists, self.languages, self._penalty, times=times)


@dataclass(frozen=True)
class HeardFrames:
    """What some frames of a stream, one after another, have turned out to be.

    Attributes:
        ids: the most probable token of each.
        scores: their log-probabilities.
        probs: (T, E) probability of each language.
        languages: (T,) int64, the language of each.
    """

    ids: list[int]
    scores: list[float]
    probs: torch.Tensor
    languages: torch.Tensor


class StreamingSession:
    """One stream, of StreamingRecogniser.start. Different threads may use different sessions, not the same one."""

    def __init__(self, recogniser: StreamingRecogniser, languages: Languages | None, rate: int):
        check_rate(rate, "the stream")
        self._recogniser = recogniser
        self._resampler = None
        if rate != recogniser.fs:
            self._resampler = soxr.ResampleStream(rate, recogniser.fs, 1, dtype="float32")
        self._wave = torch.zeros(0)  # heard, and not all encoded yet
        self._state = recogniser._beginning
        self._text = recogniser._new_text()
        self._is_finished = False
        self.allow(languages)

    def allow(self, languages: Languages | None) -> None:
        """The languages that may be detected in what is encoded from now on; None: the recogniser's.

        Lists that change over time count seconds from the beginning of the stream.

        Raises:
            ValueError: a language is unknown.
        """
        recogniser = self._recogniser
        self._allowed = recogniser._allowed
        if languages is not None:
            self._allowed = AllowedLanguages.of(languages, recogniser.languages)

    def feed(self, samples: Samples) -> list[StreamPart]:
        """Hear the next piece of audio.

        Args:
            samples: (samples,) floating point in [-1, 1], at least one, at the session's rate.

        Returns:
            what has come out, in time order; nothing where the audio does not complete a chunk.

        Raises:
            ValueError: the piece is empty, not floating point, of several channels, or holds NaN or absurdly large
                samples; or the session is finished. The piece has not been taken then.
        """
        return self._recogniser.feed([self], [samples])[0]

    def finish(self) -> StreamPart:
        """The stream ends here: what is left of it, in one part, whose `text` is all final.

        Raises:
            ValueError: the session is finished.
        """
        return self._recogniser.finish([self])[0]

    def _checked(self, samples: Samples) -> torch.Tensor:
        """A piece of audio that can be heard."""
        if not isinstance(samples, Samples) or samples.ndim != 1:
            raise ValueError("a stream is fed with arrays of one channel, (samples,)")
        return audio.load(samples, self._recogniser.fs).float().cpu()

    def _hear(self, wave: torch.Tensor, is_last: bool = False) -> None:
        if self._resampler is not None:
            wave = torch.from_numpy(self._resampler.resample_chunk(wave.numpy(), last=is_last))
        self._wave = torch.cat([self._wave, wave])

    def _end(self) -> int:
        """End the stream; returns how many frames are left in its audio."""
        self._is_finished = True
        self._hear(torch.zeros(0), is_last=True)
        frames = self._recogniser._encoder.frames_in(len(self._wave))
        is_short = len(self._wave) > 0 and int(self._state.seen) == 0  # shorter than a frame: silence is put behind it
        return max(1, frames) if is_short else frames

    def _part(self, *heard: HeardFrames, is_last: bool = False) -> StreamPart:
        """What frames say that follow each other, and those before."""
        languages, fs, seconds = self._recogniser.languages, self._recogniser.fs, self._recogniser._seconds_per_frame
        first = self._text.frames
        words = []
        for own in heard:
            words += self._text.add(own.ids, own.scores, [languages[language] for language in own.languages.tolist()])
        if is_last:
            words += self._text.finish()
        of_frames, probs = torch.cat([own.languages for own in heard]), torch.cat([own.probs for own in heard])
        mean = probs.sum(dim=0) / max(1, len(probs))
        piece = RecognisedPiece(0, round(first * seconds * fs), 0, [], mean, of_frames, ())
        probability, language = mean.max(dim=0)
        return StreamPart(
            start=round(first * seconds, 3),
            end=round(self._text.frames * seconds, 3),
            text=self._text.text,
            final=self._text.final,
            words=tuple(words),
            language=languages[int(language)] if len(of_frames) else None,
            language_probability=float(probability),
            timeline=timeline_of([piece], languages, fs, seconds),
        )
