"""What is known of the languages before the router chooses, and how its choice takes it.

B utterances, T frames of the longest, E languages. Masks are True for valid frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from espnet_blrmoe.languages import AllowedLanguages
from espnet_blrmoe.model.past import WHOLE, Whole

SWITCH_COST = 5.0  # nats; docs/languages.md says why


@dataclass(frozen=True)
class LanguagePrior:
    """Weights of the languages, frame by frame or for whole utterances.

    Attributes:
        log_weights: float32 (B or 1, T or 1, E), added to the log-probabilities of the frames; minus infinity excludes
            a language (expert pruning, paper section "Expert pruning"), a finite penalty makes it less likely. Weights
            that change over time may be longer than the batch: what lies beyond its T frames does not count.
    """

    log_weights: torch.Tensor

    def __post_init__(self) -> None:
        if self.log_weights.dim() != 3:
            shape = tuple(self.log_weights.shape)
            raise ValueError(f"the language prior's log-weights must broadcast to (B, T, E), not be {shape}")
        if self.log_weights.isnan().any() or self.log_weights.isposinf().any():
            raise ValueError("the language prior's log-weights must be numbers or minus infinity")
        if not self.log_weights.isfinite().any(dim=-1).all():
            raise ValueError("the language prior excludes every language; allow at least one")

    @classmethod
    def allow(
        cls,
        allowed: Sequence[str | Sequence[str] | AllowedLanguages],
        languages: Sequence[str],
        penalty: float = math.inf,
        times: torch.Tensor | None = None,
    ) -> "LanguagePrior":
        """Only the listed languages, or, with a finite penalty, preferably those.

        Args:
            allowed: one list per utterance, or one list for the whole batch: [["en", "de"]], ["en,de"] or, changing
                over time, ["en 12:fr"]. See AllowedLanguages.
            languages: all languages of the model, in its order.
            penalty: nats taken off the log-probability of every language that is not listed.
            times: (B or 1, T) seconds into the recording at which the frames are; needed for lists that change.

        Raises:
            ValueError: a list is empty or names an unknown language, the penalty is out of its range, or a list
                changes over time and there are no times.
        """
        if isinstance(allowed, str):
            raise ValueError(f"allowed languages come as a list of lists; write [{allowed!r}] for the whole batch")
        if not penalty >= 0.0:
            raise ValueError(f"the language penalty must be a number of nats, 0 or more, not {penalty}")
        lists = [AllowedLanguages.of(codes, languages) for codes in allowed]
        by_span = [
            torch.tensor([[0.0 if code in codes else -penalty for code in languages] for codes in own.codes])
            for own in lists
        ]
        if all(len(own.starts) == 1 for own in lists):
            return cls(torch.stack(by_span))
        if times is None:
            raise ValueError("a list of languages that changes over time needs the times of the frames")
        times = times.expand(len(lists), -1)
        rows = [weights[own.span_at(seconds.numpy())] for weights, own, seconds in zip(by_span, lists, times)]
        return cls(torch.stack(rows))

    def only_language(self) -> torch.Tensor | None:
        """(B or 1, T or 1) int64: the one language that is left to each frame; None where any frame has a choice."""
        allowed = self.log_weights.isfinite()
        if bool((allowed.sum(dim=-1) > 1).any()):
            return None
        return allowed.int().argmax(dim=-1)

    def over(self, time: int) -> torch.Tensor:
        """The log-weights for a batch of T frames: (B or 1, T or 1, E)."""
        return self.log_weights[:, :time]


@dataclass(frozen=True)
class LanguageChoice:
    """How the router's choice takes what is known: smoothed over time, weighed by the prior, then chosen.

    Attributes:
        prior: of the languages; None: all are alike.
        window: frames over which log-probabilities are averaged around each frame: 1 (every frame for itself) or
            another odd number; None: the whole utterance, which then gets one language.
        looks_back: whether the window ends at each frame, for streaming.
        escape: an utterance ignores its prior where the languages that the prior weighs down are more probable than
            this without it, averaged over the utterance; None: no utterance does.
        switch_cost: nats that a change of language costs: an utterance gets the sequence of languages whose
            log-probabilities, weighed by the prior and added up over its frames, are the highest after these costs;
            None: a change costs nothing.

    Raises:
        ValueError: a value is out of its range.
    """

    prior: LanguagePrior | None = None
    window: int | None = 1
    escape: float | None = None
    looks_back: bool = False
    switch_cost: float | None = None

    def __post_init__(self) -> None:
        if self.escape is not None and not 0.0 < self.escape < 1.0:
            raise ValueError(f"the escape threshold is a probability between 0 and 1, not {self.escape}")
        if self.window is not None and (self.window < 1 or self.window % 2 == 0):
            raise ValueError(f"the smoothing window must be an odd number of frames, not {self.window}")
        if self.switch_cost is not None and not 0.0 <= self.switch_cost < math.inf:
            raise ValueError(f"the cost of a language switch is a number of nats, 0 or more, not {self.switch_cost}")

    @classmethod
    def smoothed(
        cls,
        smoothing: str | float,
        seconds_per_frame: float,
        switch_cost: float | None = None,
        escape: float | None = None,
    ) -> "LanguageChoice":
        """A choice without a prior, as users describe it.

        Args:
            smoothing: "frame", "utterance", "viterbi" or a number of milliseconds.
            seconds_per_frame: of an encoder frame.
            switch_cost, escape: see above; None costs SWITCH_COST with "viterbi".

        Raises:
            ValueError: a value is out of its range, or there is a cost of switches without "viterbi".
        """
        if smoothing == "viterbi":
            return cls(escape=escape, switch_cost=SWITCH_COST if switch_cost is None else switch_cost)
        if switch_cost is not None:
            raise ValueError("the cost of a language switch needs language smoothing viterbi")
        return cls(None, window_of(smoothing, seconds_per_frame), escape)

    def only_language(self) -> torch.Tensor | None:
        """As the prior's; also None where utterances may ignore it."""
        return None if self.prior is None or self.escape is not None else self.prior.only_language()

    def weigh(self, logits: torch.Tensor, valid: torch.Tensor, past: Whole = WHOLE) -> torch.Tensor:
        """The router's (B, T, E) logits as its choice takes them; valid is (B, T) bool."""
        smoothed = logits
        if self.window != 1:
            smoothed = smooth(logits.log_softmax(dim=-1), valid, self.window, self.looks_back, past)
        if self.prior is None:
            return smoothed
        log_weights = self.prior.over(logits.size(1)).to(logits.device)
        weighed = smoothed + log_weights
        if self.escape is None:
            return weighed
        weighed_down = log_weights < log_weights.amax(dim=-1, keepdim=True)
        against = (logits.softmax(dim=-1) * weighed_down).sum(-1) * valid  # (B, T)
        escapes = against.sum(1) / valid.sum(1) > self.escape
        return torch.where(escapes[:, None, None], smoothed, weighed)

    def choose(self, weighed: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """The language of each frame, (B, T) int64, of what `weigh` gives; meaningless where not valid."""
        if self.switch_cost is None:
            return weighed.argmax(dim=-1)
        return best_sequence(weighed.log_softmax(dim=-1), valid, self.switch_cost)


def smooth(
    log_probs: torch.Tensor,
    valid: torch.Tensor,
    window: int | None,
    looks_back: bool = False,
    past: Whole = WHOLE,
) -> torch.Tensor:
    """Average over time, within each utterance: (B, T, E) -> (B, T, E).

    Args:
        log_probs: (B, T, E).
        valid: (B, T) bool, True for frames.
        window: odd number of frames around each frame; None: all of the utterance.
        looks_back: the window ends at each frame instead.
        past: what came before the frames.
    """
    weights = valid.unsqueeze(-1).to(log_probs)
    if window is None:
        return ((log_probs * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)).expand_as(log_probs)

    right = 0 if looks_back else window // 2

    def mean(x: torch.Tensor) -> torch.Tensor:
        around = past.around(x, window - 1 - right, right)
        return F.avg_pool1d(around.transpose(1, 2), window, stride=1).transpose(1, 2)

    return mean(log_probs * weights) / mean(weights).clamp(min=1 / (2 * window))


def best_sequence(log_probs: torch.Tensor, valid: torch.Tensor, switch_cost: float) -> torch.Tensor:
    """The sequence of languages with the highest sum of log-probabilities and costs (Viterbi's algorithm).

    As every switch costs the same, a language is reached from itself or from the best one: E steps a frame, not E * E.

    Args:
        log_probs: (B, T, E); minus infinity where a language is excluded.
        valid: (B, T) bool, True for frames, which come before the padding.
        switch_cost: nats.

    Returns:
        (B, T) int64; in the padding, the language of the last frame.
    """
    frames = log_probs.masked_fill(~valid.unsqueeze(-1), 0.0).unbind(dim=1)
    languages = torch.arange(log_probs.size(-1), device=log_probs.device)
    score = frames[0]
    origins = []  # (B, E) for each frame but the first: the language before, if this one is in the sequence
    for frame in frames[1:]:
        best, best_language = score.max(dim=-1, keepdim=True)
        stays = score >= best - switch_cost
        origins.append(torch.where(stays, languages, best_language))
        score = frame + torch.where(stays, score, best - switch_cost)
    sequence = [score.argmax(dim=-1, keepdim=True)]
    for origin in reversed(origins):
        sequence.append(origin.gather(1, sequence[-1]))
    return torch.cat(sequence[::-1], dim=1)


def window_of(smoothing: str | float, seconds_per_frame: float) -> int | None:
    """Smoothing as users say it -> LanguageChoice's window: an odd number of frames, None for the whole utterance.

    Raises:
        ValueError: neither "frame" nor "utterance" nor a positive number of milliseconds.
    """
    if smoothing in ("frame", "utterance"):
        return 1 if smoothing == "frame" else None
    try:
        milliseconds = float(smoothing)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise ValueError(f"language smoothing must be frame, utterance, viterbi or milliseconds, not {smoothing!r}")
    frames_each_way = round((milliseconds / 1000 / seconds_per_frame - 1) / 2)
    return 2 * max(0, frames_each_way) + 1
