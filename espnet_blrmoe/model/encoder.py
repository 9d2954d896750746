"""BLRMoEEncoder: shared blocks, then MLE blocks whose experts one shared router chooses, frame by frame."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_blrmoe.language_groups import LanguageGroups
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.model.blocks import AbsBlock, BlockOptions, block_choices
from espnet_blrmoe.model.blocks.abs_block import LayerNorm
from espnet_blrmoe.model.choices import made
from espnet_blrmoe.model.chunks import ChunkedFrames, Chunking, check_chunks
from espnet_blrmoe.model.experts import PackedExperts
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.packing import PackedFrames, valid_frames
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior
from espnet_blrmoe.model.request import RoutingRequest, request_of, requested
from espnet_blrmoe.model.router import router_choices
from espnet_blrmoe.model.router_inputs import SubsampledBatch, router_input_choices
from espnet_blrmoe.model.routing import Routing
from espnet_blrmoe.model.subsampling import InputLayer


class BLRMoEEncoder(AbsEncoder):
    """Encoder of BLR-MoE; LR-MoE and the paper's ablations are settings of it. `encoder: blr_moe` in ESPnet.

    With one language and a convolutional front end it computes what ESPnet's TransformerEncoder, ConformerEncoder or
    EBranchformerEncoder of the same settings computes; the parameters of its blocks have the same names.

    Args:
        input_size: width of the input features (ESPnet sets it).
        languages: language codes, in the order of the router's classes. With one language there is no router.
        experts: groups of languages that share an expert, by name: {"romance": ["es", "pt"]}. A language in no group
            has an expert of its own; None: all have. Experts have the order of their first languages.
        output_size: D; this and other names are ESPnet's, wherever its encoders have them.
        attention_heads: number of attention heads.
        linear_units: hidden units of the feed-forward modules.
        num_shared_blocks: blocks without experts, before the MLE blocks.
        num_moe_blocks: MLE blocks.
        attention_experts: which of the attention's projections have experts: any of "qkvo", e.g. "vo"
            (BLR-MoE), or "" for none (LR-MoE).
        ffn_experts: whether the feed-forward modules have experts.
        expert_rank: None: every expert has weights of its own; otherwise all share one dense weight and bias of each
            layer, and an expert's own weight is the difference from it, of this rank, which begins as zero.
        block_type: name in `block_choices` ("transformer", "conformer", "e_branchformer"), or a class's dotted path.
        block_conf: the block's options, e.g. those of ConformerBlock.
        router: name in `router_choices` ("tdnn", "linear"), or a class's dotted path.
        router_conf: the router's options.
        router_input: what the router reads: "features" (the encoder's input, as wide a window as each
            encoder frame sees: independent of the ASR part), "subsampled" (after `input_layer`),
            "shared" (after the shared blocks), or a class's dotted path (see AbsRouterInput).
        label_routing: probability with which a training utterance is routed by its label; otherwise by
            the router's own choice. 1.0: by label, 0.0: by prediction, in between: a mix.
        chunk_sizes: frames of the chunks in which the model is to follow a stream, e.g. [4, 8, 16, null]. Every
            training batch draws one of them; null is all of the utterance. None: no training for streaming.
        left_context: frames before its chunk that a frame attends to; of no meaning without `chunk_sizes`.
        dropout_rate, positional_dropout_rate, attention_dropout_rate: as in ESPnet.
        input_layer: front end, see espnet_blrmoe.model.subsampling.InputLayer.
        padding_idx: for `input_layer: embed`.

    Raises:
        ValueError: an option that does not exist or is out of its range, languages that are listed twice, or groups
            that do not fit them.
    """

    def __init__(
        self,
        input_size: int,
        languages: list[str],
        experts: Mapping[str, Sequence[str]] | None = None,
        output_size: int = 256,
        attention_heads: int = 4,
        linear_units: int = 2048,
        num_shared_blocks: int = 6,
        num_moe_blocks: int = 6,
        attention_experts: str | None = "vo",
        ffn_experts: bool = True,
        expert_rank: int | None = None,
        block_type: str = "transformer",
        block_conf: dict | None = None,
        router: str = "tdnn",
        router_conf: dict | None = None,
        router_input: str = "subsampled",
        label_routing: float = 1.0,
        chunk_sizes: list[int | None] | None = None,
        left_context: int = 64,
        dropout_rate: float = 0.1,
        positional_dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.0,
        input_layer: str | None = "conv2d",
        padding_idx: int = -1,
    ):
        super().__init__()
        self.groups = LanguageGroups.of(experts, languages)
        self.embed = InputLayer(input_layer, input_size, output_size, dropout_rate, padding_idx)
        options = BlockOptions(
            output_size, attention_heads, linear_units, dropout_rate, attention_dropout_rate,
            len(self.groups.experts), attention_experts or "", ffn_experts, expert_rank,
        )  # fmt: skip
        of_blocks = [options.without_experts()] * num_shared_blocks + [options] * num_moe_blocks
        blocks = [made(block_choices, block_type, block_conf, own) for own in of_blocks]
        self.pos_enc = (blocks or [AbsBlock])[0].positions(output_size, positional_dropout_rate)
        self.encoders = torch.nn.ModuleList(blocks)
        self.num_shared_blocks = num_shared_blocks
        self.after_norm = LayerNorm(output_size)
        self._input_size, self._output_size = input_size, output_size
        self.put_router(router, router_conf, router_input)
        if not isinstance(label_routing, (int, float)) or not 0 <= label_routing <= 1:
            raise ValueError(f"encoder_conf: label_routing must be a probability, from 0 to 1, not {label_routing!r}")
        self.label_routing = label_routing
        check_chunks(chunk_sizes, left_context, self.pos_enc)
        self.chunk_sizes, self.left_context = chunk_sizes, left_context
        # A checkpoint carries its languages, so that it cannot be loaded as a model of others. Float, because
        # ESPnet's checkpoint averaging sums integers.
        self.register_buffer("language_codes", self._language_codes())

    def extra_repr(self) -> str:
        """What print(model) says of the encoder beside its modules."""
        return f"experts: {self.groups}"

    @property
    def languages(self) -> tuple[str, ...]:
        """Their codes, in the order of the router's classes."""
        return self.groups.languages

    def output_size(self) -> int:
        """D."""
        return self._output_size

    def put_router(self, router: str, router_conf: dict | None, router_input: str) -> None:
        """Give the encoder a new, untrained router, if it has several languages; arguments as in the constructor.

        Raises:
            ValueError: an option does not exist.
        """
        self._router_options = router, router_conf, router_input
        view = made(router_input_choices, router_input, None, self.embed, self._input_size, self._output_size)
        has_choice = len(self.languages) > 1
        self.router_input = view if has_choice else None
        self.router = made(router_choices, router, router_conf, view.size, len(self.languages)) if has_choice else None

    def keep_languages(self, languages: Sequence[str]) -> None:
        """Forget the experts that no other language has, and what the router knows of the others (physical pruning).

        Results are those of the whole encoder when it may choose only among these languages.

        Args:
            languages: some of the encoder's; their order stays the encoder's.

        Raises:
            ValueError: there is none, one is unknown, or the router cannot forget languages.
        """
        wanted = parse_languages(languages, self.languages)
        kept = [n for n, language in enumerate(self.languages) if language in wanted]
        if len(kept) == 1:
            self.router = self.router_input = None
        else:
            self.router.keep_languages(kept)
        old, self.groups = self.groups, self.groups.cut_down(kept)
        for module in self.modules():
            if isinstance(module, PackedExperts):
                module.keep_experts([old.experts.index(name) for name in self.groups.experts])
        self.language_codes = self._language_codes().to(self.language_codes.device)

    def add_language(self, language: str, like: str | None = None, group: str | None = None) -> None:
        """Give one more language an expert, and a class of the router, after the others: the reverse of keep_languages.

        An encoder of one language gets a fresh router.

        Args:
            language: its code.
            like: one of the encoder's languages, whose expert and router class are copied; None: fresh ones.
            group: the name of one of its experts, which the language shares instead of getting one; of `like`,
                only the router class is copied then.

        Raises:
            ValueError: the encoder knows the language already, does not know `like` or `group`, `language` is not one
                code or the name of another group, or the router cannot take in a language.
        """
        codes = parse_languages(language)
        if len(codes) > 1:
            raise ValueError(f"languages are added one at a time, not {language!r}")
        if codes[0] in self.languages:
            raise ValueError(f"the model knows language {codes[0]!r} already: {', '.join(self.languages)}")
        copied = None if like is None else self.languages.index(parse_languages([like], self.languages)[0])
        copied_expert = None if copied is None else self.groups.experts.index(self.groups.names[copied])
        self.groups = self.groups.with_one_more(codes[0], group)
        for module in self.modules():
            if isinstance(module, PackedExperts) and group is None:
                module.add_expert(copied_expert)
        self.language_codes = self._language_codes().to(self.language_codes.device)
        if self.router is None:
            self.put_router(*self._router_options)
            self.router.to(self.language_codes.device)
        else:
            self.router.add_language(copied)

    @contextmanager
    def route(
        self,
        labels: LanguageLabels | None = None,
        prior: LanguagePrior | None = None,
        choice: LanguageChoice | None = None,
        chunking: Chunking | None = None,
    ) -> Iterator[list[Routing]]:
        """Tell the batches encoded inside the `with`, in this thread, what is known of their languages.

        Args:
            labels: the utterances' languages, for routing by label in training.
            prior: restricts the router's choice.
            choice: restricts it and says how it is made; instead of `prior`.
            chunking: how far frames see, as in a stream; None: all of the utterance. In training it is drawn.

        Yields:
            A list that gets one Routing for every batch.
        """
        with requested(RoutingRequest(self, labels, choice or LanguageChoice(prior), chunking)) as routings:
            yield routings

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Encode a batch.

        Args:
            xs_pad: (B, T_in, input_size).
            ilens: (B,) int64, valid input frames of each utterance.
            prev_states: not used (ESPnet's signature).

        Returns:
            (B, T, D) encoder output, zero where padded; (B,) int64 its lengths; None.

        Raises:
            TooShortUttError: an utterance is too short for the front end.
        """
        batch, lengths = self._subsample(xs_pad, ilens)
        return self.encode_frames(batch), lengths, None

    def encode_frames(self, batch: SubsampledBatch) -> torch.Tensor:
        """All that follows the front end: (B, T, D) encoder output, zero where padded."""
        shared, pos_emb = self.run_shared_blocks(batch)
        request = request_of(self)
        routing = self._route_batch(batch, shared, request)
        request.routings.append(routing)
        return self.run_moe_blocks(routing, shared, pos_emb)

    def route_features(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> Routing:
        """Route a batch without encoding it: only front end and router (and shared blocks, if the router reads them).

        Arguments as in `forward`.
        """
        batch, _ = self._subsample(xs_pad, ilens)
        needs_shared = self.router is not None and self.router_input.reads_shared_blocks
        shared = self.run_shared_blocks(batch)[0] if needs_shared else None
        return self._route_batch(batch, shared, request_of(self))

    def _subsample(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> tuple[SubsampledBatch, torch.Tensor]:
        """The batch after the front end, and (B,) its lengths."""
        frames, lengths = self.embed(xs_pad, ilens)
        valid = valid_frames(lengths.to(frames.device), frames.size(1))
        chunking = self._chunking()
        if chunking is None:
            reach = max((block.reach for block in self.encoders), default=0)
            packed = PackedFrames.in_time_order(lengths, tuple(valid.shape), reach)
        else:
            packed = ChunkedFrames.of(lengths, tuple(valid.shape), chunking)
        return SubsampledBatch(xs_pad, frames, valid, packed), lengths

    def _chunking(self) -> Chunking | None:
        """How far the frames of a batch see."""
        if not self.training or self.chunk_sizes is None:
            return request_of(self).chunking
        size = self.chunk_sizes[int(torch.randint(len(self.chunk_sizes), ()))]
        return None if size is None else Chunking(size, self.left_context)

    def run_shared_blocks(self, batch: SubsampledBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Positions and shared blocks: (N, D) packed frames in time order, and the relative positions, if any."""
        embedded, pos_emb = self.pos_enc(batch.frames, batch.packed.span, batch.packed.before)
        x = batch.packed.pack(embedded)
        for block in self.encoders[: self.num_shared_blocks]:
            x = block(x, batch.packed, pos_emb)
        return x, pos_emb

    def run_moe_blocks(
        self, routing: Routing, shared: torch.Tensor, pos_emb: torch.Tensor | None
    ) -> torch.Tensor:
        """All that follows the router: what run_shared_blocks gave -> (B, T, D), zero where padded."""
        x = routing.sort(shared)
        for block in self.encoders[self.num_shared_blocks :]:
            x = block(x, routing.frames, pos_emb)
        return routing.frames.pad(self.after_norm(x))

    def _route_batch(
        self, batch: SubsampledBatch, shared: torch.Tensor | None, request: RoutingRequest
    ) -> Routing:
        valid = batch.valid
        only_language = request.choice.only_language()
        if self.router is None:
            logits = torch.zeros(*valid.shape, 1, device=valid.device)
            language = logits.argmax(dim=-1)
        elif only_language is not None:  # one language each: the router has nothing to choose
            log_weights = request.choice.prior.over(valid.size(1)).to(valid.device)
            logits = log_weights.expand(*valid.shape, -1)
            language = only_language[:, : valid.size(1)].to(valid.device).expand(valid.shape)
        else:
            logits = self.router(self.router_input(batch, shared), valid).float()
            logits = request.choice.weigh(logits, valid)
            language = self._choose_languages(request.choice.choose(logits, valid), request.labels, valid, logits)
        return Routing.of(logits, language, valid, batch.packed, self.groups.expert_of)

    def _choose_languages(
        self, language: torch.Tensor, labels: LanguageLabels | None, valid: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        """(B, T) -> (B, T): the router's choice, or in training the label."""
        if not self.training or labels is None:
            return language
        by_label = torch.rand(len(language), 1, device=language.device) < self.label_routing
        return torch.where(by_label, labels.routed(valid, logits), language)

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        codes = state_dict.get(prefix + "language_codes")
        if codes is not None and not codes.equal(self.language_codes.to(codes)):
            theirs = ",".join("".join(chr(int(c)) for c in row if c) for row in codes.tolist())
            ours = ",".join(self.groups.labels)
            errors.append(f"the checkpoint's languages are {theirs}, the configuration's {ours}")
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

    def _language_codes(self) -> torch.Tensor:
        """(E, longest) float32 code points of the languages and, where they are in one, of their group, padded with 0;
        to be read even in a model on torch's meta device."""
        labels = self.groups.labels
        longest = max(map(len, labels))
        codes = [[float(ord(c)) for c in label.ljust(longest, "\0")] for label in labels]
        return torch.tensor(codes, device="cpu")
