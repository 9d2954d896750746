"""Fine-tune the router of a trained BLR-MoE model on audio-language pairs, without transcripts.

    python -m espnet_blrmoe.bin.router_train --config conf/train_router.yaml \\
        --asr_train_config exp/asr/config.yaml --asr_model_file exp/asr/valid.loss.ave.pth \\
        --train_data_path_and_name_and_type dump/raw/router_train/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/router_train/utt2lang,lid,text \\
        --train_shape_file dump/raw/router_train/utt2num_samples (the same three for --valid_...) \\
        --output_dir exp/router

ESPnet's training options apply; `preprocessor_conf: augmentation` and `specaug` change the audio on the fly. With
`encoder_conf` (router, router_conf, router_input) a new router takes the trained one's place. It writes, beside
ESPnet's checkpoints, the whole ASR model with the fine-tuned router: OUTPUT_DIR/asr.yaml and OUTPUT_DIR/asr.pth.
"""

import sys

from espnet_blrmoe.training.finetuning import reason_of, trained_checkpoint
from espnet_blrmoe.training.router_task import RouterTask, write_asr_model


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    return RouterTask.get_parser()


def main(cmd: list[str] | None = None) -> None:
    """Train, then write the ASR checkpoint (rank 0 alone); a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        RouterTask.main(args=args)
        if best := trained_checkpoint(args):
            write_asr_model(args, best)
    except (ValueError, OSError) as error:
        sys.exit(f"router_train: {reason_of(error)}")


if __name__ == "__main__":
    main()
