"""Fine-tune the router of a trained BLR-MoE model on audio-language pairs, without transcripts.

    python -m espnet_blrmoe.bin.router_train --config conf/train_router.yaml \\
        --asr_train_config exp/asr/config.yaml --asr_model_file exp/asr/valid.loss.ave.pth \\
        --train_data_path_and_name_and_type dump/raw/router_train/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/router_train/utt2lang,lid,text \\
        --train_shape_file dump/raw/router_train/utt2num_samples (the same three for --valid_...) \\
        --output_dir exp/router

ESPnet's training options apply; `preprocessor_conf: augmentation` and `specaug` change the audio on the fly. Besides
ESPnet's checkpoints it writes the whole ASR model with the fine-tuned router: OUTPUT_DIR/asr.yaml and OUTPUT_DIR/asr.pth.
With `encoder_conf` (router, router_conf, router_input) a new router takes the trained one's place and is trained alone.
"""

import sys
from pathlib import Path

from espnet_blrmoe.router_task import RouterTask, write_asr_model


def get_parser():
    """ESPnet's parser of the task; ESPnet's documentation tools look for this name."""
    return RouterTask.get_parser()


def main(cmd: list[str] | None = None) -> None:
    """Train, then write the ASR checkpoint (rank 0 alone); a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        RouterTask.main(args=args)
        if not args.collect_stats and not args.dry_run and args.dist_rank in (None, 0):
            write_asr_model(args, best_checkpoint(Path(args.output_dir), args.best_model_criterion))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"router_train: {error}")


def best_checkpoint(output_dir: Path, criteria: list[tuple[str, str, str]]) -> Path:
    """The averaged or best checkpoint of the first criterion of --best_model_criterion, as ESPnet names it."""
    phase, criterion, _ = criteria[0]
    averaged, best = (output_dir / f"{phase}.{criterion}.{kind}.pth" for kind in ("ave", "best"))
    return averaged if averaged.exists() else best


if __name__ == "__main__":
    main()
