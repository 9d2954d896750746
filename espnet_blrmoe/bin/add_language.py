"""Add a language to a trained BLR-MoE model: train an expert for it on its own recordings and transcripts.

    python -m espnet_blrmoe.bin.add_language --config conf/train_language.yaml --language fr --like es \\
        --model exp/router --output_dir exp/asr_fr \\
        --train_data_path_and_name_and_type dump/raw/train_fr/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/train_fr/text,text,text \\
        --train_shape_file dump/raw/train_fr/utt2num_samples \\
        --valid_data_path_and_name_and_type dump/raw/valid_fr/wav.scp,speech,sound \\
        --valid_data_path_and_name_and_type dump/raw/valid_fr/text,text,text \\
        --valid_shape_file dump/raw/valid_fr/utt2num_samples

writes OUTPUT_DIR/config.yaml and OUTPUT_DIR/model.pth, which are used like any other model's. Only the new expert
and the output of tokens that the model lacked learn; the old languages' results under a list without the new one do not
change. With --group romance the language gets no expert of its own, but shares that of the group (or language) of this
name, which stays as it is. The router does not know the new language yet: fine-tune it with router_train on audio of
all languages, or decode with --languages fr. ESPnet's training options apply; its own files go to OUTPUT_DIR/training.
"""

import argparse
import sys
from pathlib import Path

from espnet_blrmoe.bin.options import check_named_model
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.output_folder import check_new
from espnet_blrmoe.program import command, start


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    from espnet_blrmoe.training.language_task import LanguageTask

    return LanguageTask.get_parser().introduced_by(__doc__)


def main(cmd: list[str] | None = None) -> None:
    """Train, then write the larger model (rank 0 only); a mistake in the options or files ends in one sentence."""
    check_named_model("add_language", cmd)

    from espnet_blrmoe.training.finetuning import reason_of
    from espnet_blrmoe.training.language_task import LanguageTask

    args = get_parser().parse_args(cmd)
    try:
        LanguageTask.check_required_command_args(args)
        add(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{command('add_language')}: {reason_of(error)}")


def add(args: argparse.Namespace) -> None:
    """Train and write.

    Raises:
        ValueError, OSError: a file is missing, damaged or does not fit, the model cannot take in the
            language, or the folder cannot be written or holds a model already.
    """
    from espnet_blrmoe.training.finetuning import train_part
    from espnet_blrmoe.training.language_task import LanguageTask, write_extended_model

    folder = Path(args.output_dir)
    written = ModelFiles.in_folder(folder)
    check_new(written.config, written.weights)
    if trained := train_part(LanguageTask, args):
        model = write_extended_model(args, trained, folder)
        print(
            f"{folder}: {len(model.languages)} languages ({', '.join(model.languages)}), "
            f"{len(model.token_list)} tokens; router_train teaches its router to hear {args.language}"
        )


if __name__ == "__main__":
    start(main)
