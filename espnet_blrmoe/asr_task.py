"""ESPnet's ASR training with what BLR-MoE adds to its options."""

import argparse

from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_blrmoe.config_files import ConfigFileTask
from espnet_blrmoe.trainer import WholeFilesTrainer


class BLRMoETask(ConfigFileTask):
    """ESPnet's ASRTask; `python -m espnet_blrmoe.run -m espnet2.bin.asr_train` runs it in ASRTask's place."""

    trainer = WholeFilesTrainer

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """The model of the options; the recipe names its languages to every encoder, but only BLR-MoE's has experts."""
        if args.encoder != "blr_moe":
            args.encoder_conf.pop("languages", None)
        return super().build_model(args)
