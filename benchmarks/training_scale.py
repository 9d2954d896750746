"""Step time, memory and communication of a long training on several GPUs, worked out from pieces measured here.

    python benchmarks/training_scale.py egs2/blr_moe_masr/asr1/conf/tuning/train_asr_paper.yaml \\
        --languages 8 --vocab 5000 --data_dir egs2/blr_moe_masr/asr1/dump/raw/train

Measured, on the CPU, with the whole model of the configuration and batches of one and of two utterances of each
language, 10 s long: parameters; multiplications and additions of a training step; what the forward pass keeps for the
backward pass, under bfloat16 autocast; operators that a step starts; bytes of an utterance's file, wav and flac, and
the processor time in which ESPnet's dataset, preprocessor and collation make a part of a batch of it.

Assumed, since no GPU is at hand: all that the options say, and that the all-reduce runs beside the backward pass (two
thirds of a step), as DistributedDataParallel starts it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.dataset import ESPnetDataset
from humanfriendly import format_size, format_timespan
from humanfriendly.tables import format_pretty_table
from measuring import machine, saved_bytes
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from espnet_blrmoe.languages import LABEL_PADDING, encode_label
from espnet_blrmoe.model.experts import PackedExperts
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

RATE = 16000
SECONDS = 10  # of an utterance
TOKENS_PER_SECOND = 4
GRADIENT_BYTES = 4  # float32, also under autocast
STATE_BYTES = 4 + 4 + 8  # of a parameter: itself, its gradient, AdamW's two moments
OPTIMIZER_BYTES = 40  # read and written for a parameter by AdamW (28) and the clipping of gradients (12)
LINKS = {"NVLink": 200e9, "PCIe 4": 15e9, "100 Gb/s Ethernet": 11e9}  # bytes a second of an all-reduce; assumed


@dataclass(frozen=True)
class Pieces:
    """What was measured of a model.

    Attributes:
        parameters: of the whole model.
        expert_parameters: those of them that belong to an expert.
        flops: floating-point operations of a training step, for a second of speech.
        activations: bytes kept for the backward pass, for a second of speech.
        weight_copies: bytes kept for the backward pass, whatever the size of the batch.
        operators: that a step starts, whatever the size of its batch.
    """

    parameters: int
    expert_parameters: int
    flops: float
    activations: float
    weight_copies: float
    operators: int


@dataclass(frozen=True)
class Loading:
    """What reading a second of speech costs: processor seconds, and bytes of its file."""

    processor: float
    size: float


class OperatorCounter(TorchDispatchMode):
    """Counts operators that compute: views start nothing on a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def build_model(config: Path, languages: int, vocab: int) -> tuple[argparse.Namespace, torch.nn.Module]:
    """The configuration's model with so many languages and tokens; its options."""
    args = BLRMoETask.get_parser().parse_args(["--config", str(config), "--output_dir", "unused"])
    if args.encoder == "blr_moe":
        args.encoder_conf = {**args.encoder_conf, "languages": [f"l{n}" for n in range(languages)]}
    args.token_list = ["<blank>", "<unk>", *(f"t{n}" for n in range(vocab - 3)), "<sos/eos>"]
    torch.manual_seed(0)
    return args, BLRMoETask.build_model(args).train()


def batch_of(languages: int, each: int, vocab: int) -> dict[str, torch.Tensor]:
    """So many utterances of SECONDS of each language."""
    generator = torch.Generator().manual_seed(0)
    utterances, tokens = languages * each, SECONDS * TOKENS_PER_SECOND
    labels = [torch.from_numpy(encode_label(f"l{n % languages}")) for n in range(utterances)]
    return {
        "speech": 0.1 * torch.randn(utterances, SECONDS * RATE, generator=generator),
        "speech_lengths": torch.full((utterances,), SECONDS * RATE),
        "text": torch.randint(2, vocab - 1, (utterances, tokens), generator=generator),
        "text_lengths": torch.full((utterances,), tokens),
        "lid": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=LABEL_PADDING),
    }


def measure(model: torch.nn.Module, languages: int, vocab: int) -> Pieces:
    def loss(each: int = 1) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(**batch_of(languages, each, vocab))[0]

    seconds = languages * SECONDS
    kept, kept_of_two = (saved_bytes(model, lambda n=n: loss(n)) for n in (1, 2))
    # The plain kernel, since not every attention kernel's operations are counted.
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH):
        loss().backward()
    with OperatorCounter() as operators:
        loss().backward()
    experts = {id(p) for m in model.modules() if isinstance(m, PackedExperts) for p in m.parameters()}
    return Pieces(
        parameters=sum(p.numel() for p in model.parameters()),
        expert_parameters=sum(p.numel() for p in model.parameters() if id(p) in experts),
        flops=flops.get_total_flops() / seconds,
        activations=(kept_of_two - kept) / seconds,
        weight_copies=2 * kept - kept_of_two,
        operators=operators.count,
    )


def loading(data_dir: Path, audio_format: str, token_list: list[str]) -> Loading:
    """Read the first utterances of a data directory from files of that format."""
    wav_scp = [line.split(maxsplit=1) for line in (data_dir / "wav.scp").open(encoding="utf-8")][:300]
    with tempfile.TemporaryDirectory() as folder:
        files, seconds = [], 0.0
        for utterance, path in wav_scp:
            speech, rate = soundfile.read(path.strip())
            seconds += len(speech) / rate
            files.append(Path(folder, f"{utterance}.{audio_format}"))
            soundfile.write(files[-1], speech, rate)
        scp = Path(folder, "wav.scp")
        scp.write_text("".join(f"{u} {f}\n" for (u, _), f in zip(wav_scp, files)), encoding="utf-8")
        dataset = ESPnetDataset(
            [(str(scp), "speech", "sound"), (str(data_dir / "text"), "text", "text"),
             (str(data_dir / "utt2lang"), "lid", "text")],
            preprocess=BLRMoEPreprocessor(train=True, token_type="char", token_list=token_list),
        )  # fmt: skip
        collate = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)
        utterances = [utterance for utterance, _ in wav_scp]
        batches = [utterances[n : n + 10] for n in range(0, len(utterances), 10)]
        spent = min(processor_time(lambda: read(dataset, collate, batches)) for _ in range(3))
        size = sum(file.stat().st_size for file in files)
    return Loading(processor=spent / seconds, size=size / seconds)


def read(dataset: ESPnetDataset, collate: Callable, batches: Iterable[list[str]]) -> None:
    for batch in batches:
        collate([dataset[utterance] for utterance in batch])


def processor_time(function: Callable[[], None]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def memory_table(pieces: Pieces, speech: float, args: argparse.Namespace) -> str:
    """Of one GPU, by what takes it."""
    parts = {
        "parameters, gradients, AdamW's moments": STATE_BYTES * pieces.parameters,
        "kept during a step whatever the batch (weights in bfloat16)": pieces.weight_copies,
        "buckets of the all-reduce (none with gradient_as_bucket_view)": GRADIENT_BYTES * pieces.parameters,
        f"activations of {speech:,.0f} s of speech": pieces.activations * speech,
    }
    parts["together"] = sum(parts.values())
    rows = [[part, format_size(size)] for part, size in parts.items()]
    return f"memory of each of {args.gpus} GPUs\n{format_pretty_table(rows, ['what', 'bytes'])}"


def step_table(pieces: Pieces, loadings: dict[str, Loading], speech: float, args: argparse.Namespace) -> str:
    """For every link between the GPUs, with gradients sent in 32 and in 16 bits."""
    arithmetic = speech * pieces.flops / (args.tflops * 1e12 * args.utilisation)
    starting = pieces.operators * args.launch_us * 1e-6
    compute = max(arithmetic, starting)
    optimizer = OPTIMIZER_BYTES * pieces.parameters / (args.memory_gbs * 1e9)
    steps = args.hours * 3600 / (speech * args.gpus)
    rows = []
    for link, bandwidth in LINKS.items():
        for bits in (32, 16):
            sent = 2 * (args.gpus - 1) / args.gpus * bits / 8 * pieces.parameters
            exposed = max(0.0, sent / bandwidth - 2 / 3 * compute)
            step = compute + exposed + optimizer
            rows.append([
                f"{link}, {bits} bits",
                format_size(sent),
                f"{1000 * sent / bandwidth:.0f} ms",
                f"{1000 * exposed:.0f} ms",
                f"{1000 * step:.0f} ms",
                format_timespan(steps * step, max_units=2),
                *(f"{speech * loading.processor / step:.1f}" for loading in loadings.values()),
                *(f"{format_size(args.gpus * speech * loading.size / step)}/s" for loading in loadings.values()),
            ])  # fmt: skip
    columns = ["link, gradients", "sent a step", "all-reduce", "not hidden", "step", "epoch",
               *(f"workers a GPU, {name}" for name in loadings), *(f"read, {name}" for name in loadings)]  # fmt: skip
    title = (f"{args.hours:,.0f} h on {args.gpus} GPUs, {speech:,.0f} s of speech each: {steps:,.0f} steps an epoch; "
             f"arithmetic {1000 * arithmetic:.0f} ms, starting operators {1000 * starting:.0f} ms, "
             f"optimiser {1000 * optimizer:.0f} ms a step")  # fmt: skip
    return f"{title}\n{format_pretty_table(rows, columns)}"


def measured_table(pieces: Pieces, loadings: dict[str, Loading]) -> str:
    rows = [
        ["parameters", f"{pieces.parameters:,}"],
        ["of experts", f"{pieces.expert_parameters:,} ({pieces.expert_parameters / pieces.parameters:.0%})"],
        ["gradient, float32", format_size(GRADIENT_BYTES * pieces.parameters)],
        ["training step, for a second of speech", f"{pieces.flops / 1e9:.2f} GFLOP"],
        ["activations, for a second of speech", format_size(pieces.activations)],
        ["kept beside them, whatever the batch", format_size(pieces.weight_copies)],
        ["operators of a step", f"{pieces.operators:,}"],
    ]
    for name, cost in loadings.items():
        rows.append([f"reading {name}, for a second of speech",
                     f"{1e6 * cost.processor:.0f} µs of a core, {format_size(cost.size)}"])  # fmt: skip
    return f"measured\n{format_pretty_table(rows, ['what', 'figure'])}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="training configuration")
    parser.add_argument("--data_dir", type=Path, required=True, help="whose utterances are read, e.g. dump/raw/train")
    parser.add_argument("--languages", type=int, default=8, help="(default: 8)")
    parser.add_argument("--vocab", type=int, default=5000, help="tokens (default: 5000)")
    parser.add_argument("--hours", type=float, default=10_000, help="of training speech (default: 10000)")
    parser.add_argument("--gpus", type=int, default=8, help="(default: 8)")
    parser.add_argument("--seconds", type=float, nargs="+",
                        help="of speech on each GPU in a step (default: the configuration's batch_bins, shared)")
    parser.add_argument("--tflops", type=float, default=312, help="a GPU's, in bfloat16 (default: 312, an A100's)")
    parser.add_argument("--utilisation", type=float, default=0.3, help="share of them that is reached (default: 0.3)")
    parser.add_argument("--launch_us", type=float, default=10, help="microseconds to start an operator (default: 10)")
    parser.add_argument("--memory_gbs", type=float, default=2000, help="GB/s of a GPU's memory (default: 2000)")
    args = parser.parse_args(argv)

    options, model = build_model(args.config, args.languages, args.vocab)
    pieces = measure(model, args.languages, args.vocab)
    loadings = {name: loading(args.data_dir, name, options.token_list) for name in ("wav", "flac")}
    print(f"{args.config.name}, {args.languages} languages, {args.vocab} tokens; {machine('cpu')}")
    print(f"\n{measured_table(pieces, loadings)}")
    for speech in args.seconds or [options.batch_bins / RATE / args.gpus]:
        print(f"\n{memory_table(pieces, speech, args)}\n\n{step_table(pieces, loadings, speech, args)}")


if __name__ == "__main__":
    main()
