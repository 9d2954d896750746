"""Fine-tune the router of a trained BLR-MoE model on audio-language pairs, without transcripts.

    python -m espnet_blrmoe.bin.router_train --config conf/train_router.yaml --model exp/asr --output_dir exp/router \\
        --train_data_path_and_name_and_type dump/raw/router_train/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/router_train/utt2lang,lid,text \\
        --train_shape_file dump/raw/router_train/utt2num_samples \\
        --valid_data_path_and_name_and_type dump/raw/router_valid/wav.scp,speech,sound \\
        --valid_data_path_and_name_and_type dump/raw/router_valid/utt2lang,lid,text \\
        --valid_shape_file dump/raw/router_valid/utt2num_samples

writes the whole ASR model with the fine-tuned router, OUTPUT_DIR/config.yaml and OUTPUT_DIR/model.pth, which are used
like any other model's. ESPnet's training options apply, and its own files go to OUTPUT_DIR/training.
`preprocessor_conf: augmentation` and `specaug` change the audio on the fly. With `encoder_conf` (router, router_conf,
router_input) a new router takes the trained one's place.
"""

import sys
from pathlib import Path

from espnet_blrmoe.bin.options import check_named_model
from espnet_blrmoe.program import command, start


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    from espnet_blrmoe.training.router_task import RouterTask

    return RouterTask.get_parser().introduced_by(__doc__)


def main(cmd: list[str] | None = None) -> None:
    """Train, then write the ASR model (rank 0 only); a mistake in the options or files ends in one sentence."""
    check_named_model("router_train", cmd)

    from espnet_blrmoe.training.finetuning import reason_of, train_part
    from espnet_blrmoe.training.router_task import RouterTask, write_asr_model

    args = get_parser().parse_args(cmd)
    try:
        RouterTask.check_required_command_args(args)
        folder = Path(args.output_dir)
        if trained := train_part(RouterTask, args):
            write_asr_model(args, trained, folder)
    except (ValueError, OSError) as error:
        sys.exit(f"{command('router_train')}: {reason_of(error)}")


if __name__ == "__main__":
    start(main)
