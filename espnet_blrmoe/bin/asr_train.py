"""Train an ASR model: ESPnet's asr_train with what BLR-MoE adds to its options.

    python -m espnet_blrmoe.bin.asr_train --config conf/train_asr.yaml --output_dir exp/asr ...

`python -m espnet_blrmoe.run -m espnet2.bin.asr_train` is the same, for ESPnet's asr.sh.
"""

from espnet_blrmoe.training.asr_task import BLRMoETask


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    return BLRMoETask.get_parser()


def main(cmd: list[str] | None = None) -> None:
    """Train, or with --collect_stats true gather shapes and statistics."""
    BLRMoETask.main(cmd=cmd)


if __name__ == "__main__":
    main()
