"""Export of a model that follows a stream: one chunk of audio and a state in, log-probabilities and the next state out.

The graph is a trace of StreamingEncoder, of which ONNX sees one stream.
"""

import torch

from espnet_blrmoe.files.export import RecogniserGraph, TracedFrames, noise
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.chunks import StreamedFrames
from espnet_blrmoe.model.prior import LanguagePrior
from espnet_blrmoe.model.streaming import StreamingEncoder, StreamState

CHUNKS = 4  # that are compared with PyTorch, one after another; then the stream ends


class TracedStreamedFrames(StreamedFrames):
    """The frames of a chunk, in a trace."""

    sort_order = TracedFrames.sort_order


class StreamingGraph(RecogniserGraph):
    """What an exported model computes of a stream.

    Args:
        model: a CTC model that was trained for streaming, which is changed: it can no longer be used for anything else.
        size: frames of a chunk.

    Raises:
        ValueError: the model was not trained for streaming, or has a part that cannot be exported.
    """

    dynamic_axes: dict = {}

    def __init__(self, model: BLRMoEModel, size: int):
        encoder = StreamingEncoder(model, size)
        encoder.layout = TracedStreamedFrames
        super().__init__(model)
        self.encoder = encoder
        self.beginning = encoder.begin()
        self.states = [f"state_{n}" for n in range(len(self.beginning.remembered))]
        self.outputs = ["log_probs", "language_log_probs", "language", "is_frame", "next_seen"]
        self.outputs += [f"next_{name}" for name in self.states]

    def metadata(self) -> dict:
        """See RecogniserGraph: chunks and states."""
        states = {"seen": self.beginning.seen, **dict(zip(self.states, self.beginning.remembered))}
        return {
            "chunk_frames": self.encoder.chunking.size,
            "chunk_samples": self.encoder.samples,
            "chunk_step": self.encoder.step,
            "delay_frames": self.encoder.delay,
            "states": {
                name: {"shape": list(state.shape), "dtype": str(state.dtype).removeprefix("torch.")}
                for name, state in states.items()
            },
        }

    def examples(self, rate: int) -> list[dict[str, torch.Tensor]]:
        """See RecogniserGraph: chunks of a stream, the last but one of a single frame, the last of none."""
        size, state, examples = self.encoder.chunking.size, self.beginning, []
        for chunk, frames in enumerate([*[size] * CHUNKS, 1, 0]):
            speech, frames = noise(self.encoder.samples, seed=chunk), torch.tensor([frames])
            examples.append({"speech": speech, "frames": frames, "seen": state.seen})
            examples[-1] |= self.no_prior() | dict(zip(self.states, state.remembered))
            _, state = self.encoder.encode(speech, frames, state)
        return examples

    @torch.no_grad()
    def forward(
        self, speech: torch.Tensor, frames: torch.Tensor, seen: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Encode the next chunk.

        Args:
            speech: (1, chunk_samples) float32 in [-1, 1], with anything beyond the end of the stream.
            frames: (1,) int64, how many frames of it are the stream's.
            seen: (1,) int64, frames before.
            others: (E,) float32, the languages' log-weights, where there are several languages; then the states.

        Returns:
            (C, V) log-probabilities of tokens; (C, E) log-probabilities of languages; (C,) int64 language of each
            frame; (C,) bool, which of them are frames; then what `seen` and the states are for the next chunk.
        """
        prior = None
        if len(self.model.languages) > 1:
            weights, *others = others
            prior = LanguagePrior(weights[None, None])
        chunk, state = self.encoder.encode(speech, frames, StreamState(seen, tuple(others)), prior)
        routing, log_probs = chunk.routing, self.model.ctc.log_softmax(chunk.frames)
        # Rows that are no frames hold whatever the kernels make of nothing.
        nothing = ~routing.valid.unsqueeze(-1)
        language_log_probs = routing.log_probs.masked_fill(nothing, 0.0)
        language = routing.language.masked_fill(~routing.valid, 0)
        return log_probs[0], language_log_probs[0], language[0], routing.valid[0], state.seen, *state.remembered
