"""Export for deployment: a CTC model from waveform to log-probabilities as one ONNX graph.

The graph is a trace of the training modules over one utterance, front end included. Two things are made traceable: the
short-time Fourier transform, and the sort of frames by expert, where every number of frames has to be computed by the
graph. Every frame still goes only through its own expert.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime
import torch
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.layers.global_mvn import GlobalMVN
from espnet2.layers.utterance_mvn import UtteranceMVN
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn
from torch.nn import functional as F

from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.packing import AttentionGroup, PackedFrames, Places, Spans
from espnet_blrmoe.model.prior import LanguagePrior
from espnet_blrmoe.model.router_inputs import SubsampledBatch
from espnet_blrmoe.model.running_mvn import RunningMVN
from espnet_blrmoe.model.speech_mvn import SpeechMVN

OPSET = 17  # the first with layer normalisation
MAX_BYTES = 2**31  # of one ONNX file
TOLERANCE = 1e-3  # of log-probabilities, against PyTorch
# Modules that stay in floating point in the int8 model: small, and everything else depends on them.
NOT_QUANTISED = ("logmel", "router")


class TracedFrontend(nn.Module):
    """What ESPnet's default front end computes of one utterance, which is padded to `shortest` samples if need be.

    The Fourier transform is a convolution with its windowed basis.

    Args:
        frontend: has the settings.
        shortest: samples.
    """

    def __init__(self, frontend: DefaultFrontend, shortest: int):
        super().__init__()
        stft = frontend.stft
        window = torch.ones(stft.win_length, dtype=torch.float64)
        if stft.window is not None:
            window = getattr(torch, f"{stft.window}_window")(stft.win_length, dtype=torch.float64)
        margin = stft.n_fft - stft.win_length  # a window shorter than n_fft lies in the middle
        window = F.pad(window, (margin // 2, margin - margin // 2))
        basis = torch.fft.rfft(window.diag(), norm="ortho" if stft.normalized else "backward").T  # (bins, n_fft)
        self.register_buffer("basis", torch.cat([basis.real, basis.imag]).unsqueeze(1).float())
        self.register_buffer("silence", torch.zeros(1, shortest))
        self.hop_length = stft.hop_length
        self.padding = stft.n_fft // 2 if stft.center else 0
        self.logmel = frontend.logmel

    def forward(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(1, samples), lengths (ignored) -> (1, T_in, n_mels)."""
        speech = torch.cat([speech, self.silence[:, speech.size(1) :]], dim=1)
        features, _ = self.logmel(self.power_spectrum(speech))
        return features, None

    def power_spectrum(self, speech: torch.Tensor) -> torch.Tensor:
        """(1, samples) -> (1, T_in, n_fft / 2 + 1)."""
        speech = F.pad(speech.unsqueeze(1), (self.padding, self.padding), mode="reflect")
        real, imag = F.conv1d(speech, self.basis, stride=self.hop_length).square().chunk(2, dim=1)
        return (real + imag).transpose(1, 2)


class TracedNormalisation(nn.Module):
    """Mean and variance normalisation of one utterance, without ESPnet's masks for padding.

    Args:
        how: ESPnet's.
    """

    def __init__(self, how: GlobalMVN | UtteranceMVN):
        super().__init__()
        self.how = how

    def forward(self, features: torch.Tensor, lengths: None) -> tuple[torch.Tensor, None]:
        """(1, T_in, input_size) -> (1, T_in, input_size)."""
        if isinstance(self.how, GlobalMVN):
            mean, std = self.how.mean.float(), self.how.std.float()  # a model that has not been run has them as float64
        else:
            precise = features.double()  # a float32 sum of thousands of frames, one by one, would lose five digits
            mean = precise.mean(dim=1, keepdim=True)
            std = (precise - mean).square().mean(dim=1, keepdim=True).sqrt().clamp(min=self.how.eps).float()
            mean = mean.float()
        if self.how.norm_means:
            features = features - mean
        return features / std if self.how.norm_vars else features, None


@dataclass(frozen=True)
class TracedFrames(PackedFrames):
    """The frames of one utterance, in a trace: its length and the experts' numbers of frames are part of the graph."""

    @classmethod
    def of(cls, subsampled: torch.Tensor) -> "TracedFrames":
        """All of (1, T, D), in time order."""
        time = subsampled.size(1)
        places = Places(time, None)
        return cls(Spans((time,), None), (1, time), places, (AttentionGroup((1, time), None),), places, places)

    def sort_order(self, expert: torch.Tensor, num_experts: int) -> tuple[torch.Tensor | None, Spans]:
        """As PackedFrames.sort_order, but the sizes of tensors are the only numbers that a trace computes."""
        if num_experts == 1:
            return None, self.spans
        rows = [(expert == e).nonzero().squeeze(1) for e in range(num_experts)]
        return torch.cat(rows), Spans(tuple(own.size(0) for own in rows), None)


class RecogniserGraph(nn.Module):
    """What an exported model computes.

    Args:
        model: a CTC model, which is changed: it can no longer be used for anything else.

    Attributes:
        outputs: names of what `forward` gives.
        dynamic_axes: of inputs and outputs, as torch.onnx has them: dimensions that are not always the same.

    Raises:
        ValueError: the model has a part that cannot be exported.
    """

    outputs = ["log_probs", "language_log_probs", "expert"]
    dynamic_axes: dict = {"speech": {1: "samples"}} | {name: {0: "frames"} for name in outputs}

    def __init__(self, model: BLRMoEModel):
        super().__init__()
        refuse_what_cannot_be_exported(model)
        self.model = model
        model.frontend = TracedFrontend(model.frontend, model.shortest_speech)
        if isinstance(model.normalize, (GlobalMVN, UtteranceMVN)):
            model.normalize = TracedNormalisation(model.normalize)
        self.eval()

    def metadata(self) -> dict:
        """What users have to know beside what `metadata_of` says."""
        return {}

    def examples(self, rate: int) -> list[dict[str, torch.Tensor]]:
        """Inputs by name: one to trace, and others for a comparison. `rate` is the model's, in Hz."""
        weights = self.no_prior()
        return [{"speech": noise(samples, seed=samples), **weights} for samples in (3 * rate, 1, rate, 5 * rate)]

    def no_prior(self) -> dict[str, torch.Tensor]:
        """The input that allows all languages; a model of one language has none."""
        languages = len(self.model.languages)
        return {"language_log_weights": torch.zeros(languages)} if languages > 1 else {}

    def forward(
        self, speech: torch.Tensor, language_log_weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode one utterance.

        Args:
            speech: (1, samples) float32 in [-1, 1].
            language_log_weights: (E,) float32, LanguagePrior's; None for a model of one language.

        Returns:
            (T, V) log-probabilities of tokens; (T, E) log-probabilities of languages under those weights; (T,) int64,
            the language whose expert each frame goes to.
        """
        encoder = self.model.encoder
        features, _ = self.model.features(speech, speech.new_full((1,), speech.size(1), dtype=torch.int64))
        subsampled = encoder.embed.subsample(features)
        valid = torch.ones(subsampled.shape[:2], dtype=torch.bool)
        prior = None if language_log_weights is None else LanguagePrior(language_log_weights[None, None])
        with encoder.route(prior=prior) as routings:
            encoded = encoder.encode_frames(SubsampledBatch(features, subsampled, valid, TracedFrames.of(subsampled)))
        return self.model.ctc.log_softmax(encoded)[0], routings[0].log_probs[0], routings[0].language[0]


def refuse_what_cannot_be_exported(model: BLRMoEModel) -> None:
    """Check that all parts of the model can be exported.

    Raises:
        ValueError: one cannot; names it.
    """
    frontend, normalize = model.frontend, model.normalize
    if model.decoder is not None:
        raise ValueError("a model with a decoder cannot be exported; train one with CTC only (ctc_weight: 1.0)")
    if not isinstance(frontend, DefaultFrontend) or frontend.stft is None:
        raise ValueError("only models with ESPnet's default front end (frontend: default) can be exported")
    if frontend.frontend is not None and (frontend.frontend.use_wpe or frontend.frontend.use_beamformer):
        raise ValueError("a model whose front end has dereverberation or a beamformer cannot be exported")
    if not isinstance(normalize, (GlobalMVN, UtteranceMVN, SpeechMVN, RunningMVN, type(None))):
        raise ValueError(f"normalisation by {type(normalize).__name__} cannot be exported; global_mvn and others can")
    if model.preencoder is not None or model.postencoder is not None:
        raise ValueError("a model with a preencoder or postencoder cannot be exported")
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if size >= MAX_BYTES:
        raise ValueError(f"the model has {size:,} bytes, and one ONNX file holds 2 GB; prune it to fewer languages")


def metadata_of(config: dict, model: BLRMoEModel) -> dict:
    """What users of the exported model have to know.

    Args:
        config: the model's training configuration.
        model: has ESPnet's default front end.
    """
    text_of = {
        "char": lambda token: " " if token == "<space>" else token,
        "bpe": lambda token: token.replace("\u2581", " "),  # SentencePiece's mark of a space
        "word": lambda token: f"{token} ",
    }.get(config["token_type"], str)
    return {
        "tokens": [text_of(token) for token in config["token_list"]],
        "blank": model.blank_id,
        "languages": list(model.languages),
        "sampling_rate": int(model.frontend.logmel.mel_options["sr"]),
        "samples_per_frame": model.frontend.hop_length * model.encoder.embed.factor,
    }


def export_onnx(graph: RecogniserGraph, path: Path, metadata: dict) -> None:
    """Write a model as ONNX, and compare what it computes with PyTorch.

    Args:
        graph: of the model.
        path: file to write.
        metadata: properties of the file, by name, as `metadata_of` gives them; values are stored as JSON.

    Raises:
        ValueError: the model's router or encoder has a part that ONNX lacks, or the results differ.
    """
    example, *others = graph.examples(metadata["sampling_rate"])
    with warnings.catch_warnings(), torch.no_grad():
        # That the exporter is the old one: the new one takes no shapes that depend on data. And that checks of
        # arguments saw only the example, which is right.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                graph,
                tuple(example.values()),
                path,
                input_names=list(example),
                output_names=graph.outputs,
                dynamic_axes=graph.dynamic_axes,
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(f"the model has a part that ONNX lacks: {str(error).splitlines()[0]}") from error
    describe(path, metadata)
    for inputs in others:
        compare(graph, path, inputs)


def describe(path: Path, metadata: dict) -> None:
    """Give an ONNX file these properties and no others."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {k: json.dumps(v, ensure_ascii=False) for k, v in metadata.items()})
    onnx.save(model, path)


def compare(graph: RecogniserGraph, path: Path, inputs: dict[str, torch.Tensor]) -> None:
    """Check that the ONNX file computes what the graph does.

    Raises:
        ValueError: their results differ.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    results = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected = graph(*inputs.values())
    for result, wanted in zip(results, expected):
        difference = (torch.from_numpy(result).double() - wanted.double()).abs().max()
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported model does not compute what PyTorch computes: on {inputs['speech'].size(1)} samples "
                f"they differ by {difference:.1e}; a part of it has a path that depends on its input"
            )


def noise(samples: int, seed: int) -> torch.Tensor:
    """(1, samples)."""
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def quantise(source: Path, target: Path, metadata: dict) -> None:
    """Write an exported model again with the weights of its linear layers as int8, one scale per output unit.

    Activations are quantised as they come (dynamic quantisation); convolutions stay as they are. Weights take 7 of the
    8 bits: with all 8, CPUs with AVX2 but without VNNI overflow.

    Args:
        source, target: file to read, file to write.
        metadata: as in `export_onnx`; onnxruntime adds a property of its own, which is not JSON.
    """
    names = [node.name for node in onnx.load(source).graph.node]
    kept = [name for name in names if any(f"/{module}/" in name for module in NOT_QUANTISED)]
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],  # as onnxruntime renames Gemm nodes
    )
    describe(target, metadata)
