"""Write a CTC model as one ONNX file, from waveform to log-probabilities, for decoding without PyTorch and ESPnet.

    python -m espnet_blrmoe.bin.export_onnx --model exp/router --output_dir exp/asr_onnx --quantize

writes OUTPUT_DIR/model.onnx and, with --quantize, OUTPUT_DIR/model.int8.onnx. What the first computes is compared
with PyTorch's results before it is put in its place.

inputs    speech                 (1, samples) float32 in [-1, 1], of any length
          language_log_weights   (E,) float32, added to the log-probabilities of the languages: 0 allows one, minus
                                 infinity excludes it, a finite penalty makes it less likely; not all may be
                                 excluded. A model of one language has no such input.
outputs   log_probs              (T, V) float32, CTC's log-probabilities of the tokens
          language_log_probs     (T, E) float32, the router's log-probabilities under those weights
          expert                 (T,) int64, the language whose expert each frame went to

The file's metadata say the rest, as JSON: `tokens` (the text that each of the V tokens stands for, to be joined;
<0xC3> is a byte of a sentencepiece model, and a run of them the UTF-8 of a character), `blank` (which of them is CTC's
blank), `languages` (E codes), `sampling_rate` (Hz), `samples_per_frame`.

With --chunk_ms, the file follows a stream, a chunk at a time (docs/streaming.md). `speech` is then (1, chunk_samples),
and the next chunk begins chunk_step samples later. Further inputs are `frames`, (1,) int64: how many of the chunk's
chunk_frames frames the stream has, fewer only at its end; and `seen`, `state_0`, ...: zeros of the shapes and dtypes
in `states` before the first chunk, then the outputs `next_seen`, `next_state_0`, ... of the chunk before. The other
outputs are of delay_frames frames earlier; `is_frame`, (C,) bool, says which of their rows are frames, and `language`
is in place of `expert`. So at the end come delay_frames / chunk_frames chunks more, with `frames` 0.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from humanfriendly import format_size

from espnet_blrmoe.files.model_files import ModelFiles, add_model_options
from espnet_blrmoe.files.output_folder import check_new
from espnet_blrmoe.program import command, start


def get_parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write; must not hold a model yet")
    parser.add_argument("--quantize", action="store_true", help="write model.int8.onnx too: smaller and less exact")
    parser.add_argument("--chunk_ms", type=float, help="follow a stream, in chunks of so many milliseconds")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Export; a mistake in the options or files ends in one sentence."""
    args = get_parser().parse_args(cmd)
    try:
        export(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{command('export_onnx')}: {error}")


def export(args: argparse.Namespace) -> None:
    """Read the model, write it as ONNX.

    Raises:
        ValueError, OSError: a file is missing or damaged, the model cannot be exported, or a file exists or cannot be
            written.
    """
    names = ["model.onnx", "model.int8.onnx"] if args.quantize else ["model.onnx"]
    check_new(*(args.output_dir / name for name in names))
    files = ModelFiles.of_options(args)

    from espnet_blrmoe.files.export import RecogniserGraph, export_onnx, metadata_of, quantise
    from espnet_blrmoe.files.export_streaming import StreamingGraph
    from espnet_blrmoe.files.trained_model import load_asr_model, read_blr_moe_config, sampling_rate
    from espnet_blrmoe.model.streaming import frames_of

    model, config = load_asr_model(files), read_blr_moe_config(files.config)
    if args.chunk_ms is None:
        graph = RecogniserGraph(model)
    else:
        graph = StreamingGraph(model.eval(), frames_of(args.chunk_ms, model, sampling_rate(config)))
    metadata = metadata_of(config, model) | graph.metadata()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output_dir) as folder:  # so that nothing half-written stays
        unfinished = [Path(folder) / name for name in names]
        export_onnx(graph, unfinished[0], metadata)
        if args.quantize:
            quantise(*unfinished, metadata)
        written = [path.replace(args.output_dir / path.name) for path in unfinished]
    sizes = ", ".join(f"{path} {format_size(path.stat().st_size)}" for path in written)
    print(f"{len(metadata['languages'])} languages, {len(metadata['tokens'])} tokens: {sizes}")


if __name__ == "__main__":
    start(main)
