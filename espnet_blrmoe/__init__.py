"""BLR-MoE for ESPnet: multilingual speech recognition with a language-routed mixture of experts (arXiv 2501.12602).

Once the package is imported, ESPnet's class choices have encoder, model and preprocessor `blr_moe`. The import is
quick: PyTorch and ESPnet are loaded when a name below is first used.
"""

import importlib
from typing import TYPE_CHECKING

from espnet_blrmoe import quiet, registration

if TYPE_CHECKING:
    from espnet_blrmoe.inference.speech2text import Chunk, LanguageSpan, Speech2Text, Transcript
    from espnet_blrmoe.model.router import AbsRouter, router_choices
    from espnet_blrmoe.model.routing import LanguagePrior, Routing

_MODULES = {
    "AbsRouter": "model.router",
    "Chunk": "inference.speech2text",
    "LanguagePrior": "model.routing",
    "LanguageSpan": "inference.speech2text",
    "Routing": "model.routing",
    "Speech2Text": "inference.speech2text",
    "Transcript": "inference.speech2text",
    "router_choices": "model.router",
}

__all__ = [
    "AbsRouter",
    "Chunk",
    "LanguagePrior",
    "LanguageSpan",
    "Routing",
    "Speech2Text",
    "Transcript",
    "router_choices",
]

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
