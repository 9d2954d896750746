"""Train an ASR model: ESPnet's asr_train with what BLR-MoE adds to its options.

    python -m espnet_blrmoe.bin.asr_train --config conf/train_asr.yaml --encoder_conf languages='["en","de","es"]' \\
        --token_type char --token_list data/token_list/char/tokens.txt --output_dir exp/asr \\
        --allow_variable_data_keys true \\
        --train_data_path_and_name_and_type dump/raw/train/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/train/text,text,text \\
        --train_data_path_and_name_and_type dump/raw/train/utt2lang,lid,text \\
        --train_shape_file exp/asr_stats/train/speech_shape --train_shape_file exp/asr_stats/train/text_shape \\
        --valid_data_path_and_name_and_type dump/raw/valid/wav.scp,speech,sound \\
        --valid_data_path_and_name_and_type dump/raw/valid/text,text,text \\
        --valid_data_path_and_name_and_type dump/raw/valid/utt2lang,lid,text \\
        --valid_shape_file exp/asr_stats/valid/speech_shape --valid_shape_file exp/asr_stats/valid/text_shape

The shapes are what collect_shapes writes, or this program with --collect_stats true. Beside ESPnet's files the training
leaves OUTPUT_DIR/model.pth, a link to the averaged (else best) checkpoint of the first --best_model_criterion: the
folder is a model's, which the other programs take as --model OUTPUT_DIR. ESPnet's asr.sh runs this program as
`python -m espnet_blrmoe.run -m espnet2.bin.asr_train`.
"""

import sys

from espnet_blrmoe.program import start
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.trainer import link_model, trained_checkpoint


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    return BLRMoETask.get_parser().introduced_by(__doc__)


def main(cmd: list[str] | None = None) -> None:
    """Train, or with --collect_stats true gather shapes and statistics."""
    args = get_parser().parse_args(cmd)
    try:
        BLRMoETask.main(args=args)
    except ChildProcessError as error:
        sys.exit(f"asr_train: error: {error}")
    if checkpoint := trained_checkpoint(args):
        link_model(checkpoint)


if __name__ == "__main__":
    start(main)
