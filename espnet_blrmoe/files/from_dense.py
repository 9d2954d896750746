"""A BLR-MoE model with the weights of a dense one, each dense matrix in all experts, and the proof that they agree."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_blrmoe.files.trained_model import build_asr_model, sampling_rate
from espnet_blrmoe.files.weights import ROUTER_PREFIX
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior

LANGUAGE_CODES = "encoder.language_codes"
MOST_DIFFERENCE = 1e-5  # between the outputs in float32
SECONDS, UTTERANCES, ROUTINGS, TOKENS = 2, 2, 2, 8  # of the proof


@dataclass(frozen=True)
class Fate:
    """What became of a tensor of the new model.

    Attributes:
        name: in the new model.
        elements: of the tensor.
        became: "copied", "copied to all E experts" or "fresh".
    """

    name: str
    elements: int
    became: str


def from_dense(dense: ESPnetASRModel, config: dict, seed: int = 0) -> tuple[BLRMoEModel, list[Fate]]:
    """The BLR-MoE model of a configuration with a dense model's weights, in evaluation mode.

    An expert's tensors are views of the dense model's, so that they take no memory.

    Args:
        dense: the dense model; stays as it is.
        config: of the new model, as `blr_moe_config` makes it.
        seed: of what is fresh.

    Raises:
        ValueError: the configuration describes no model, or a parameter of one model has no counterpart in the other;
            names it.
    """
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_asr_model(config).eval()
    except Exception as error:  # ESPnet does not check configurations: TypeError, AssertionError, ...
        raise ValueError(f"the new model cannot be built: {str(error).strip().partition(chr(10))[0]}") from error
    found = {_name_here(name, dense): value for name, value in dense.state_dict().items()}
    found = {name: value for name, value in found.items() if not name.startswith((ROUTER_PREFIX, LANGUAGE_CODES))}
    weights, fates = {}, []
    for name, fresh in model.state_dict().items():
        weights[name], became = _with_experts(name, fresh, found.pop(name, None))
        fates.append(Fate(name, fresh.numel(), became))
    if found:
        raise ValueError(f"{min(found)} of the dense model has no place in the new one")
    model.load_state_dict(weights, assign=True)
    return model, fates


def _name_here(name: str, dense: ESPnetASRModel) -> str:
    """The new model's name for a dense model's parameter: ours keeps ESPnet's front end as `layer`."""
    is_ours = hasattr(dense.encoder, "language_codes")
    return name if is_ours else re.sub(r"^encoder\.embed\.", "encoder.embed.layer.", name)


def _with_experts(name: str, fresh: torch.Tensor, dense: torch.Tensor | None) -> tuple[torch.Tensor, str]:
    """The new model's tensor, and what became of it.

    Raises:
        ValueError: the dense tensor is missing, or does not fit.
    """
    if dense is None:
        if not name.startswith("encoder."):
            raise ValueError(f"the dense model has no {name}, which the new one needs")
        return fresh, "fresh"
    if dense.shape == fresh.shape:
        return dense, "copied"
    rows = dense if dense.dim() == fresh.dim() else dense.unsqueeze(0)  # those of a single language
    if len(rows) != 1 or rows.shape[1:] != fresh.shape[1:]:
        shapes = f"{tuple(dense.shape)} in the dense model, {tuple(fresh.shape)} in the new one"
        raise ValueError(f"{name} is {shapes}")
    return rows.expand(fresh.shape), f"copied to {len(fresh)} experts"


def summarised(fates: list[Fate]) -> list[tuple[str, str, str, str]]:
    """Fates as rows of a table: name, number of tensors, of their elements, what became of them.

    Weight and bias of a layer, and the same layer in several blocks, are one row: encoder.encoders.{0-5}.norm1.
    """
    groups: dict[tuple[str, str], list[tuple[str, Fate]]] = {}
    for fate in fates:
        layer = re.sub(r"\.(weight|bias)$", "", fate.name)
        number = re.search(r"(?<=\.)\d+(?=\.|$)", layer)
        name = layer if number is None else f"{layer[: number.start()]}{{}}{layer[number.end() :]}"
        groups.setdefault((name, fate.became), []).append((number.group() if number else "", fate))
    rows = []
    for (name, became), own in groups.items():
        elements = sum(fate.elements for _, fate in own)
        rows.append((name.format(_ranges([number for number, _ in own])), str(len(own)), f"{elements:,}", became))
    return rows


def _ranges(numbers: list[str]) -> str:
    """["0", "1", "2", "5"] -> "{0-2,5}"; "" where there are none."""
    found = sorted({int(number) for number in numbers if number})
    starts = [n for n in found if n - 1 not in found]
    ends = [n for n in found if n + 1 not in found]
    spans = ",".join(str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends))
    return f"{{{spans}}}" if len(found) > 1 else spans


@torch.no_grad()
def prove_equal(dense: ESPnetASRModel, model: BLRMoEModel, config: dict) -> float:
    """Check that a model gives what the dense one gives for random audio, whatever the routing.

    Args:
        dense, model: in evaluation mode.
        config: of either.

    Returns:
        The largest difference, see `difference`, of encoder output and of the tokens' probabilities.

    Raises:
        ValueError: it is more than MOST_DIFFERENCE, or one of the models gives no numbers or cannot be run.
    """
    generator = torch.Generator().manual_seed(0)
    with _naming("dense"):
        speech = random_audio(dense, config, generator)
        lengths = torch.full((len(speech),), speech.size(1))
        expected = outputs_of(dense, speech, lengths)
    if not all(output.isfinite().all() for output in expected):
        raise ValueError("the dense model's output for random audio is not finite; its weights are damaged")
    shape = *speech.shape[:2], len(model.languages)  # there are no more frames than that
    largest = 0.0
    for n in range(ROUTINGS + 1):
        prior = None if n == ROUTINGS else random_routing(shape, generator)  # at last as the router chooses
        with _naming("new"), model.encoder.route(choice=LanguageChoice(prior)):
            given = outputs_of(model, speech, lengths)
        differences = map(difference, given, expected)
        largest = max(largest, *differences)
    if not largest <= MOST_DIFFERENCE:
        raise ValueError(
            f"the new model's output differs from the dense model's by {largest:.1e} on random audio, which is more "
            f"than {MOST_DIFFERENCE:.0e}; nothing is written"
        )
    return largest


@contextmanager
def _naming(which: str) -> Iterator[None]:
    """Inside the `with`, errors say which of the models is run: whatever options do to ESPnet's classes and others'.

    Raises:
        ValueError: instead of any other exception.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"the {which} model recognises no random audio: {str(error).partition(chr(10))[0]}") from error


def difference(given: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two outputs, in parts of the largest value where that is above 1; infinity for NaN."""
    if given.shape != expected.shape or not (given.isfinite() & expected.isfinite()).all():
        return float("inf")
    return float((given - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def random_audio(model: ESPnetASRModel, config: dict, generator: torch.Generator) -> torch.Tensor:
    """(B, samples) of noise whose loudness changes, or (B, T, F) where the model reads features; float32."""
    if model.frontend is None:
        return torch.randn(UTTERANCES, 100 * SECONDS, config["input_size"], generator=generator)
    rate = sampling_rate(config)
    loudness = torch.rand(UTTERANCES, 10 * SECONDS, generator=generator).repeat_interleave(rate // 10, dim=1)
    return 0.1 * loudness * torch.randn(loudness.shape, generator=generator)


def random_routing(shape: tuple[int, int, int], generator: torch.Generator) -> LanguagePrior:
    """Each of (B, T) frames has to be in one language of E, drawn at random."""
    chosen = torch.randint(shape[2], (*shape[:2], 1), generator=generator)
    return LanguagePrior(torch.full(shape, float("-inf")).scatter(2, chosen, 0.0))


def outputs_of(model: ESPnetASRModel, speech: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
    """Encoder output, and the probabilities of the CTC and of the decoder, as far as there are such."""
    encoded, frames = model.encode(speech, lengths)
    outputs = [encoded]
    if model.ctc is not None:
        outputs.append(model.ctc.softmax(encoded))
    if model.decoder is not None:
        tokens = torch.arange(TOKENS).expand(len(encoded), -1) % model.vocab_size
        scores, _ = model.decoder(encoded, frames, tokens, torch.full((len(encoded),), TOKENS))
        outputs.append(scores.softmax(dim=-1))
    return outputs
