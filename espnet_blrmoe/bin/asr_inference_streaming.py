"""Decode as streams, chunk by chunk: espnet2.bin.asr_inference_streaming for BLR-MoE models.

    python -m espnet_blrmoe.bin.asr_inference_streaming --model exp/streaming --chunk_ms 320 --languages en,de \\
        --data_path_and_name_and_type dump/raw/test_in/wav.scp,speech,sound --output_dir exp/asr/decode_320/test_in

OUTPUT_DIR/1best_recog gets
  text      utterance, transcript
  lang      utterance, the language of most of its frames, and their share
  timeline  utterance, JSON list of [start seconds, end seconds, language]
The text is the CTC's best path. `--batch_size` streams are heard at once. Models of other classes are decoded by
ESPnet's own program, which takes its contextual-block encoders.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from espnet2.bin import asr_inference_streaming
from espnet2.fileio.datadir_writer import DatadirWriter

from espnet_blrmoe.bin.asr_inference import decode, run, with_own_options, write_language
from espnet_blrmoe.bin.options import load_model
from espnet_blrmoe.espnet_internals import inference_parser
from espnet_blrmoe.files.trained_model import read_config
from espnet_blrmoe.inference.streaming import StreamingRecogniser
from espnet_blrmoe.inference.timeline import joined
from espnet_blrmoe.inference.transcript import StreamPart
from espnet_blrmoe.languages import AllowedLanguages
from espnet_blrmoe.program import start

OWN_OPTIONS = ("config", "model", "chunk_ms", "languages", "utt2langs", "language_penalty", "language_smoothing")
# Options of ESPnet's program, with the values that ask for no beam search, and ESPnet's default of the weight.
BEAM_SEARCH = {
    "beam_size": (None, 1), "nbest": (1,), "ctc_weight": (1.0, 0.5), "penalty": (0.0,), "lm_file": (None,),
    "word_lm_file": (None,),
}  # fmt: skip


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's parser with the size of the chunks and the language options."""
    parser = with_own_options(inference_parser("asr_inference_streaming"), __doc__, of_streams=True)
    parser.add_argument("--chunk_ms", type=float, default=320, help="audio that is recognised at a time (default: 320)")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Decode; a mistake in the options or files ends in one sentence."""
    run("asr_inference_streaming", get_parser(), cmd, OWN_OPTIONS, stream_with_espnet, stream)


def stream_with_espnet(**options: Any) -> None:
    """ESPnet's program.

    Raises:
        ValueError: the model is of a class that it cannot stream.
    """
    config = options["asr_train_config"]
    if not str(read_config(config).get("encoder")).startswith("contextual_block_"):
        raise ValueError(f"{config}: ESPnet streams models with a contextual-block encoder only")
    asr_inference_streaming.inference(**options)


def stream(args: argparse.Namespace) -> None:
    """Decode with a BLR-MoE model; raises ValueError for the options of a beam search, and what `decode` raises."""
    for option, harmless in BEAM_SEARCH.items():
        if getattr(args, option) not in harmless:
            raise ValueError(f"a stream's text is the CTC's best path: leave {option} out, which is of a beam search")
    decode(args, load, listen, write)


def load(args: argparse.Namespace) -> StreamingRecogniser:
    """The recogniser that the parsed options describe."""
    options = {"chunk_ms": args.chunk_ms, "device": "cuda" if args.ngpu else "cpu"}
    options |= {name: getattr(args, name) for name in ("languages", "language_penalty", "language_smoothing")}
    return load_model(args, options, "StreamingRecogniser")


def listen(
    recogniser: StreamingRecogniser, waves: Sequence[torch.Tensor], languages: Sequence[AllowedLanguages] | None
) -> list[list[StreamPart]]:
    """All that comes out of each utterance."""
    sessions = [recogniser.start(allowed) for allowed in languages or [None] * len(waves)]
    parts = recogniser.feed(sessions, waves)
    return [[*own, last] for own, last in zip(parts, recogniser.finish(sessions))]


def write(writer: DatadirWriter, utterance: str, parts: list[StreamPart]) -> None:
    """Write one utterance's results in ESPnet's layout."""
    writer["1best_recog"]["text"][utterance] = parts[-1].text
    spans = joined([span for part in parts for span in part.timeline])
    seconds: Counter[str] = Counter()
    for span in spans:
        seconds[span.language] += span.end - span.start
    (language, longest), *_ = seconds.most_common(1)
    write_language(writer, utterance, language, longest / seconds.total(), spans)


if __name__ == "__main__":
    start(main)
