"""A recogniser's encoder that follows people while they speak: a chunk of audio in, encoded frames out.

What it computes is what the encoder computes of whole utterances under the same Chunking, whatever the pieces in which
the audio came. B streams, C frames of a chunk, D width, E languages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.attention import RelPositionSelfAttention
from espnet_blrmoe.model.chunks import Chunking, StreamedFrames
from espnet_blrmoe.model.packing import valid_frames
from espnet_blrmoe.model.past import Past
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior
from espnet_blrmoe.model.router_inputs import SubsampledBatch
from espnet_blrmoe.model.routing import Routing


@dataclass(frozen=True)
class StreamState:
    """All that the encoder has to know of what came before: one value, which never changes.

    Attributes:
        seen: (B,) int64, frames of each stream that were encoded, or wait for the router.
        remembered: what each module wants to know of them, (B, ...).
    """

    seen: torch.Tensor
    remembered: tuple[torch.Tensor, ...]

    @classmethod
    def joined(cls, states: Sequence["StreamState"]) -> "StreamState":
        """The state of several streams together."""
        if len(states) == 1:
            return states[0]
        remembered = zip(*(state.remembered for state in states))
        return cls(torch.cat([state.seen for state in states]), tuple(map(torch.cat, remembered)))

    def split(self) -> list["StreamState"]:
        """The state of each stream, which keeps nothing of the others in memory."""
        if len(self.seen) == 1:
            return [self]
        return [
            StreamState(self.seen[b : b + 1].clone(), tuple(tensor[b : b + 1].clone() for tensor in self.remembered))
            for b in range(len(self.seen))
        ]


@dataclass(frozen=True)
class EncodedChunk:
    """What the encoder makes of a chunk of each stream; where the router reads ahead, of one some chunks earlier.

    Attributes:
        frames: (B, C, D), zero where `routing.valid` is False: beyond the ends of streams, and before their beginnings.
        routing: of them.
    """

    frames: torch.Tensor
    routing: Routing


class StreamingEncoder:
    """Front end and encoder of a model, chunk by chunk. It keeps nothing of a stream: that is in the StreamState.

    Args:
        model: in evaluation mode, trained for streaming; its weights stay as they are from now on, where they are.
        size: C.
        window: frames over which the router's log-probabilities are averaged, the last of which is each frame; odd.

    Attributes:
        samples: of audio that a chunk needs, one after another `step` samples apart.
        step: samples.
        delay: frames that the router reads ahead, in whole chunks: so many frames later are they encoded.

    Raises:
        ValueError: the model was not trained for streaming.
    """

    layout: type[StreamedFrames] = StreamedFrames  # a trace puts its own in place

    def __init__(self, model: BLRMoEModel, size: int, window: int = 1):
        if model.encoder.chunk_sizes is None:
            raise ValueError(
                "the model was not trained for streaming; train one with encoder_conf: chunk_sizes, as in "
                "conf/tuning/train_asr_demo_streaming.yaml"
            )
        self.model, self.encoder = model, model.encoder
        self.chunking = Chunking(size, model.encoder.left_context)
        self.choice = LanguageChoice(window=window, looks_back=True)
        self.ahead = 0 if self.encoder.router is None else self.encoder.router.ahead
        self.delay = -(-self.ahead // size) * size
        self._frame_step = model.frontend.hop_length * self.encoder.embed.factor
        self.step = size * self._frame_step
        self.samples = (size - 1) * self._frame_step + model.shortest_speech
        self._positions = self._project_positions()

    @torch.no_grad()
    def _project_positions(self) -> dict[torch.nn.Module, torch.Tensor]:
        """Of each projection of relative positions, if there are any: what it makes of those of a chunk."""
        span, width = self.chunking.left + self.chunking.size, self.encoder.output_size()
        _, pos_emb = self.encoder.pos_enc(next(self.encoder.parameters()).new_zeros(1, span, width))
        attentions = [module for module in self.encoder.modules() if isinstance(module, RelPositionSelfAttention)]
        return {own.linear_pos: own.linear_pos(pos_emb) for own in attentions}

    def frames_in(self, samples: int) -> int:
        """Frames of a chunk that has so many samples of audio; the audio may end before the chunk does."""
        missing = max(0, samples - self.model.shortest_speech + self._frame_step) // self._frame_step
        return min(self.chunking.size, missing)

    def begin(self) -> StreamState:
        """The state of one stream before its first chunk."""
        device = self.encoder.language_codes.device
        nothing = StreamState(torch.zeros(1, dtype=torch.int64, device=device), ())
        _, after = self.encode(torch.zeros(1, self.samples, device=device), nothing.seen, nothing)
        return StreamState(nothing.seen, tuple(map(torch.zeros_like, after.remembered)))

    @torch.no_grad()
    def encode(
        self,
        speech: torch.Tensor,
        frames: torch.Tensor,
        state: StreamState,
        prior: LanguagePrior | None = None,
    ) -> tuple[EncodedChunk, StreamState]:
        """Encode the next chunk of every stream.

        At the end of a stream its last chunk may have fewer frames than C, and `delay` / C chunks without any follow.

        Args:
            speech: (B, samples), with anything beyond a stream's end.
            frames: (B,) int64, frames of each stream in this chunk, 0 to C.
            state: `begin`'s, or what came out with the chunk before.
            prior: of the languages, for the frames that come out.

        Returns:
            the chunk, of `delay` frames earlier; the state for the next one.
        """
        encoder, size, past = self.encoder, self.chunking.size, Past(state.remembered)
        features, _ = self.model.features(speech, frames.new_full(frames.shape, speech.size(1)), past=past)
        subsampled = encoder.embed.subsample(features)[:, :size]
        valid = valid_frames(frames, size)
        heard = self.layout.next(state.seen, valid, self.chunking, past, self._positions)
        batch = SubsampledBatch(features, subsampled, valid, heard)
        shared, pos_emb = encoder.run_shared_blocks(batch)
        if encoder.router is None:
            logits = torch.zeros(*valid.shape, 1, device=valid.device)
        else:
            logits = encoder.router(encoder.router_input(batch, shared), valid, past).float()
        # The router is `ahead` frames behind, and everything from here on `delay` frames.
        logits = past.delayed(logits, self.delay - self.ahead)
        shared, valid = past.delayed(heard.pad(shared), self.delay), past.delayed(valid, self.delay)
        logits = replace(self.choice, prior=prior).weigh(logits, valid, past)
        routed = self.layout.next(state.seen - self.delay, valid, self.chunking, past, self._positions)
        routing = Routing.of(logits, logits.argmax(dim=-1), valid, routed, encoder.groups.expert_of)
        encoded = encoder.run_moe_blocks(routing, shared.flatten(0, 1), pos_emb)
        return EncodedChunk(encoded, routing), StreamState(state.seen + size, tuple(past.after))


LONGEST = 30_000.0  # milliseconds of a chunk, of a model that was trained with whole utterances too


def frames_of(chunk_ms: float, model: BLRMoEModel, fs: int) -> int:
    """Frames of a chunk of so many milliseconds.

    Args:
        chunk_ms: milliseconds.
        model: trained for streaming.
        fs: its sampling rate in Hz.

    Raises:
        ValueError: they are no whole number of frames, or fewer or more than the model was trained with.
    """
    frame_ms = 1000 * model.encoder.embed.factor * getattr(model.frontend, "hop_length", 128) / fs
    sizes = model.encoder.chunk_sizes or [None]  # what was not trained for streaming is refused by StreamingEncoder
    trained = [size for size in sizes if size is not None]
    least = min(trained, default=1)
    most = max([*trained, LONGEST // frame_ms] if None in sizes else trained)
    frames = chunk_ms / frame_ms
    if not least <= frames <= most or abs(frames - round(frames)) > 1e-6:
        raise ValueError(
            f"chunk_ms must be a multiple of {frame_ms:g}, from {least * frame_ms:g} to {most * frame_ms:g} for the "
            f"chunk_sizes that the model was trained with, not {chunk_ms}"
        )
    return round(frames)
