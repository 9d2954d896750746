"""BLR-MoE for ESPnet: multilingual speech recognition with a language-routed mixture of experts (arXiv 2501.12602).

Importing the package registers encoder, model and preprocessor `blr_moe` in ESPnet's class choices.
"""

import sys
from contextlib import redirect_stdout

with redirect_stdout(sys.stderr):  # ESPnet prints while it is imported; standard output belongs to the programs
    from espnet_blrmoe.inference.speech2text import Chunk, LanguageSpan, Speech2Text, Transcript
    from espnet_blrmoe.model.prior import LanguagePrior
    from espnet_blrmoe.model.router import AbsRouter, router_choices
    from espnet_blrmoe.model.routing import Routing
    from espnet_blrmoe.registration import register

register()

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
