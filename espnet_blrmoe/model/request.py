"""What a caller wants of a batch, on its way to the encoder, and the Routings on their way back.

ESPnet's model calls its encoder with features and nothing else. What goes around it is kept in a context variable, not
on a module: threads that share a model do not see each other's, and one request may be made within another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch

from espnet_blrmoe.model.chunks import Chunking
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.prior import LanguageChoice
from espnet_blrmoe.model.routing import Routing


@dataclass(frozen=True)
class RoutingRequest:
    """What is known of the batches that one encoder is given.

    Attributes:
        encoder: whose batches are meant; others may run at the same time.
        labels: the utterances' languages, for routing by label in training.
        choice: how the router's choice takes what is known.
        chunking: how far frames see, as in a stream; None: all of the utterance.
        routings: gets the Routing of every batch.
    """

    encoder: torch.nn.Module
    labels: LanguageLabels | None = None
    choice: LanguageChoice = LanguageChoice()
    chunking: Chunking | None = None
    routings: list[Routing] = field(default_factory=list)


_CURRENT: ContextVar[RoutingRequest | None] = ContextVar("routing_request", default=None)


@contextmanager
def requested(request: RoutingRequest) -> Iterator[list[Routing]]:
    """Inside the `with`, and in this thread, the request holds; yields its list of Routings."""
    token = _CURRENT.set(request)
    try:
        yield request.routings
    finally:
        _CURRENT.reset(token)


def request_of(encoder: torch.nn.Module) -> RoutingRequest:
    """The request that holds for an encoder's batches; without one, an empty request."""
    current = _CURRENT.get()
    return current if current is not None and current.encoder is encoder else RoutingRequest(encoder)
