"""Registers the plugin in ESPnet's class choices and data types."""

from espnet2.tasks.asr import encoder_choices, model_choices, preprocessor_choices
from espnet2.train import dataset, iterable_dataset

from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor
from espnet_blrmoe.training.sound import read_sound, sound_loader

NAME = "blr_moe"


def register() -> None:
    """Make `encoder: blr_moe`, `model: blr_moe` and `preprocessor: blr_moe` known to ESPnet, and let its data type
    `sound` read stretches of recordings; again is harmless."""
    encoder_choices.classes[NAME] = BLRMoEEncoder
    model_choices.classes[NAME] = BLRMoEModel
    preprocessor_choices.classes[NAME] = BLRMoEPreprocessor
    dataset.DATA_TYPES["sound"]["func"] = sound_loader
    iterable_dataset.DATA_TYPES["sound"] = read_sound
