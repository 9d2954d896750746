"""What a router costs: its weights, and its share of the encoder's time and of a training step's time and memory."""

import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from measuring import Stopwatch, milliseconds, saved_bytes
from shared.score_tables import markdown_table

from espnet_blrmoe.languages import LABEL_PADDING, encode_label
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.language_labels import LanguageLabels
from paper_table.shared_outputs import put_router, route, router_inputs, weights_of

SECONDS = 10  # of an utterance
TOKENS_PER_SECOND = 10  # the demo's are characters
BATCHES = (1, 16)  # utterances through the encoder; the larger one in a training step
HEAD = ("router", "weights", "% of the model's", *(f"forward, {n} x {SECONDS} s" for n in BATCHES),
        f"training step, {BATCHES[-1]} x {SECONDS} s", "kept for the backward pass, MB")


@dataclass(frozen=True)
class Whole:
    """A model with one of the routers, and its sampling rate in Hz. Timed is what it does, and its router alone."""

    model: BLRMoEModel
    fs: int

    def batch(self, utterances: int) -> dict[str, torch.Tensor]:
        """Noise in the model's languages, as its training gets it."""
        generator = torch.Generator().manual_seed(0)
        languages, samples = self.model.languages, SECONDS * self.fs
        labels = [torch.from_numpy(encode_label(languages[n % len(languages)])) for n in range(utterances)]
        text = (utterances, SECONDS * TOKENS_PER_SECOND)
        return {
            "speech": 0.1 * torch.randn(utterances, samples, generator=generator),
            "speech_lengths": torch.full((utterances,), samples),
            "text": torch.randint(2, len(self.model.token_list) - 1, text, generator=generator),
            "text_lengths": torch.full((utterances,), text[1]),
            "lid": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=LABEL_PADDING),
        }

    def forwards(self, utterances: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """Forward passes of the encoder and of its router alone, without gradients."""
        features, lengths, frames, valid = self._inputs(utterances)

        encode = torch.no_grad()(lambda: self.model.encoder(features, lengths))
        return encode, torch.no_grad()(lambda: self.model.encoder.router(frames, valid))

    def steps(self, utterances: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """Training steps of the model, and of its router alone, which hands a gradient on to the shared blocks."""
        batch, router = self.batch(utterances), self.model.encoder.router
        return _step(self.model, lambda: self.model(**batch)[0]), _step(router, self._router_loss(utterances))

    def kept(self, utterances: int) -> tuple[int, int]:
        """Bytes that a training step of the model, and of its router alone, keeps for the backward pass."""
        batch, router = self.batch(utterances), self.model.encoder.router
        kept = saved_bytes(self.model, lambda: self.model(**batch)[0])
        return kept, saved_bytes(router, self._router_loss(utterances))

    @torch.no_grad()
    def _inputs(self, utterances: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the encoder is given, and what its router is, (B, T, D) and (B, T) bool; the model then evaluates."""
        self.model.eval()
        batch = self.batch(utterances)
        features, lengths = self.model.features(batch["speech"], batch["speech_lengths"])
        with router_inputs(self.model) as given:
            self.model.encoder(features, lengths)
        frames, valid = given.pop()
        return features, lengths, frames.float(), valid

    def _router_loss(self, utterances: int) -> Callable[[], torch.Tensor]:
        *_, frames, valid = self._inputs(utterances)
        language = torch.arange(utterances) % len(self.model.languages)
        labels = LanguageLabels.throughout(language)
        frames.requires_grad_(True)
        return lambda: self.model.lid_loss_and_stats(route(self.model, frames, valid), labels)[0]


def _step(module: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """An update of a module's weights."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-5)

    def step() -> None:
        module.train()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def share(own: Sequence[float], whole: Sequence[float]) -> str:
    """A router's time, and its share of the whole within rounds in %: the median, and the quartiles."""
    shares = [100 * a / b for a, b in zip(own, whole)]
    low, middle, high = statistics.quantiles(shares, n=4) if len(shares) > 1 else 3 * shares
    return f"{1000 * statistics.median(own):.1f} ms, {middle:.1f} % [{low:.1f}, {high:.1f}]"


def cost_table(model: BLRMoEModel, fs: int, capacities: Sequence[str], router_conf: dict, rounds: int) -> str:
    """What the routers cost, in processor time of one thread, in Markdown.

    Args:
        model: a trained model whose router reads the shared blocks.
        fs: its sampling rate in Hz.
        capacities: as of `put_router`.
        router_conf: of TDNN routers.
        rounds: in each, everything is done once, router after router.
    """
    torch.set_num_threads(1)
    wholes = {capacity: Whole(deepcopy(model), fs) for capacity in capacities}
    for capacity, whole in wholes.items():
        put_router(whole.model, capacity, router_conf, seed=0)
    stopwatch = Stopwatch("cpu", rounds, clock=time.process_time)
    cells: dict[str, list[str]] = {capacity: [] for capacity in capacities}
    first, every = capacities[0], []
    for pairs, what in [
        *(({c: whole.forwards(n) for c, whole in wholes.items()}, f"forward, {n}") for n in BATCHES),
        ({c: whole.steps(BATCHES[-1]) for c, whole in wholes.items()}, "training steps"),
    ]:
        functions = {f"{c}{of}": function for c, both in pairs.items() for of, function in zip((" whole", ""), both)}
        times = stopwatch(functions, what)
        every.append(milliseconds(times[f"{first} whole"]))
        for c in capacities:
            cells[c].append(share(times[c], times[f"{c} whole"]))
    rows = []
    for c, whole in wholes.items():
        weights, of_model = weights_of(whole.model.encoder.router), weights_of(whole.model)
        kept, own = whole.kept(BATCHES[-1])
        if c == first:
            rows.append([f"all, with {c}", f"{of_model:,}", "", *every, f"{kept / 1e6:,.1f}"])
        rows.append([c, f"{weights:,}", f"{100 * weights / of_model:.1f}", *cells[c],
                     f"{own / 1e6:.1f}, {100 * own / kept:.1f} %"])
    return markdown_table(HEAD, rows)
