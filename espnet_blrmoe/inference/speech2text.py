"""Speech2Text: audio of any kind and length -> text, the detected language and a timeline of languages."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from espnet2.bin import asr_inference
from torchaudio.functional import TokenSpan

from espnet_blrmoe import audio
from espnet_blrmoe.espnet_internals import BatchScorerInterface, decode_encoded
from espnet_blrmoe.files.model_files import files_of
from espnet_blrmoe.files.trained_model import sampling_rate
from espnet_blrmoe.files.weights import load_weights
from espnet_blrmoe.inference.assembly import Assembly, best_text
from espnet_blrmoe.inference.checks import check_best_path, checked_config
from espnet_blrmoe.inference.confidence import Calibration
from espnet_blrmoe.inference.hotword_scorer import HotwordScorer, HotwordScorers
from espnet_blrmoe.inference.hotwords import Hotwords
from espnet_blrmoe.inference.ngram import NGRAM_WEIGHT
from espnet_blrmoe.inference.ngram_scorer import NgramScorers
from espnet_blrmoe.inference.pauses import VADS
from espnet_blrmoe.inference.pieces import EncodedPiece, Piece, RecognisedPiece, in_batches, padded
from espnet_blrmoe.inference.speech_activity import network
from espnet_blrmoe.inference.transcript import NBest, Transcript, Word
from espnet_blrmoe.inference.words import aligned, words_of
from espnet_blrmoe.languages import AllowedLanguages
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior
from espnet_blrmoe.progress import progress_bar

CHUNK_SECONDS = 8.0  # best for a model trained on short sentences: docs/long_audio.md
# Audio that is encoded at once, padding included: bounds the memory, whatever is transcribed. On CPUs, more is slower.
BATCH_SECONDS, CPU_BATCH_SECONDS = 300, 80
TEXT_BEAM_SIZE = 10  # with hotwords or n-grams, in place of the best path: benchmarks/NOTES.md

Audio = str | Path | np.ndarray | torch.Tensor
Scorers = dict[str, BatchScorerInterface]
Languages = str | Sequence[str] | Mapping[float, str | Sequence[str]] | AllowedLanguages  # see AllowedLanguages.of


class Speech2Text(asr_inference.Speech2Text):
    """Recogniser of a BLR-MoE model, built on ESPnet's class of the same name.

    Args:
        asr_train_config: config.yaml of the training.
        asr_model_file: checkpoint.
        languages: languages that may be detected, e.g. ["en", "de"], or, changing over time, {0: "en,de", 12: "fr"}
            or "en,de 12:fr" (from second 12 on French); None allows all of the model's.
        language_penalty: nats taken off the log-probability of every other language; infinity excludes them.
        language_escape: probability of the other languages, averaged over an utterance (or chunk), above which its list
            is ignored as wrong; None: never.
        language_smoothing: "viterbi" takes the most probable sequence of languages, in which every switch has a cost.
            Otherwise, over what the router's log-probabilities are averaged before it chooses a frame's language:
            "frame", "utterance" (or chunk), or a number of milliseconds around the frame.
        language_switch_cost: nats, for "viterbi"; None: SWITCH_COST of espnet_blrmoe.model.prior.
        chunk_seconds: longer audio is cut into chunks of at most this length; at least 1; infinity: never. About as
            long as the clips that the model was trained on.
        vad: where it is cut: "silero", at the pauses that silero-vad's network finds, which are not recognised, and
            speech that goes on for longer at its widest short pauses; "none", all audio at the quietest place near the
            end of each chunk. With "silero", shorter audio is cut at pauses of half a second, and any audio at shorter
            ones where the CTC is more certain of the parts.
        hotwords: words and phrases that are likely to be said, in all languages or some; see
            espnet_blrmoe.inference.hotwords. With some, the beam search replaces the CTC's best path, with a
            `beam_size` of TEXT_BEAM_SIZE.
        ngram: folder with word n-grams, an ARPA file for each language, en.arpa; that of a chunk's detected language
            scores its words, in the beam search as above. `ngram_weight` weighs it, NGRAM_WEIGHT by default.
        espnet_options: options of espnet2.bin.asr_inference.Speech2Text: beam_size, ctc_weight, device, ...
            A model trained with CTC only is decoded with CTC only, whatever `ctc_weight` says. Its `beam_size` is 1 by
            default: the CTC's best path, for whole batches, which refuses options of a beam search, such as `lm_file`.

    Several threads may use one object, each with lists of its own.

    Raises:
        ValueError: a file is missing or broken, the model is not a BLR-MoE model, the device cannot be used, a language
            is unknown, or an option is out of its range.

    Example:
        >>> speech2text = Speech2Text("exp/asr/config.yaml", "exp/asr/valid.loss.ave.pth", languages=["en", "de"])
        >>> transcript = speech2text("talk.mp3")
        >>> transcript.text, transcript.language, transcript.language_probability
    """

    def __init__(
        self,
        asr_train_config: str | Path,
        asr_model_file: str | Path,
        languages: Languages | None = None,
        language_penalty: float = math.inf,
        language_escape: float | None = None,
        language_smoothing: str | float = "viterbi",
        language_switch_cost: float | None = None,
        chunk_seconds: float = CHUNK_SECONDS,
        vad: str = "silero",
        hotwords: Hotwords | None = None,
        ngram: str | Path | None = None,
        **espnet_options: Any,
    ) -> None:
        if not chunk_seconds >= 1:
            raise ValueError(f"chunk_seconds must be a number of seconds, 1 or more, not {chunk_seconds}")
        if vad not in VADS:
            raise ValueError(f"vad must be {' or '.join(VADS)}, not {vad!r}")
        config = checked_config(asr_train_config, asr_model_file, espnet_options)
        if config["model_conf"].get("ctc_weight") == 1.0:  # no decoder; ESPnet's defaults would give nonsense, slowly
            espnet_options = {"beam_size": 1, **espnet_options, "ctc_weight": 1.0}
        self._is_best_path = espnet_options.get("beam_size") == 1 and config["model_conf"].get("ctc_weight") == 1.0
        if self._is_best_path:
            if hotwords is None and ngram is None:
                check_best_path(espnet_options)
            beam_size = min(TEXT_BEAM_SIZE, len(config["token_list"]) - 1)  # a beam of all tokens takes blanks
            espnet_options = espnet_options | {"beam_size": beam_size}
        if espnet_options.get("quantize_asr_model"):  # ESPnet has to load the weights, then quantizes them
            super().__init__(str(asr_train_config), str(asr_model_file), **espnet_options)
        else:  # ESPnet overlooks missing and unexpected weights
            super().__init__(str(asr_train_config), **espnet_options)
            load_weights(self.asr_model, asr_model_file)
        assert isinstance(self.asr_model, BLRMoEModel)
        self._hotword_scorers = HotwordScorers(self)
        self._hotwords = self._hotword_scorers.of(hotwords)
        self._ngram_scorers = NgramScorers(self, ngram, espnet_options.get("ngram_weight", NGRAM_WEIGHT))
        self._beam_search_lock = threading.Lock()  # ESPnet's scorers keep the utterance that they are at
        network()  # loaded before threads share it
        self._read_settings(config)
        self._assembly = Assembly(self)
        self._chunk_seconds, self._cut = chunk_seconds, VADS[vad]
        self._penalty = language_penalty
        self._choice = LanguageChoice.smoothed(
            language_smoothing, self.seconds_per_frame, language_switch_cost, language_escape
        )
        self._allowed = None if languages is None else AllowedLanguages.of(languages, self.languages)
        if self._allowed is not None:  # a wrong penalty is told here, not at the first utterance
            LanguagePrior.allow([self._allowed], self.languages, language_penalty, times=torch.zeros(1, 1))

    def _read_settings(self, config: dict[str, Any]) -> None:
        """What the model's configuration says of its audio, frames and confidences."""
        embed = self.asr_model.encoder.embed
        hop = getattr(self.asr_model.frontend, "hop_length", 128)
        self.languages = self.asr_model.languages
        self.fs = sampling_rate(config)
        self.calibration = Calibration.of_config(config)
        self.volume = config.get("speech_volume_normalize")  # ESPnet's preprocessor scales the training's peaks to it
        self.seconds_per_frame = embed.factor * hop / self.fs

    @classmethod
    def from_pretrained(
        cls, model_tag: str | Path, cachedir: str | Path | None = None, **options: Any
    ) -> "Speech2Text":
        """Load the model of a folder, or a packed one, of which nothing is trusted: see espnet_blrmoe.files.sharing.

        Args:
            model_tag: folder with config.yaml and model.pth, packed file, URL, id on the Hugging Face hub, or name in
                espnet_model_zoo's table.
            cachedir: folder to unpack it into; None: espnet_model_zoo's.
            options: the constructor's.

        Raises:
            ValueError: it cannot be fetched or is damaged, hostile or not a BLR-MoE model.
        """
        return cls(**options | files_of(model_tag, cachedir))

    def __call__(
        self,
        speech: Audio,
        languages: Languages | None = None,
        rate: int | None = None,
        return_timeline: bool = True,
        hotwords: Hotwords | None = None,
    ) -> Transcript:
        """Recognise one utterance or file; arguments as of `batch`, but one audio and one list of languages."""
        return self.batch([speech], None if languages is None else [languages], rate, return_timeline, hotwords)[0]

    @torch.no_grad()
    def batch(
        self,
        speeches: Sequence[Audio],
        languages: Sequence[Languages] | None = None,
        rate: int | None = None,
        return_timeline: bool = True,
        hotwords: Hotwords | None = None,
    ) -> list[Transcript]:
        """Recognise several utterances or files at once.

        Where nobody speaks, nothing is recognised: silence and noise have no text and no language.

        Args:
            speeches: files, or arrays (samples,) or (samples, channels), floating point in [-1, 1]; of any length.
            languages: the allowed languages of each utterance; None for the instance's.
            rate: the arrays' sampling rate in Hz; None: the model's, `fs`. Files state their own.
            return_timeline: False leaves the timelines empty.
            hotwords: of all these utterances; None for the instance's, "" for none.

        Raises:
            ValueError: a file cannot be read, an utterance is empty or holds integers, NaN or absurdly large samples, a
                language is unknown, `languages` is not one list per utterance, or the tokens cannot spell a hotword.
        """
        if languages is not None and len(languages) != len(speeches):
            raise ValueError(f"got {len(languages)} lists of languages for {len(speeches)} utterances; give one each")
        if not speeches:
            return []
        allowed = [self._allowed] * len(speeches)
        if languages is not None:
            allowed = [AllowedLanguages.of(own, self.languages) for own in languages]
        scorers = self._hotwords if hotwords is None else self._hotword_scorers.of(hotwords)
        pieces = [piece for n, speech in enumerate(speeches) for piece in self._pieces(n, speech, rate)]
        recognised = [self._assembly.unspoken(piece) for piece in pieces if not piece.has_speech]
        for batch in self._batches([piece for piece in pieces if piece.has_speech]):
            recognised += self._recognise(batch, allowed, scorers)
        recognised.sort(key=lambda piece: (piece.utterance, piece.start))
        utterances = groupby(recognised, key=lambda piece: piece.utterance)
        return [self._assembly.transcript(list(chunks), return_timeline) for _, chunks in utterances]

    def batch_decode(
        self, speech: Sequence[Audio] | torch.Tensor, speech_lengths: Sequence[int] | torch.Tensor | None = None
    ) -> list[NBest]:
        """The n-best lists of several utterances, as ESPnet 202611's method of this name gives them.

        Args:
            speech: utterances as of `batch`, or (B, samples), padded.
            speech_lengths: (B,) samples of each padded utterance.
        """
        lengths = [None] * len(speech) if speech_lengths is None else map(int, speech_lengths)
        waves = [wave if length is None else wave[:length] for wave, length in zip(speech, lengths)]
        return [transcript.hypotheses for transcript in self.batch(waves)]

    def _pieces(self, utterance: int, speech: Audio, rate: int | None) -> list[Piece]:
        """An utterance in pieces."""
        wave = audio.load(speech, self.fs, rate)
        if self.volume is not None and wave.any():
            wave = wave * self.volume / wave.abs().max()
        stretches = self._cut(wave, self.fs, self._chunk_seconds)
        wave = wave.to(getattr(torch, self.dtype))
        return [Piece(utterance, wave[stretch.start : stretch.end], *stretch) for stretch in stretches]

    @property
    def _most_samples(self) -> int:
        """The most samples that are encoded at once, padding included."""
        return (CPU_BATCH_SECONDS if torch.device(self.device).type == "cpu" else BATCH_SECONDS) * self.fs

    def _batches(self, pieces: list[Piece]) -> Iterator[list[Piece]]:
        """Batches of pieces; shows progress."""
        with progress_bar(total=len(pieces), unit="chunk", delay=5, leave=False) as progress:
            for batch in in_batches(pieces, self._most_samples):
                yield batch
                progress.update(len(batch))

    def _recognise(
        self, batch: list[Piece], allowed: list[AllowedLanguages | None], hotwords: dict[str, HotwordScorer]
    ) -> list[RecognisedPiece]:
        """The same pieces, recognised, each under its utterance's list of languages: whole, or part by part where the
        CTC's best paths are together more probable. The parts have the pauses' frames less, which counts for them."""
        recognised = []
        for whole, parts in zip(self._encode(batch, allowed), self._encode_parts(batch, allowed)):
            if parts and sum(map(self._best_path_log_prob, parts)) > self._best_path_log_prob(whole):
                pauses = [piece for piece in whole.piece.in_parts() if not piece.has_speech]
                recognised += [*map(self._assembly.unspoken, pauses), *(self._decode(part, hotwords) for part in parts)]
            else:
                recognised.append(self._decode(whole, hotwords))
        return recognised

    def _encode_parts(
        self, batch: list[Piece], allowed: list[AllowedLanguages | None]
    ) -> list[list[EncodedPiece]]:
        """For each piece its parts, each heard by itself; none without CTC, or where a piece gets one language."""
        if self.asr_model.ctc is None or self._choice.window is None:
            return [[] for _ in batch]
        in_parts = [[part for part in piece.in_parts() if part.has_speech] for piece in batch]
        encoded: dict[tuple[int, int], EncodedPiece] = {}  # by utterance and start
        for parts in in_batches(chain.from_iterable(in_parts), self._most_samples):
            encoded |= {(own.piece.utterance, own.piece.start): own for own in self._encode(parts, allowed)}
        return [[encoded[part.utterance, part.start] for part in parts] for parts in in_parts]

    def _encode(self, batch: list[Piece], allowed: list[AllowedLanguages | None]) -> list[EncodedPiece]:
        """The same pieces after the encoder, each under its utterance's list of languages."""
        choice = self._choice_of(batch, allowed)
        outs, lengths, routing = self.asr_model.encode_with_routing(*padded(batch, self.device), choice)
        probs, languages = routing.utterance_probs.cpu(), routing.language.cpu()
        encoded = []
        for n, (piece, length, excluded) in enumerate(zip(batch, lengths.tolist(), routing.excluded.tolist())):
            among = [language for language, is_out in zip(self.languages, excluded) if not is_out]
            encoded.append(EncodedPiece(piece, outs[n, :length], probs[n], languages[n, :length], among))
        return encoded

    def _best_path_log_prob(self, encoded: EncodedPiece) -> float:
        """Of the CTC, in nats."""
        return float(self.asr_model.ctc_log_probs(encoded.out, encoded.allowed).float().amax(dim=-1).sum())

    def _decode(self, encoded: EncodedPiece, hotwords: dict[str, HotwordScorer]) -> RecognisedPiece:
        """What is said in a piece."""
        language = self._assembly.most_probable(encoded.probs)[0]
        scorers: Scorers = dict(self._ngram_scorers.of(language))
        if language in hotwords:
            scorers["hotwords"] = hotwords[language]
        nbest, spans = self._nbest(encoded, scorers)
        piece, words = encoded.piece, self._words(encoded, nbest, spans)
        place = (piece.utterance, piece.start, piece.end)
        return RecognisedPiece(*place, nbest, encoded.probs, encoded.frame_languages, words)

    def _choice_of(self, batch: list[Piece], allowed: list[AllowedLanguages | None]) -> LanguageChoice:
        """The choice for a batch of pieces, each of which begins somewhere in its recording, whose list it has."""
        of_pieces = [allowed[piece.utterance] for piece in batch]
        if all(own is None for own in of_pieces):
            return self._choice
        lists = [AllowedLanguages.of(self.languages, self.languages) if own is None else own for own in of_pieces]
        most_frames = max(len(piece.wave) for piece in batch) / self.fs / self.seconds_per_frame + 1
        middles = (torch.arange(math.ceil(most_frames)) + 0.5) * self.seconds_per_frame
        starts = torch.tensor([[piece.start / self.fs] for piece in batch])
        prior = LanguagePrior.allow(lists, self.languages, self._penalty, times=starts + middles)
        return replace(self._choice, prior=prior)

    def _nbest(self, encoded: EncodedPiece, scorers: Scorers) -> tuple[NBest, list[TokenSpan]]:
        """The n-best list of a piece, and where the best one's tokens are, if the model has a CTC."""
        has_ctc = self.asr_model.ctc is not None
        log_probs = self.asr_model.ctc_log_probs(encoded.out, encoded.allowed) if has_ctc else None
        if log_probs is not None and self._is_best_path and not scorers:
            nbest = self._best_path(log_probs)
        else:
            with self.asr_model.recognise_among(encoded.allowed):
                nbest = self._beam_search(encoded.out, scorers)
        # Byte fallback can spell a line's end, which would break tables of texts.
        nbest = [(" ".join((text or "").split()), *rest) for text, *rest in nbest]
        if log_probs is None or not best_text(nbest):
            return nbest, []
        return nbest, aligned(log_probs, nbest[0][2], self.asr_model.blank_id)

    def _words(self, encoded: EncodedPiece, nbest: NBest, spans: list[TokenSpan]) -> tuple[Word, ...]:
        """The words of a piece, with the times of its recording."""
        if not spans:
            return ()
        languages = [self.languages[language] for language in encoded.frame_languages.tolist()]
        to_text, start, seconds = self.tokenizer.tokens2text, encoded.piece.start / self.fs, self.seconds_per_frame
        return words_of(nbest[0][1], spans, to_text, languages, start, seconds, self.calibration)

    def _beam_search(self, encoder_out: torch.Tensor, scorers: Scorers) -> NBest:
        """ESPnet's search, with scorers of texts by name."""
        with self._beam_search_lock:
            return decode_encoded(self, encoder_out, scorers)

    def _best_path(self, log_probs: torch.Tensor) -> NBest:
        """The most probable token of every frame, without repetitions and blanks, from (T, V)."""
        scores, ids = log_probs.max(dim=-1)
        token_ids = [token for token, _ in groupby(ids.tolist()) if token != self.asr_model.blank_id]
        tokens = self.converter.ids2tokens(token_ids)
        hypothesis = self._assembly.hypothesis(token_ids, scores.sum())
        return [(self.tokenizer.tokens2text(tokens), tokens, token_ids, hypothesis)]
