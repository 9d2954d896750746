"""BLRMoEModel: ESPnet's ASR model plus the language-identification loss of the router."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr.specaug.abs_specaug import AbsSpecAug
from espnet2.torch_utils.device_funcs import force_gatherable
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from espnet_blrmoe.espnet_internals import extract_features
from espnet_blrmoe.languages import decode_label
from espnet_blrmoe.model.chunks import Chunking
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.language_labels import IGNORED, LanguageLabels
from espnet_blrmoe.model.past import WHOLE, Whole
from espnet_blrmoe.model.prior import LanguageChoice
from espnet_blrmoe.model.routing import Routing
from espnet_blrmoe.model.running_mvn import RunningMVN
from espnet_blrmoe.model.streamable import refuse_what_cannot_stream

LOG_ZERO = -1e10  # as in ESPnet's CTC prefix scorer, which would make NaN of minus infinity

# Token ids that the CTC gives no probability: those of `recognise_among`, on their way past ESPnet's beam search.
_FOREIGN_TOKENS: ContextVar[list[int]] = ContextVar("foreign_tokens", default=[])


class BLRMoEModel(ESPnetASRModel):
    """CTC or hybrid CTC/attention model with a BLR-MoE encoder. `model: blr_moe` in ESPnet.

    The loss is ESPnet's plus `lid_weight` times the router's (paper section "Training": lambda = 0.3).

    Args:
        lid_weight: weight of the LID loss.
        lid_loss: "frame", cross-entropy of every frame with its language (frames in pauses have none; where only the
            order of languages is known, the likelihood of that order, whenever the language changes), or "ctc", CTC
            over the sequence of languages, with a blank of constant logit 0.
        added_tokens: for languages that were added to a trained model, those of their tokens that its vocabulary
            lacked. Where a prior excludes all languages of such a token, it is not recognised.
        Others: ESPnetASRModel's.

    Raises:
        ValueError: the encoder is not `blr_moe`, `lid_loss` does not exist, `added_tokens` names a language or token
            that the model does not have, or the encoder has `chunk_sizes` and another part cannot follow a stream.
    """

    def __init__(
        self,
        *args,
        lid_weight: float = 0.3,
        lid_loss: str = "frame",
        added_tokens: dict[str, list[str]] | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if not isinstance(self.encoder, BLRMoEEncoder):
            raise ValueError(f"model blr_moe needs encoder blr_moe, not {type(self.encoder).__name__}")
        if lid_loss not in ("frame", "ctc"):
            raise ValueError(f"model_conf: lid_loss must be frame or ctc, not {lid_loss!r}")
        if self.encoder.chunk_sizes is not None:
            refuse_what_cannot_stream(self)
        self.lid_weight = lid_weight
        self.lid_loss = lid_loss
        self._added_tokens: dict[str, set[int]] = {}  # the same as token ids
        for language, tokens in (added_tokens or {}).items():
            if language not in self.languages or not set(tokens) <= set(self.token_list):
                raise ValueError(f"model_conf: added_tokens of {language!r}: an unknown language or an unknown token")
            self._added_tokens[language] = {self.token_list.index(token) for token in tokens}
        if getattr(self.frontend, "apply_stft", self.frontend is not None):  # its input is audio
            self.frontend.register_forward_pre_hook(self._with_silence)
        if self._added_tokens:
            self.ctc.ctc_lo.register_forward_hook(_without_foreign_tokens)

    @property
    def languages(self) -> tuple[str, ...]:
        """The model's languages, in the order of the router's classes."""
        return self.encoder.languages

    @property
    def shortest_speech(self) -> int:
        """Samples that one frame of the encoder sees; shorter utterances get silence behind them, in any use."""
        stft = getattr(self.frontend, "stft", self.frontend)
        window = getattr(stft, "n_fft", getattr(stft, "win_length", 512))
        return window + (self.encoder.embed.window - 1) * getattr(self.frontend, "hop_length", 128)

    def _with_silence(
        self, frontend: torch.nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Forward pre-hook of the front end: (B, samples, ...) and (B,), all of them long enough; None: as they are."""
        speech, lengths = inputs
        shortest = self.shortest_speech
        if int(lengths.min()) >= shortest:
            return None
        padding = torch.arange(speech.size(1), device=speech.device) >= lengths.unsqueeze(1)
        speech = speech.masked_fill(padding[(..., *[None] * (speech.dim() - 2))], 0.0)
        missing = max(0, shortest - speech.size(1))
        return F.pad(speech, (*[0, 0] * (speech.dim() - 2), 0, missing)), lengths.clamp(min=shortest)

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        lid: torch.Tensor | None = None,
        utt_id: list[str] | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss and statistics of a batch.

        Args:
            speech: (B, samples) float32.
            speech_lengths: (B,).
            text: (B, tokens) int64, padded with -1.
            text_lengths: (B,).
            lid: (B, L) int64 language labels, as BLRMoEPreprocessor makes them, padded with -1.
            utt_id: utterance ids, for error messages.

        Returns:
            loss, statistics (ESPnet's, `loss_lid`, `acc_lid` over the frames whose language is known and
            `acc_lid_utt`, of the language that most of an utterance's frames are known to be in), B.

        Raises:
            ValueError: no labels, or a language that is not the model's (names the utterance).
        """
        labels = self.language_labels(lid, utt_id).to(speech.device)
        with self.encoder.route(labels=labels) as routings:
            loss, stats, weight = super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        loss_lid, lid_stats = self.lid_loss_and_stats(routings[0], labels)
        loss = loss + self.lid_weight * loss_lid
        stats.update(lid_stats, loss=loss.detach())
        return force_gatherable((loss, stats, weight), loss.device)

    def collect_feats(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> dict[str, torch.Tensor]:
        """Features for ESPnet's statistics; language labels are checked here, before any training."""
        self.language_labels(kwargs.get("lid"), kwargs.get("utt_id"))
        return super().collect_feats(speech, speech_lengths, text, text_lengths)

    def encode_with_routing(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        choice: LanguageChoice,
        chunking: Chunking | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, Routing]:
        """Encode for recognition.

        Args:
            speech: (B, samples).
            speech_lengths: (B,).
            choice: what is known of the languages, and how the router's choice takes it.
            chunking: how far frames see, as in a stream; None: all of the utterance.

        Returns:
            (B, T, D) encoder output, (B,) lengths, the Routing.
        """
        with self.encoder.route(choice=choice, chunking=chunking) as routings:
            encoder_out, lengths = self.encode(speech, speech_lengths)
        return encoder_out, lengths, routings[0]

    def foreign_tokens(self, languages: Iterable[str]) -> list[int]:
        """Ids of the tokens that came with added languages, none of which is among these."""
        added = self._added_tokens
        own = set().union(*(added.get(language, ()) for language in languages))
        return sorted(set().union(*added.values()) - own)

    @contextmanager
    def recognise_among(self, languages: Iterable[str]) -> Iterator[None]:
        """Inside the `with`, in this thread, the CTC gives tokens foreign to these languages no probability.

        What it gives the others is what it gave them before those tokens were added.
        """
        token = _FOREIGN_TOKENS.set(self.foreign_tokens(languages))
        try:
            yield
        finally:
            _FOREIGN_TOKENS.reset(token)

    def ctc_log_probs(self, encoder_out: torch.Tensor, languages: Iterable[str]) -> torch.Tensor:
        """(T, D) of one utterance -> (T, V), of each token; minus infinity for those foreign to these languages."""
        with self.recognise_among(languages):
            return self.ctc.log_softmax(encoder_out.unsqueeze(0))[0]

    def route(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, specaug: AbsSpecAug | None = None
    ) -> Routing:
        """Run only what the router needs, for training it by itself; arguments as in `features`."""
        return self.encoder.route_features(*self.features(speech, speech_lengths, specaug))

    def features(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        specaug: AbsSpecAug | None = None,
        past: Whole = WHOLE,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoder is given, as ESPnet's encode makes it.

        Args:
            speech: (B, samples).
            speech_lengths: (B,).
            specaug: masks the features, as ESPnet's models do in training.
            past: of the streams whose next chunk the speech is.

        Returns:
            (B, T_in, input_size) normalised features, (B,) lengths.
        """
        with torch.autocast(speech.device.type, enabled=self.autocast_frontend):
            feats, lengths = extract_features(self, speech, speech_lengths)
            if specaug is not None:
                feats, lengths = specaug(feats, lengths)
            if isinstance(self.normalize, RunningMVN):
                again = self.encoder.embed.window - self.encoder.embed.factor  # the next chunk begins with them
                feats, lengths = self.normalize(feats, lengths, past, again)
            elif self.normalize is not None:
                feats, lengths = self.normalize(feats, lengths)
        if self.preencoder is not None:
            feats, lengths = self.preencoder(feats, lengths)
        return feats, lengths

    def language_labels(self, lid: torch.Tensor | None, utt_id: list[str] | None) -> LanguageLabels:
        """The labels of (B, L) int64, on the CPU."""
        if lid is None:
            utterances = f"utterance {utt_id[0]}" if utt_id else "a batch"
            raise ValueError(
                f"{utterances} comes without a language label; add utt2lang to the training and validation data: "
                "--train_data_path_and_name_and_type dump/raw/train/utt2lang,lid,text, and use preprocessor blr_moe"
            )
        stretches = [decode_label(label) for label in lid.tolist()]
        for position, own in enumerate(stretches):
            unknown = [code for code, *_ in own if code not in self.languages]
            if unknown:
                raise ValueError(
                    f"utterance {utterance_name(utt_id, position)} has language {unknown[0]!r} in utt2lang; this "
                    f"model's encoder_conf knows {', '.join(self.languages)}"
                )
        return LanguageLabels.of(stretches, self.languages)

    def lid_loss_and_stats(
        self, routing: Routing, labels: LanguageLabels
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """LID loss of a batch and its statistics, the same keys on every rank.

        The loss is an utterance's negative log-likelihood, summed over its frames and averaged over the batch, as
        ESPnet's CTC loss is: only then does `lid_weight` weigh like against like.

        Args:
            routing: of the batch.
            labels: the utterances' languages.
        """
        targets = labels.spoken(routing.valid)
        if self.lid_loss == "frame":
            loss = F.cross_entropy(routing.logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="sum")
            if labels.ordered:
                loss = loss + self._order_loss(routing, labels)
            loss = loss / len(targets)
        else:
            loss = self._lid_ctc_loss(routing, labels)
        with torch.no_grad():
            spoken = F.one_hot(targets.clamp(min=0), routing.logits.size(-1)) * (targets != IGNORED).unsqueeze(-1)
            frames = spoken.sum(dim=1)  # of each utterance in each language
            stats = {
                "loss_lid": loss.detach(),
                "acc_lid": (routing.logits.argmax(dim=-1) == targets).sum() / frames.sum(),
                "acc_lid_utt": _share(routing.utterance_probs.argmax(dim=-1) == frames.argmax(dim=-1), frames),
            }
        return loss, stats

    def _order_loss(self, routing: Routing, labels: LanguageLabels) -> torch.Tensor:
        """The negative log-likelihood of the languages in their order, summed over the spans of which no more is known.

        It sums over all times at which one language may follow the other: CTC without a blank, which for one language
        would be the cross-entropy. A span with fewer frames than languages says nothing.
        """
        spans = [(span.utterance, frames, span.languages) for span, frames in labels.ordered_frames(routing.valid)
                 if frames.stop - frames.start >= len(span.languages)]  # fmt: skip
        if not spans:
            return routing.logits.new_zeros(())
        log_probs = pad_sequence([routing.log_probs[utterance, frames] for utterance, frames, _ in spans])
        return F.ctc_loss(
            F.pad(log_probs, (1, 0), value=LOG_ZERO),
            torch.tensor([1 + language for *_, languages in spans for language in languages], device=log_probs.device),
            [frames.stop - frames.start for _, frames, _ in spans],
            [len(languages) for *_, languages in spans],
            reduction="sum",
        )

    def _lid_ctc_loss(self, routing: Routing, labels: LanguageLabels) -> torch.Tensor:
        """CTC over the sequence of languages. The blank's logit is the constant 0: the router needs no class for it.

        An utterance with fewer frames than languages says nothing.
        """
        log_probs = F.pad(routing.logits, (1, 0)).log_softmax(dim=-1)
        lengths = routing.valid.sum(dim=1)
        languages, target_lengths = labels.sequences()
        losses = F.ctc_loss(
            log_probs.transpose(0, 1), languages + 1, lengths, target_lengths, reduction="none", zero_infinity=True
        )
        return losses.mean()


def _share(is_right: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The share of right utterances, (B,) bool, among those with frames in a known language, (B, E)."""
    return is_right.float().masked_fill(frames.sum(dim=1) == 0, torch.nan).nanmean()


def utterance_name(utt_id: list[str] | None, position: int) -> str:
    """What messages call an utterance of a batch."""
    return utt_id[position] if utt_id else f"number {position} of the batch"


def _without_foreign_tokens(output: torch.nn.Module, inputs: tuple, logits: torch.Tensor) -> torch.Tensor:
    """Forward hook of the CTC's output layer, so that ESPnet's beam search gets its logits masked too."""
    if foreign := _FOREIGN_TOKENS.get():
        logits[..., foreign] = max(LOG_ZERO, torch.finfo(logits.dtype).min)
    return logits
