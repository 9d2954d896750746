"""ESPnet's ASR training with what BLR-MoE adds to its options."""

from espnet2.tasks.asr import ASRTask


class BLRMoETask(ASRTask):
    """ESPnet's ASRTask; `python -m espnet_blrmoe.run -m espnet2.bin.asr_train` runs it in ASRTask's place."""
