"""BLR-MoE for ESPnet: multilingual speech recognition with a language-routed mixture of experts (arXiv 2501.12602).

Once the package is imported, ESPnet's class choices have encoder, model and preprocessor `blr_moe`. The import is
quick: PyTorch and ESPnet are loaded when a name below is first used.
"""

import importlib
from typing import TYPE_CHECKING

from espnet_blrmoe import caches, quiet, registration

if TYPE_CHECKING:
    from espnet_blrmoe.inference.speech2text import Speech2Text
    from espnet_blrmoe.inference.transcript import Chunk, LanguageSpan, Transcript, Word
    from espnet_blrmoe.model.blocks import AbsBlock, block_choices
    from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior
    from espnet_blrmoe.model.router import AbsRouter, router_choices
    from espnet_blrmoe.model.router_inputs import AbsRouterInput, router_input_choices
    from espnet_blrmoe.model.routing import Routing

_MODULES = {
    "AbsBlock": "model.blocks",
    "AbsRouter": "model.router",
    "AbsRouterInput": "model.router_inputs",
    "Chunk": "inference.transcript",
    "LanguageChoice": "model.prior",
    "LanguagePrior": "model.prior",
    "LanguageSpan": "inference.transcript",
    "Routing": "model.routing",
    "Speech2Text": "inference.speech2text",
    "Transcript": "inference.transcript",
    "Word": "inference.transcript",
    "block_choices": "model.blocks",
    "router_choices": "model.router",
    "router_input_choices": "model.router_inputs",
}

__all__ = [
    "AbsBlock",
    "AbsRouter",
    "AbsRouterInput",
    "Chunk",
    "LanguageChoice",
    "LanguagePrior",
    "LanguageSpan",
    "Routing",
    "Speech2Text",
    "Transcript",
    "Word",
    "block_choices",
    "router_choices",
    "router_input_choices",
]

caches.find_place()
quiet.install()
registration.register_with_espnet()


def __getattr__(name: str) -> object:
    """Load a public name's module at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
