"""Registers the plugin in ESPnet's class choices."""

from espnet2.tasks.asr import encoder_choices, model_choices, preprocessor_choices

from espnet_blrmoe.asr_model import BLRMoEModel
from espnet_blrmoe.encoder import BLRMoEEncoder
from espnet_blrmoe.preprocessor import BLRMoEPreprocessor

NAME = "blr_moe"


def register() -> None:
    """Make `encoder: blr_moe`, `model: blr_moe` and `preprocessor: blr_moe` known to ESPnet; again is harmless."""
    encoder_choices.classes[NAME] = BLRMoEEncoder
    model_choices.classes[NAME] = BLRMoEModel
    preprocessor_choices.classes[NAME] = BLRMoEPreprocessor
