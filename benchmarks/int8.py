"""Size, speed and error rates of an exported model in float32 and int8, side by side with PyTorch.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/int8.py --model exp/router --onnx_dir exp/asr_onnx --data_dir dump/raw/test_in

The models take turns, utterance after utterance, one at a time and on one thread; waveform to text (CTC's best path),
all languages allowed. real-time factor: median over the utterances; ratio: to PyTorch's time of the same utterance,
median and quartiles; WER and CER: of all utterances, with the change in percentage points; same text: utterances whose
text is PyTorch's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import jiwer
import numpy as np
import onnxruntime
import torch
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table
from measuring import machine, ratio, read_data_dir

from espnet_blrmoe import Speech2Text, audio
from espnet_blrmoe.files.model_files import WEIGHTS_NAME
from espnet_blrmoe.progress import progress_bar

PYTORCH = "PyTorch float32"


class OnnxRecogniser:
    """Waveform to text with an exported model.

    Args:
        path: what espnet_blrmoe.bin.export_onnx wrote.
    """

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.tokens, self.blank = (json.loads(metadata[name]) for name in ("tokens", "blank"))
        weights = np.zeros(len(json.loads(metadata["languages"])), np.float32)
        self.weights = {"language_log_weights": weights} if len(weights) > 1 else {}

    def __call__(self, waveform: np.ndarray) -> str:
        """(samples,) float32 -> text."""
        (log_probs,) = self.session.run(["log_probs"], {"speech": waveform[None], **self.weights})
        path = (token for token, _ in groupby(log_probs.argmax(axis=1)) if token != self.blank)
        return " ".join("".join(self.tokens[token] for token in path).split())


def decode(
    recognisers: dict[str, Callable[[np.ndarray], str]], waveforms: list[np.ndarray]
) -> tuple[dict[str, list[str]], dict[str, list[float]]]:
    """Texts and seconds of every utterance, by recogniser."""
    texts: dict[str, list[str]] = {name: [] for name in recognisers}
    seconds: dict[str, list[float]] = {name: [] for name in recognisers}
    for recognise in recognisers.values():  # warm up
        recognise(waveforms[0])
    for waveform in progress_bar(waveforms, leave=False):
        for name, recognise in recognisers.items():
            start = time.perf_counter()
            text = recognise(waveform)
            seconds[name].append(time.perf_counter() - start)
            texts[name].append(text)
    return texts, seconds


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="folder of the model")
    parser.add_argument("--onnx_dir", required=True, type=Path, help="its model.onnx and model.int8.onnx")
    parser.add_argument("--data_dir", required=True, type=Path, help="wav.scp and text")
    args = parser.parse_args(argv)

    torch.set_num_threads(1)
    speech2text = Speech2Text.from_pretrained(args.model, beam_size=1)
    utterances, references = (list(table.values()) for table in read_data_dir(args.data_dir, "text"))
    waveforms = [audio.load(utterance, speech2text.fs).numpy() for utterance in utterances]
    files = {
        PYTORCH: args.model / WEIGHTS_NAME,
        "ONNX float32": args.onnx_dir / "model.onnx",
        "ONNX int8": args.onnx_dir / "model.int8.onnx",
    }
    recognisers = {PYTORCH: lambda waveform: speech2text(waveform).text}
    recognisers |= {name: OnnxRecogniser(path) for name, path in files.items() if name != PYTORCH}
    texts, seconds = decode(recognisers, waveforms)

    durations = [len(waveform) / speech2text.fs for waveform in waveforms]
    errors = {name: (jiwer.wer(references, own), jiwer.cer(references, own)) for name, own in texts.items()}
    rows = [
        [
            name,
            format_size(path.stat().st_size),
            f"{statistics.median(s / d for s, d in zip(seconds[name], durations)):.4f}",
            ratio(seconds[name], seconds[PYTORCH]),
            *(f"{100 * own:.2f} ({100 * (own - base):+.2f})" for own, base in zip(errors[name], errors[PYTORCH])),
            f"{sum(own == base for own, base in zip(texts[name], texts[PYTORCH]))} of {len(waveforms)}",
        ]
        for name, path in files.items()
    ]
    print(f"{machine('cpu')}, ONNX Runtime {onnxruntime.__version__}")
    print(f"{args.data_dir}: {len(waveforms)} utterances, {sum(durations):,.0f} s")
    columns = ["model", "file", "real-time factor", "ratio", "WER in %", "CER in %", "same text"]
    print(format_pretty_table(rows, columns))


if __name__ == "__main__":
    main()
