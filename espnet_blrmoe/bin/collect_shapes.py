"""What `espnet2.bin.asr_train --collect_stats true` writes of shapes, without opening audio or building a model.

    python -m espnet_blrmoe.bin.collect_shapes --config conf/train_asr.yaml --output_dir exp/asr_stats \\
        --token_type char --token_list data/token_list/char/tokens.txt \\
        --train_data_path_and_name_and_type dump/raw/train/wav.scp,speech,sound \\
        --train_data_path_and_name_and_type dump/raw/train/text,text,text \\
        --train_shape_file dump/raw/train/utt2num_samples \\
        --valid_data_path_and_name_and_type dump/raw/valid/wav.scp,speech,sound \\
        --valid_data_path_and_name_and_type dump/raw/valid/text,text,text \\
        --valid_shape_file dump/raw/valid/utt2num_samples

The options are those of the training. The lengths of the audio are in the shape file; texts go through the training's
preprocessor, a line at a time. Statistics of features are not among the results: `normalize: global_mvn` and
`running_mvn` need ESPnet's own program, `normalize: utterance_mvn` needs none.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from espnet_blrmoe.program import start
from espnet_blrmoe.training.asr_task import BLRMoETask


def get_parser() -> argparse.ArgumentParser:
    """The training's parser."""
    return BLRMoETask.get_parser().introduced_by(__doc__)


def main(cmd: list[str] | None = None) -> None:
    """Write OUTPUT_DIR/{train,valid}/{speech,text,...}_shape; a mistake in the tables ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        for mode in ("train", "valid"):
            options = vars(args)
            collect_shapes(args, options[f"{mode}_data_path_and_name_and_type"], options[f"{mode}_shape_file"],
                           Path(args.output_dir, mode))
    except (ValueError, OSError) as error:
        sys.exit(f"collect_shapes: {error}")


def collect_shapes(
    args: argparse.Namespace, data: list[tuple[str, str, str]], lengths: list[str], folder: Path
) -> None:
    """Write the shapes of one data set.

    Args:
        args: of the training.
        data: (path, name, type) of its tables; audio ("sound") first, the others are texts.
        lengths: the table with the samples of every utterance.
        folder: where <name>_shape go.

    Raises:
        ValueError: a table is of another type, or has other utterances than the lengths.
        OSError: a table is missing, or there is no room.
    """
    (_, speech, sound), *texts = data
    if sound != "sound" or len(lengths) != 1 or any(kind != "text" for *_, kind in texts):
        raise ValueError(f"{folder.name}: expected one table of audio (sound), tables of text, and one shape file")
    preprocess = BLRMoETask.build_preprocess_fn(args, train=False)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        names = [speech, *(name for _, name, _ in texts)]
        shapes = {name: files.enter_context((folder / f"{name}_shape").open("w", encoding="utf-8")) for name in names}
        for utterance, (samples, *words) in side_by_side([lengths[0], *(path for path, *_ in texts)]):
            shapes[speech].write(f"{utterance} {samples}\n")
            for name, array in preprocess(utterance, dict(zip(names[1:], words))).items():
                shapes[name].write(f"{utterance} {','.join(map(str, array.shape))}\n")
    (folder / "batch_keys").write_text("\n".join(names) + "\n", encoding="utf-8")


def side_by_side(paths: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Read tables with the same utterances in the same order: (utterance, its value in each).

    Raises:
        ValueError: they differ; names the line.
    """
    with ExitStack() as files:
        tables = [files.enter_context(open(path, encoding="utf-8")) for path in paths]
        for number, lines in enumerate(zip_longest(*tables, fillvalue=""), start=1):
            pairs = [line.rstrip().partition(" ") for line in lines]
            for path, (utterance, _, _) in zip(paths, pairs):
                if utterance != pairs[0][0]:
                    expected = f"utterance {pairs[0][0]}" if pairs[0][0] else "the end"
                    found = utterance or "the end"
                    raise ValueError(f"{path}:{number}: expected {expected}, as in {paths[0]}, found {found}")
            yield pairs[0][0], [value for _, _, value in pairs]


if __name__ == "__main__":
    start(main)
