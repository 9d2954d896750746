"""BLRMoEEncoder: shared blocks, then MLE blocks whose experts one shared router chooses, frame by frame."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_blrmoe.espnet_internals import PositionalEncoding, RelPositionalEncoding, get_activation, make_pad_mask
from espnet_blrmoe.languages import parse_languages
from espnet_blrmoe.model.attention import RelPositionSelfAttention, SelfAttention
from espnet_blrmoe.model.experts import ExpertLinear, FeedForward
from espnet_blrmoe.model.layers import ConformerLayer, ConvolutionModule, LayerNorm, TransformerLayer
from espnet_blrmoe.model.router import router_choices
from espnet_blrmoe.model.routing import LanguagePrior, PackedFrames, Routing
from espnet_blrmoe.model.subsampling import InputLayer

ACTIVATIONS = {
    # In place, since nobody else reads its input: hidden units are the largest activations, and fresh memory is slow.
    "relu": lambda: torch.nn.ReLU(inplace=True),
    # ESPnet's Swish is the same in two operations, each of which keeps its input for the backward pass.
    "swish": torch.nn.SiLU,
}


class BLRMoEEncoder(AbsEncoder):
    """Encoder of BLR-MoE; LR-MoE and the paper's ablations are settings of it. `encoder: blr_moe` in ESPnet.

    With one language and a convolutional front end it computes what ESPnet's TransformerEncoder or ConformerEncoder
    (`rel_pos_type: latest`) of the same settings computes; the parameters of its blocks have the same names.

    Args:
        input_size: width of the input features (ESPnet sets it).
        languages: language codes; one expert each, in this order. With one language there is no router.
        output_size: D, as in ESPnet's encoders, like all names that they have too.
        attention_heads: number of attention heads.
        linear_units: hidden units of the feed-forward modules.
        num_shared_blocks: blocks without experts, before the MLE blocks.
        num_moe_blocks: MLE blocks.
        attention_experts: which of the attention's projections have experts: any of "qkvo", e.g. "vo"
            (BLR-MoE), or "" for none (LR-MoE).
        ffn_experts: whether the feed-forward modules have experts.
        block_type: "transformer" or "conformer".
        router: name in `router_choices`.
        router_conf: the router's options.
        router_input: what the router reads: "features" (the encoder's input, as wide a window as each
            encoder frame sees: independent of the ASR part), "subsampled" (after `input_layer`) or
            "shared" (after the shared blocks).
        label_routing: probability with which a training utterance is routed by its label; otherwise by
            the router's own choice. 1.0 by label, 0.0 by prediction, between: a mix.
        dropout_rate, positional_dropout_rate, attention_dropout_rate: as in ESPnet.
        input_layer: front end, see espnet_blrmoe.model.subsampling.InputLayer.
        padding_idx: for `input_layer: embed`.
        activation_type: of the feed-forward and convolution modules; None: "relu" for a Transformer, "swish"
            for a Conformer, as in ESPnet's encoders.
        macaron_style, use_cnn_module, cnn_module_kernel: of Conformer blocks.

    Raises:
        ValueError: an option that does not exist or languages that are listed twice.
    """

    def __init__(
        self,
        input_size: int,
        languages: list[str],
        output_size: int = 256,
        attention_heads: int = 4,
        linear_units: int = 2048,
        num_shared_blocks: int = 6,
        num_moe_blocks: int = 6,
        attention_experts: str | None = "vo",
        ffn_experts: bool = True,
        block_type: str = "transformer",
        router: str = "tdnn",
        router_conf: dict | None = None,
        router_input: str = "subsampled",
        label_routing: float = 1.0,
        dropout_rate: float = 0.1,
        positional_dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.0,
        input_layer: str | None = "conv2d",
        padding_idx: int = -1,
        activation_type: str | None = None,
        macaron_style: bool = True,
        use_cnn_module: bool = True,
        cnn_module_kernel: int = 31,
    ):
        super().__init__()
        self.languages = parse_languages(languages)
        attention_experts = attention_experts or ""
        _choose("attention_experts", set(attention_experts) - set("qkvo"), "any of q, k, v and o")
        _choose("block_type", {block_type} - {"transformer", "conformer"}, "transformer or conformer")

        self.embed = InputLayer(input_layer, input_size, output_size, dropout_rate, padding_idx)
        is_conformer = block_type == "conformer"
        positional_encoding = RelPositionalEncoding if is_conformer else PositionalEncoding
        self.pos_enc = positional_encoding(output_size, positional_dropout_rate)
        self.has_relative_positions = is_conformer
        self.convolution_reach = cnn_module_kernel // 2 if is_conformer and use_cnn_module else 0  # frames each way

        activation_type = activation_type or ("swish" if is_conformer else "relu")
        activation = ACTIVATIONS.get(activation_type, partial(get_activation, activation_type))()

        def block(attention_experts: str, num_experts: int | None) -> torch.nn.Module:
            attention_class = RelPositionSelfAttention if is_conformer else SelfAttention
            attention = attention_class(
                attention_heads, output_size, attention_dropout_rate, attention_experts, len(self.languages)
            )

            def feed_forward() -> FeedForward:
                return FeedForward(output_size, linear_units, dropout_rate, activation, num_experts)

            if not is_conformer:
                return TransformerLayer(output_size, attention, feed_forward(), dropout_rate)
            conv = ConvolutionModule(output_size, cnn_module_kernel, activation) if use_cnn_module else None
            macaron = feed_forward() if macaron_style else None
            return ConformerLayer(output_size, attention, feed_forward(), macaron, conv, dropout_rate)

        shared = [block("", None) for _ in range(num_shared_blocks)]
        moe = [block(attention_experts, len(self.languages) if ffn_experts else None) for _ in range(num_moe_blocks)]
        self.encoders = torch.nn.ModuleList(shared + moe)
        self.num_shared_blocks = num_shared_blocks
        self.after_norm = LayerNorm(output_size)

        self._input_size, self._output_size = input_size, output_size
        self.put_router(router, router_conf, router_input)
        self.label_routing = label_routing
        # A checkpoint carries its languages, so that it cannot be loaded as a model of others. Float, because
        # ESPnet's checkpoint averaging sums integers.
        self.register_buffer("language_codes", _language_codes(self.languages))
        self._labels: torch.Tensor | None = None
        self._prior: LanguagePrior | None = None
        self._routings: list[Routing] | None = None  # a list only inside `route`, or they would pile up

    def output_size(self) -> int:
        """D."""
        return self._output_size

    def put_router(self, router: str, router_conf: dict | None, router_input: str) -> None:
        """Give the encoder a new, untrained router, if it has several languages; arguments as in the constructor.

        Raises:
            ValueError: an option does not exist.
        """
        _choose("router_input", {router_input} - {"features", "subsampled", "shared"}, "features, subsampled or shared")
        self._router_options = router, router_conf, router_input
        self.router_input = router_input
        self.router = None
        if len(self.languages) > 1:
            router_class = router_choices.get_class(router)
            try:
                self.router = router_class(self.router_input_size, len(self.languages), **(router_conf or {}))
            except TypeError as error:  # an option that does not exist
                raise ValueError(f"router_conf: {error}") from error

    @property
    def router_input_size(self) -> int:
        """Width of what the router reads."""
        return self._input_size * self.embed.window if self.router_input == "features" else self._output_size

    def keep_languages(self, languages: Sequence[str]) -> None:
        """Forget the experts of all other languages, and what the router knows of them (physical pruning).

        Results are those of the whole encoder when it may choose among these languages alone.

        Args:
            languages: some of the encoder's; their order stays the encoder's.

        Raises:
            ValueError: there is none, one is unknown, or the router cannot forget languages.
        """
        wanted = parse_languages(languages, self.languages)
        kept = [expert for expert, language in enumerate(self.languages) if language in wanted]
        if len(kept) == 1:
            self.router = None
        else:
            self.router.keep_languages(kept)
        for module in self.modules():
            if isinstance(module, ExpertLinear):
                module.keep_experts(kept)
        self.languages = tuple(self.languages[expert] for expert in kept)
        self.language_codes = _language_codes(self.languages).to(self.language_codes.device)

    def add_language(self, language: str, like: str | None = None) -> None:
        """Give one more language an expert, and the router a class for it, behind the others: keep_languages' reverse.

        An encoder of one language gets a fresh router.

        Args:
            language: its code.
            like: one of the encoder's languages, of whose expert and router class it gets copies; None: fresh ones.

        Raises:
            ValueError: the encoder knows the language already, does not know `like`, `language` is not one code, or
                the router cannot take in a language.
        """
        codes = parse_languages(language)
        if len(codes) > 1:
            raise ValueError(f"languages are added one at a time, not {language!r}")
        if codes[0] in self.languages:
            raise ValueError(f"the model knows language {codes[0]!r} already: {', '.join(self.languages)}")
        copied = None if like is None else self.languages.index(parse_languages([like], self.languages)[0])
        for module in self.modules():
            if isinstance(module, ExpertLinear):
                module.add_expert(copied)
        self.languages += codes
        self.language_codes = _language_codes(self.languages).to(self.language_codes.device)
        if self.router is None:
            self.put_router(*self._router_options)
            self.router.to(self.language_codes.device)
        else:
            self.router.add_language(copied)

    @contextmanager
    def route(
        self, labels: torch.Tensor | None = None, prior: LanguagePrior | None = None
    ) -> Iterator[list[Routing]]:
        """Tell the batches encoded inside the `with` what is known of their languages, and collect their Routings.

        ESPnet's model calls its encoder with features alone; this is how the rest gets in and out.

        Args:
            labels: (B,) int64, the utterances' experts, for routing by label in training.
            prior: restricts the router's choice.

        Yields:
            A list that gets one Routing for every batch.
        """
        self._labels, self._prior, self._routings = labels, prior, []
        try:
            yield self._routings
        finally:
            self._labels, self._prior, self._routings = None, None, None

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
        subsampled, lengths, valid, frames = self._subsample(xs_pad, ilens)
        return self.encode_frames(xs_pad, subsampled, valid, frames), lengths, None

    def encode_frames(
        self, features: torch.Tensor, subsampled: torch.Tensor, valid: torch.Tensor, frames: PackedFrames
    ) -> torch.Tensor:
        """All that follows the front end.

        Args:
            features: (B, T_in, input_size), which the router may read.
            subsampled: (B, T, D), what the front end made of them.
            valid: (B, T) bool, True for frames, False for padding.
            frames: the valid frames in time order.

        Returns:
            (B, T, D) encoder output, zero where padded.
        """
        x, pos_emb = self._shared_blocks(subsampled, frames)
        routing = self._route_batch(lambda: self._router_view(features, subsampled, x, frames), frames, valid)
        if self._routings is not None:
            self._routings.append(routing)
        x = routing.sort(x)
        for layer in self.encoders[self.num_shared_blocks :]:
            x = layer(x, routing.frames, pos_emb)
        return routing.frames.pad(self.after_norm(x))

    def route_features(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> Routing:
        """Route a batch without encoding it: front end and router alone (and shared blocks, if the router reads them).

        Arguments as in `forward`.
        """
        subsampled, _, valid, frames = self._subsample(xs_pad, ilens)
        shared = None
        if self.router_input == "shared":
            shared, _ = self._shared_blocks(subsampled, frames)
        return self._route_batch(lambda: self._router_view(xs_pad, subsampled, shared, frames), frames, valid)

    def _subsample(
        self, xs_pad: torch.Tensor, ilens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, PackedFrames]:
        """Front end: (B, T, D) frames, (B,) lengths, (B, T) which are valid, and their packing in time order."""
        subsampled, lengths = self.embed(xs_pad, ilens)
        valid = ~make_pad_mask(lengths, maxlen=subsampled.size(1)).to(subsampled.device)
        frames = PackedFrames.in_time_order(lengths, tuple(valid.shape), self.convolution_reach)
        return subsampled, lengths, valid, frames

    def _shared_blocks(
        self, subsampled: torch.Tensor, frames: PackedFrames
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Positional encoding and shared blocks: (N, D) packed frames and the relative positions, if any."""
        embedded = self.pos_enc(subsampled)
        embedded, pos_emb = embedded if self.has_relative_positions else (embedded, None)
        x = frames.pack(embedded)
        for layer in self.encoders[: self.num_shared_blocks]:
            x = layer(x, frames, pos_emb)
        return x, pos_emb

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        codes = state_dict.get(prefix + "language_codes")
        if codes is not None and not codes.equal(self.language_codes.to(codes)):
            theirs = ",".join("".join(chr(int(c)) for c in row if c) for row in codes.tolist())
            errors.append(f"the checkpoint's languages are {theirs}, the configuration's {','.join(self.languages)}")
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

    def _router_view(
        self, features: torch.Tensor, subsampled: torch.Tensor, shared: torch.Tensor | None, frames: PackedFrames
    ) -> torch.Tensor:
        """What the router reads, (B, T, width)."""
        if self.router_input == "shared":
            return frames.pad(shared)
        if self.router_input == "subsampled":
            return subsampled
        time, window, factor = subsampled.size(1), self.embed.window, self.embed.factor
        # What `unfold` gives, in operations that ONNX has for any length.
        return torch.stack([features[:, n::factor][:, :time] for n in range(window)], dim=-1).flatten(2)

    def _route_batch(
        self, router_view: Callable[[], torch.Tensor], frames: PackedFrames, valid: torch.Tensor
    ) -> Routing:
        prior = None if self._prior is None else self._prior.to(valid.device)
        only_expert = None if prior is None else prior.only_expert()
        if self.router is None:
            logits = torch.zeros(*valid.shape, 1, device=valid.device)
            expert = logits.argmax(dim=-1)
        elif only_expert is not None:  # one language each: the router has nothing to choose
            logits = prior.log_weights.unsqueeze(1).expand(*valid.shape, -1)
            expert = only_expert.unsqueeze(1).expand(valid.shape)
        else:
            logits = self.router(router_view(), valid).float()
            if prior is not None:
                logits = prior.apply(logits, valid)
            expert = self._choose_experts(logits)
        return Routing.of(logits, expert, valid, frames)

    def _choose_experts(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, T, E) -> (B, T): the router's top-1, or in training the label's expert."""
        expert = logits.argmax(dim=-1)
        if not self.training or self._labels is None:
            return expert
        by_label = torch.rand(len(logits), 1, device=logits.device) < self.label_routing
        return torch.where(by_label, self._labels.unsqueeze(1), expert)


def _language_codes(languages: tuple[str, ...]) -> torch.Tensor:
    """(E, longest code) float32 code points, padded with 0; to be read even in a model on torch's meta device."""
    longest = max(map(len, languages))
    codes = [[float(ord(c)) for c in code.ljust(longest, "\0")] for code in languages]
    return torch.tensor(codes, device="cpu")


def _choose(option: str, unknown: set[str], known: str) -> None:
    if unknown:
        raise ValueError(f"encoder_conf: {option} must be {known}, not {', '.join(sorted(unknown))!r}")
