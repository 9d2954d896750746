"""ESPnet's start without what the modules that it imports print, ask the network for, or spend seconds on.

Each is stopped where it comes from; nothing else is hidden.
"""

import importlib.abc
import logging
import sys
import warnings
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType


class _WithoutPrint(SourceFileLoader):
    """Loads a module whose own `print` does nothing while it is imported."""

    def exec_module(self, module: ModuleType) -> None:
        module.print = lambda *args, **kwargs: None
        super().exec_module(module)
        del module.print


class _AtFirstUse(SourceFileLoader):
    """Loads a module when something in it is first used.

    importlib.util.LazyLoader would also load it when inspect merely asks all modules for their files.
    """

    def exec_module(self, module: ModuleType) -> None:
        def load(name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            del module.__getattr__
            SourceFileLoader.exec_module(self, module)
            return getattr(module, name)

        module.__getattr__ = load


LOADERS = {
    # Print that there is no flash attention, which no model of the plugin uses. (ESPnet 202511, 202611)
    "espnet.nets.pytorch_backend.transformer.attention": _WithoutPrint,
    "espnet2.legacy.nets.pytorch_backend.transformer.attention": _WithoutPrint,
    # English phonemes: loads NLTK, and has it download two files, or wait for a network. (202511)
    "g2p_en": _AtFirstUse,
    # A cleaner of English texts: three seconds of computing, and warnings of its syntax. (202511)
    "tacotron_cleaner": _AtFirstUse,
    "tacotron_cleaner.cleaners": _AtFirstUse,
}


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of LOADERS where Python finds them, for other loaders."""

    def find_spec(self, name: str, path=None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LOADERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = LOADERS[name](spec.loader.name, spec.loader.path)
        return spec


# What the plugin's models are by design: they have only a CTC. (202511, 202611)
EXPECTED = "Set decoder to none as ctc_weight==1.0"
# 202511 asks PyTorch for mixed precision by an old name.
OLD_AUTOCAST = r"`torch\.cuda\.amp\.autocast\(args\.\.\.\)` is deprecated"


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg != EXPECTED


def install() -> None:
    """Stop all this from now on; again is harmless."""
    if not any(isinstance(finder, _QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietFinder())
    logging.getLogger().addFilter(_is_news)
    warnings.filterwarnings("ignore", OLD_AUTOCAST, FutureWarning, module=r"espnet2\.")
