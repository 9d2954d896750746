"""Registers the plugin in ESPnet's class choices as soon as ESPnet has them, and not before: loading ESPnet takes
seconds."""

from types import ModuleType

import wrapt

NAME = "blr_moe"
TASKS = (
    "espnet2.tasks.asr",
    "espnet3.systems.esp2_asr.task",  # ESPnet 202611 has class choices of its own there
)


def register_with_espnet() -> None:
    """Register in the tasks that are imported already, and in the others when they are; again is harmless."""
    for task in TASKS:
        wrapt.when_imported(task)(register)


def register(task: ModuleType) -> None:
    """Make `encoder: blr_moe`, `model: blr_moe`, `preprocessor: blr_moe`, `normalize: speech_mvn` and
    `normalize: running_mvn` known to a task; again is harmless.

    What is imported here must not import a task itself: it would be half-loaded when the task's import calls this.

    Args:
        task: module with ESPnet's class choices.
    """
    from espnet_blrmoe.model.asr_model import BLRMoEModel
    from espnet_blrmoe.model.encoder import BLRMoEEncoder
    from espnet_blrmoe.model.running_mvn import RunningMVN
    from espnet_blrmoe.model.speech_mvn import SpeechMVN
    from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

    task.encoder_choices.classes[NAME] = BLRMoEEncoder
    task.model_choices.classes[NAME] = BLRMoEModel
    task.preprocessor_choices.classes[NAME] = BLRMoEPreprocessor
    task.normalize_choices.classes["speech_mvn"] = SpeechMVN
    task.normalize_choices.classes["running_mvn"] = RunningMVN
