"""What a trained model's shared blocks make of speech, computed once, and how its router is trained and scored on that.

S utterances, B of them in a batch, T frames of the longest, D width. Masks are True for frames.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from espnet_blrmoe.inference.lid_scores import HeardSpeech, LidScores, hear
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.language_labels import IGNORED, LanguageLabels
from espnet_blrmoe.model.packing import valid_frames
from espnet_blrmoe.model.routing import Routing
from espnet_blrmoe.progress import progress_bar
from espnet_blrmoe.training.router_task import RouterModel, RouterTask

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from shared.data_dir import Utterance  # noqa: E402

AT_ONCE = 128  # stretches through the shared blocks
BATCH = 48  # stretches in an update: about as many as batch_bins has in stage 16


@dataclass(frozen=True)
class Speech:
    """What the shared blocks make of utterances in one language each. S utterances, T frames of the longest, D width.

    Attributes:
        frames: (S, T, D) float16, zero where padded.
        lengths: (S,) int64, frames of each.
        language: (S,) int64.
    """

    frames: torch.Tensor
    lengths: torch.Tensor
    language: torch.Tensor

    def loss(self, model: BLRMoEModel, rows: torch.Tensor) -> torch.Tensor:
        """The router's training loss on some of them, (B,) int64."""
        valid = valid_frames(self.lengths[rows], self.frames.size(1))
        routing = route(model, self.frames[rows], valid)
        return model.lid_loss_and_stats(routing, LanguageLabels.throughout(self.language[rows]))[0]


@dataclass(frozen=True)
class TestSet:
    """What the shared blocks make of a test set.

    Attributes:
        heard: its languages and domains, and what another router made of it.
        batches: (B, T, D) float16 and (B, T) bool, True for frames, of all utterances in their order.
    """

    __test__ = False  # not one of pytest's
    heard: HeardSpeech
    batches: list[tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def of(cls, model: BLRMoEModel, fs: int, data_dir: Path) -> "TestSet":
        """Run what the model's router reads; ValueError as `hear`, or an utterance is in several languages."""
        with router_inputs(model) as batches:
            heard = hear(model, fs, data_dir)
        if (heard.languages == IGNORED).any():
            raise ValueError(f"{data_dir} has utterances in several languages; give a set without them")
        return cls(heard, batches)

    @torch.no_grad()
    def scores(self, model: BLRMoEModel) -> dict[str, dict]:
        """How well the model's router, in evaluation mode, knows their languages; see `scores_of`."""
        probs, right_frames, first = [], [], 0
        for frames, valid in self.batches:
            routing = route(model, frames, valid)
            languages = self.heard.languages[first : first + len(valid)].to(valid.device)
            first += len(valid)
            probs.append(routing.utterance_probs.cpu())
            spoken = LanguageLabels.throughout(languages).spoken(valid)
            right_frames.append((spoken == routing.language).sum(dim=1).cpu())
        return scores_of(replace(self.heard, probs=torch.cat(probs), right_frames=torch.cat(right_frames)))


def scores_of(heard: HeardSpeech) -> dict[str, dict]:
    """Domain, and "all" -> the scores by their names in LidScores; None where one cannot be computed."""
    parts = {"all": heard} | {domain: heard.of_domain(domain) for domain in sorted(set(heard.domains))}
    return {domain: {name: None if math.isnan(value) else value for name, value in asdict(LidScores.of(part)).items()}
            for domain, part in parts.items()}


@contextmanager
def router_inputs(model: BLRMoEModel) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Inside the `with`, a list gets what the router reads of every batch: (B, T, D), as float16, and (B, T) bool."""
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = model.encoder.router.register_forward_pre_hook(lambda _, inputs: given.append((inputs[0].half(), inputs[1])))
    try:
        yield given
    finally:
        hook.remove()


def route(model: BLRMoEModel, frames: torch.Tensor, valid: torch.Tensor) -> Routing:
    """The router's choice for (B, T, D) outputs of the shared blocks; (B, T) bool is True for frames."""
    logits = model.encoder.router(frames.float(), valid)
    return Routing(logits, logits.argmax(dim=-1), valid, None, None)  # no expert follows, so nothing is sorted


@dataclass(frozen=True)
class Version:
    """A pair as it is augmented for the n-th time."""

    pair: Utterance
    n: int


class Waves(torch.utils.data.Dataset):
    """(samples,) float32 of augmented pairs, each drawn by its name: the same whatever else there is.

    They are NumPy's: PyTorch would hand each through a shared file, of which there may be few and little.
    """

    def __init__(self, versions: list[Version], args: argparse.Namespace):
        self.versions = versions
        self.augment = RouterTask.build_preprocess_fn(args, train=False)  # draws by the name

    def __len__(self) -> int:
        return len(self.versions)

    def __getitem__(self, place: int) -> np.ndarray:
        version = self.versions[place]
        return self.augment(f"{version.pair.id} {version.n}", {"speech": version.pair.audio})["speech"]


@torch.no_grad()
def shared_outputs(
    model: RouterModel, versions: list[Version], args: argparse.Namespace, nj: int, masks: bool
) -> Speech:
    """Augment pairs in `nj` processes (0: in this one) and run what the router reads, with SpecAugment or without."""
    device = next(model.parameters()).device
    waves = DataLoader(Waves(versions, args), AT_ONCE, num_workers=nj, collate_fn=list)
    torch.manual_seed(0)  # of the masks
    rows: list[torch.Tensor] = []
    with router_inputs(model.asr_model) as given:
        for batch in progress_bar(waves, desc="shared blocks' outputs", unit_scale=AT_ONCE):
            lengths = torch.tensor([len(wave) for wave in batch], device=device)
            padded = pad_sequence([torch.from_numpy(wave) for wave in batch], batch_first=True).to(device)
            model.asr_model.route(padded, lengths, model.specaug if masks else None)
            frames, valid = given.pop()
            rows += [own[:length] for own, length in zip(frames, valid.sum(dim=1).tolist())]
    languages = [model.asr_model.languages.index(version.pair.language) for version in versions]
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return Speech(pad_sequence(rows, batch_first=True), lengths, torch.tensor(languages, device=device))


@dataclass(frozen=True)
class Draw:
    """Pairs to train on.

    Attributes:
        amount: of each language, one of --pairs.
        number: which of the draws of that amount.
        rows: (rows,) int64, where their stretches are in the Speech of all draws.
        pairs: how many there are of each language, on average.
    """

    amount: str
    number: int
    rows: torch.Tensor
    pairs: float


def batches(draw: Draw, language: torch.Tensor, epochs: int, updates: int) -> torch.Tensor:
    """(epochs, updates of each, BATCH) int64: rows of a draw, all languages equally often; (S,) `language` of all."""
    own = language.cpu()[draw.rows]
    weights = 1 / own.bincount().float()[own]
    generator = torch.Generator().manual_seed(draw.number)
    chosen = torch.multinomial(weights, epochs * updates * BATCH, replacement=True, generator=generator)
    return draw.rows[chosen].view(epochs, updates, BATCH).to(language.device)


class Trainer:
    """Trains routers on a trained model, as the options of stage 16 say.

    Args:
        model: the trained model, which gets the routers.
        trained: the router that it had, to be trained further.
        args: the options.
        speech, valid: to train on and to choose the epoch by.
        progress: is told of every update.
    """

    def __init__(self, model: BLRMoEModel, trained: torch.nn.Module, args: argparse.Namespace, speech: Speech,
                 valid: Speech, progress: Callable[[], object]):
        self.model, self.trained, self.args = model, trained, args
        self.speech, self.valid, self.progress = speech, valid, progress

    def put_router(self, capacity: str, seed: int) -> torch.nn.Module:
        """A new router of that capacity, its first weights drawn by the seed, or the trained one's copy."""
        if capacity == "trained":
            torch.manual_seed(seed)
            self.model.encoder.router = deepcopy(self.trained)
            return self.model.encoder.router
        put_router(self.model, capacity, self.args.encoder_conf.get("router_conf", {}), seed)
        return self.model.encoder.router.to(self.speech.frames.device)

    def train(self, capacity: str, draw: Draw) -> dict:
        """Leave the model with a new, trained router, in evaluation mode; what is known of its training."""
        router = self.put_router(capacity, draw.number)
        epochs, updates = self.args.max_epoch, self.args.num_iters_per_epoch
        (optimizer,) = RouterTask.build_optimizers(self.args, router)
        schedule = self.args.scheduler_conf | {"epochs": epochs, "steps_per_epoch": updates}
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, **schedule)
        best_epoch, best_loss, best = 0, math.inf, router.state_dict()
        for epoch, rows_of_epoch in enumerate(batches(draw, self.speech.language, epochs, updates), start=1):
            router.train()
            for rows in rows_of_epoch:
                optimizer.zero_grad()
                self.speech.loss(self.model, rows).backward()
                torch.nn.utils.clip_grad_norm_(router.parameters(), self.args.grad_clip)
                optimizer.step()
                scheduler.step()
                self.progress()
            router.eval()
            if (loss := self.valid_loss()) < best_loss:
                best_epoch, best_loss, best = epoch, loss, deepcopy(router.state_dict())
        router.load_state_dict(best)
        return {"capacity": capacity, "weights": weights_of(router), "pairs": draw.amount, "draw": draw.number,
                "pairs_of_each_language": draw.pairs, "epoch": best_epoch, "valid_loss": best_loss}

    @torch.no_grad()
    def valid_loss(self) -> float:
        """Mean over the utterances of the negative log-likelihood of their frames, in nats."""
        parts = torch.arange(len(self.valid.lengths), device=self.valid.lengths.device).split(AT_ONCE)
        losses = [float(self.valid.loss(self.model, rows)) * len(rows) for rows in parts]
        return sum(losses) / len(self.valid.lengths)


def put_router(model: BLRMoEModel, capacity: str, conf: dict, seed: int) -> None:
    """Give a model a new router, linear or LAYERSxCHANNELS (a TDNN of these options); the seed draws its weights."""
    torch.manual_seed(seed)  # of dropout, too
    if capacity == "linear":
        model.encoder.put_router("linear", None, "shared")
    else:
        layers, channels = map(int, capacity.split("x"))
        model.encoder.put_router("tdnn", {**conf, "layers": layers, "channels": channels}, "shared")


def weights_of(router: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in router.parameters())
