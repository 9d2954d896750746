"""Time and memory of the BLR-MoE encoder, side by side with ESPnet's dense encoders of the same active size.

    python benchmarks/speed.py                                                  # 2 CPU threads, float32
    python benchmarks/speed.py --device cuda --dtype bfloat16 --utterances 100  # about 1,000 s of speech
    python benchmarks/speed.py --tables encoder --brief --experts 8             # against ESPnet's encoders alone
    python benchmarks/speed.py --shorter 20 --utterances 2 --rounds 1           # does it run?

Every figure of a table is measured in one run: the contestants take turns, round after round, and a ratio is the
median over the rounds of (contestant / dense) within a round, with its quartiles; so a machine that slows down for a
while slows all of them. With --threads 1 seconds are of processor time, for machines that are shared. There are two
dense encoders: ESPnet's as it is configured by default, and, where ESPnet has the option (202611), the same with
`use_sdpa: true`, which computes attention in PyTorch's own kernel.

encoder    12 blocks (BLR-MoE: 6 shared, 6 with experts), d 256, 4 heads, ff 2048, on frames of 40 ms, without the
           front end. `even`: utterances of 9 to 10 s; `mixed`: 2 to 20 s. Every utterance has a random language and
           5 % of its frames are routed to random others. forward: evaluation mode, no gradients. forward+backward:
           training mode, ESPnet's dropout, LID loss included; no optimiser. activations: what the forward pass keeps
           for the backward pass, parameters excluded. peak: the most that is allocated at once during
           forward+backward, gradients included. gradients: what training in several processes sends in every step. The
           router is linear and reads the shared blocks, but for the row with a TDNN of 256 channels. `rank 16`: experts
           are differences of that rank from a shared weight. `grouped_mm` (bfloat16 on a GPU: `span by span`) is the
           other back end for the experts' products. The two slow ways put the same experts into ESPnet's own layers, as
           peers do; `all experts, dense` is a transformer's only, timed once, without warming up. In float32 the
           conformer's mixed batch needs more than 24 GB of memory. The E-Branchformer's cgMLP has 1,024 units and no
           experts; its convolutions read 31 frames.
front_end  the `input_layer` alone, on features of 10 ms, forward+backward.
decoding   waveform to text (CTC's best path) on one thread, one utterance at a time: real-time factor, and the size of
           the checkpoint. On the CPU only.
"""

import argparse
import copy
import io
import statistics
import time
from dataclasses import dataclass

import contestants
import torch
from espnet2.tasks.asr import ASRTask
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table
from measuring import Stopwatch, against, machine, milliseconds, peak, ratio, saved_bytes
from torch import nn

from espnet_blrmoe import LanguagePrior
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.experts import grouped_products, products_span_by_span
from espnet_blrmoe.model.prior import LanguageChoice
from espnet_blrmoe.model.subsampling import InputLayer

FRAMES_PER_SECOND = 25  # after fourfold subsampling
FEATURES = 80
BATCHES = {"even": (9, 10), "mixed": (2, 20)}  # seconds of the shortest and of the longest utterance
DENSE, SDPA = "dense (ESPnet)", "dense, SDPA (ESPnet)"
RANK = 16  # of the experts of low rank
SLOW = "all experts, dense"  # costs about E times a dense layer: timed in one round only


@dataclass(frozen=True)
class Batch:
    """Padded features.

    Attributes:
        x: (B, T, width).
        lengths: (B,).
    """

    x: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, args: argparse.Namespace, name: str, rate: int, width: int) -> "Batch":
        """Utterances of `rate` frames a second, evenly from the shortest to the longest of a batch of that name."""
        shortest, longest = (seconds * rate / args.shorter for seconds in BATCHES[name])
        lengths = torch.linspace(shortest, longest, args.utterances).long()
        x = torch.randn(args.utterances, int(lengths.max()), width, generator=torch.Generator().manual_seed(0))
        return cls(x.to(args.device), lengths.to(args.device))


def forward(model: nn.Module, batch: Batch, dtype: torch.dtype) -> torch.Tensor:
    with torch.autocast(batch.x.device.type, dtype, enabled=dtype != torch.float32):
        return model(batch.x, batch.lengths)[0]


def loss(model: nn.Module, batch: Batch, dtype: torch.dtype) -> torch.Tensor:
    """Of the output and, where there is one, of the router's choice."""
    if not isinstance(model, BLRMoEEncoder):
        return forward(model, batch, dtype).float().square().mean()
    with model.route() as routings:
        output = forward(model, batch, dtype)
    return output.float().square().mean() - routings[0].log_probs[..., 0].mean()


def evaluate(model: nn.Module, batch: Batch, dtype: torch.dtype) -> None:
    model.eval()
    with torch.no_grad():
        forward(model, batch, dtype)


def train(model: nn.Module, batch: Batch, dtype: torch.dtype) -> None:
    model.train()
    loss(model, batch, dtype).backward()
    model.zero_grad(set_to_none=True)


def activations(model: nn.Module, batch: Batch, dtype: torch.dtype) -> int:
    """Bytes that one forward pass in training saves for the backward pass, parameters excluded."""
    return saved_bytes(model, lambda: loss(model, batch, dtype))


def gradient_bytes(model: nn.Module) -> int:
    """Bytes of the gradients of a step."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def encoder_contestants(block_type: str, batch: Batch, args: argparse.Namespace) -> dict[str, nn.Module]:
    """By name: ESPnet's dense encoders, the baselines; BLR-MoE's, full and of low rank; unless --brief, other ways."""
    lengths = batch.lengths.tolist()
    plans = {e: contestants.plan_of(lengths, e, misrouted=0.05, seed=e).to(args.device) for e in args.experts}
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {DENSE: contestants.dense(block_type)}
    if contestants.HAS_SDPA:
        models[SDPA] = contestants.dense(block_type, use_sdpa=True)
    for e in args.experts:
        models[f"blr_moe, E = {e}"] = contestants.blr_moe(block_type, plans[e], e)
    most = max(args.experts)
    models[f"the same, rank {RANK}, E = {most}"] = contestants.blr_moe(block_type, plans[most], most, expert_rank=RANK)
    if not args.brief:
        middle = middle_of(args.experts)
        models[f"the same, TDNN router, E = {middle}"] = contestants.blr_moe(
            block_type, plans[middle], middle, "tdnn", channels=256
        )
        models |= other_ways(models[f"blr_moe, E = {middle}"], block_type, args)
    return {name: model.to(args.device) for name, model in models.items()}


def other_ways(encoder: BLRMoEEncoder, block_type: str, args: argparse.Namespace) -> dict[str, nn.Module]:
    """The same encoder with the back end that is not chosen by itself, and as peers do it."""
    name, products = "grouped_mm", grouped_products
    if args.device == "cuda" and args.dtype == "bfloat16":  # on an H100 it is chosen
        name, products = "span by span", products_span_by_span
    middle = middle_of(args.experts)
    models: dict[str, nn.Module] = {
        f"the same, {name}, E = {middle}": contestants.by_products(encoder, products),
        f"naive loop, E = {middle}": contestants.naive(encoder, block_type, contestants.LoopOverExperts),
    }
    if block_type == "transformer":
        models[SLOW] = contestants.naive(encoder, block_type, contestants.AllExpertsDense)
    return models


def middle_of(experts: list[int]) -> int:
    return experts[len(experts) // 2]


def encoder_table(block_type: str, batch_name: str, args: argparse.Namespace, stopwatch: Stopwatch) -> str:
    width = contestants.SIZE["output_size"]
    batch = Batch.of(args, batch_name, FRAMES_PER_SECOND, width)
    dtype = getattr(torch, args.dtype)
    models = encoder_contestants(block_type, batch, args)
    what = f"{block_type}, {batch_name}"
    forwards = stopwatch({n: lambda m=m: evaluate(m, batch, dtype) for n, m in models.items()}, f"{what}, forward")
    steps = stopwatch({n: lambda m=m: train(m, batch, dtype) for n, m in models.items()}, f"{what}, forward+backward")
    models.pop(SLOW, None)  # its memory would be several times the others'
    kept = {name: activations(model, batch, dtype) for name, model in models.items()}
    most = {name: peak(lambda m=model: train(m, batch, dtype), args.device) for name, model in models.items()}
    gradients = {name: gradient_bytes(model) for name, model in models.items()}
    baselines = [name for name in (DENSE, SDPA) if name in models]
    rows = [
        [
            name,
            *(cell for times in (forwards, steps) for cell in time_cells(times, name, baselines)),
            against(kept, name, DENSE),
            against(most, name, DENSE),
            against(gradients, name, DENSE),
        ]
        for name in forwards
    ]
    fewest, greatest = (f"blr_moe, E = {e}" for e in (args.experts[0], args.experts[-1]))
    if fewest != greatest:
        rows.append([
            f"growth from E = {args.experts[0]} to {args.experts[-1]}",
            *(cell for times in (forwards, steps) for cell in growth_cells(times, fewest, greatest, baselines)),
            f"{kept[greatest] / kept[fewest]:.2f}x",
            f"{most[greatest] / most[fewest]:.2f}x",
            f"{gradients[greatest] / gradients[fewest]:.2f}x",
        ])  # fmt: skip
    ratios = ["ratio to dense", "ratio to SDPA"][: len(baselines)]
    columns = ["encoder", "forward", *ratios, "forward+backward", *ratios, "activations", "peak", "gradients"]
    seconds = int(batch.lengths.sum()) / FRAMES_PER_SECOND
    title = f"{block_type}, {batch_name} batch: {args.utterances} utterances, {seconds:,.0f} s of speech, {args.dtype}"
    title += "" if contestants.HAS_SDPA else "; this ESPnet's encoders have no use_sdpa"
    return f"{title}\n{format_pretty_table(rows, columns)}"


def time_cells(times: dict[str, list[float]], name: str, baselines: list[str]) -> list[str]:
    """The contestant's time, and its ratio to each baseline's."""
    return [milliseconds(times[name]), *(ratio(times[name], times[baseline]) for baseline in baselines)]


def growth_cells(times: dict[str, list[float]], fewest: str, greatest: str, baselines: list[str]) -> list[str]:
    """The growth, in the first of the columns of ratios."""
    return ["", ratio(times[greatest], times[fewest]), *[""] * (len(baselines) - 1)]


def front_end_table(args: argparse.Namespace, stopwatch: Stopwatch) -> str:
    batch = Batch.of(args, "even", 100, FEATURES)
    names = ("conv2d", "dwconv2d", "conv2d8", "dwconv2d8")
    size = contestants.SIZE["output_size"]
    layers = {name: InputLayer(name, FEATURES, size, 0.1, -1).to(args.device) for name in names}
    dtype = getattr(torch, args.dtype)
    steps = stopwatch({n: lambda m=m: train(m, batch, dtype) for n, m in layers.items()}, "front ends")
    kept = {name: activations(layer, batch, dtype) for name, layer in layers.items()}
    rows = []
    for name in names:
        base = name.removeprefix("dw")  # ESPnet's of the same subsampling
        rows.append([name, milliseconds(steps[name]), ratio(steps[name], steps[base]), against(kept, name, base)])
    title = f"front ends, even batch of {args.utterances}, {args.dtype}; ratio to ESPnet's of the same subsampling"
    return f"{title}\n{format_pretty_table(rows, ['input_layer', 'forward+backward', 'ratio', 'activations'])}"


def recogniser(encoder: str, **encoder_conf) -> nn.Module:
    """A CTC model with random weights, as ESPnet builds it from a configuration."""
    args = ASRTask.get_parser().parse_args(["--output_dir", "unused", "--encoder", encoder])
    args.model = "blr_moe" if encoder == "blr_moe" else "espnet"
    args.encoder_conf = encoder_conf
    args.model_conf = {"ctc_weight": 1.0}
    args.normalize = "utterance_mvn"
    args.token_list = ["<blank>", "<unk>", *(chr(ord("a") + n) for n in range(26)), "<sos/eos>"]
    torch.manual_seed(0)
    return ASRTask.build_model(args).eval()


def transcribe(model: nn.Module, speech: torch.Tensor, prior: LanguagePrior | None) -> None:
    """The best path of one utterance (1, samples)."""
    lengths = torch.tensor([speech.size(1)])
    with torch.no_grad():
        if isinstance(model, BLRMoEModel):
            encoded = model.encode_with_routing(speech, lengths, LanguageChoice(prior))[0]
        else:
            encoded = model.encode(speech, lengths)[0]
        model.ctc.argmax(encoded)[0].unique_consecutive().tolist()


def checkpoint_size(model: nn.Module) -> int:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell()


def decoding_table(args: argparse.Namespace, stopwatch: Stopwatch) -> str:
    seconds, num_experts = 10 / args.shorter, middle_of(args.experts)
    size = {**contestants.SIZE, "input_layer": "conv2d"}
    blocks = {"num_shared_blocks": contestants.NUM_SHARED_BLOCKS, "num_moe_blocks": contestants.NUM_MOE_BLOCKS}
    languages = [f"l{n}" for n in range(num_experts)]
    router = {"router": "planned_tdnn", "router_conf": {"channels": 256}, "router_input": "shared"}
    dense = recogniser("transformer", num_blocks=sum(blocks.values()), **size)
    moe = recogniser("blr_moe", languages=languages, **router, **blocks, **size)
    moe.encoder.router.plan = contestants.plan_of([round(100 * seconds)], num_experts, misrouted=0.05, seed=0)
    pruned = copy.deepcopy(moe)
    pruned.encoder.keep_languages(["l0"])
    striding = recogniser("blr_moe", languages=["l0"], **router, **blocks, **size | {"input_layer": "dwconv2d"})
    runs = {
        "dense (ESPnet)": (dense, None),
        f"blr_moe, E = {num_experts}, TDNN router": (moe, None),
        "one language allowed": (moe, LanguagePrior.allow([["l0"]], languages)),
        "pruned to one language": (pruned, None),
        "the same with dwconv2d": (striding, None),
    }
    speech = 0.1 * torch.randn(1, round(seconds * 16000), generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = stopwatch({n: lambda m=m, p=p: transcribe(m, speech, p) for n, (m, p) in runs.items()}, "decoding")
    torch.set_num_threads(threads)
    baseline = next(iter(runs))
    rows = [
        [
            name,
            f"{statistics.median(times[name]) / seconds:.4f}",
            ratio(times[name], times[baseline]),
            format_size(checkpoint_size(model)),
        ]
        for name, (model, _) in runs.items()
    ]
    title = f"decoding a transformer's utterances of {seconds:g} s one at a time, one thread, float32"
    return f"{title}\n{format_pretty_table(rows, ['model', 'real-time factor', 'ratio', 'checkpoint'])}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = ("encoder", "front_end", "decoding")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables, help="(default: all)")
    block_types = list(contestants.BLOCK_CONFS)
    parser.add_argument("--block_type", nargs="+", choices=block_types, default=block_types,
                        help="of the encoder tables (default: all)")
    parser.add_argument("--batch", nargs="+", choices=BATCHES, default=list(BATCHES), help="(default: both)")
    parser.add_argument("--experts", nargs="+", type=int, default=[2, 8, 32],
                        help="numbers of experts; the slow contestants get the middle one (default: 2 8 32)")
    parser.add_argument("--utterances", type=int, default=16, help="utterances of a batch (default: 16)")
    parser.add_argument("--shorter", type=float, default=1, help="divides the utterances' lengths (default: 1)")
    parser.add_argument("--brief", action="store_true",
                        help="encoder tables without the TDNN router, the other back end and the slow ways")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5, about half an hour)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2); with 1, processor time")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="(default: float32)")
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    # One thread's processor time leaves out most of what else the machine does.
    is_alone = args.device == "cpu" and args.threads == 1
    stopwatch = Stopwatch(args.device, args.rounds, [SLOW], time.process_time if is_alone else time.perf_counter)
    print(f"{machine(args.device)}; medians of {args.rounds} interleaved rounds, ratios with quartiles [25 %, 75 %]")
    if "encoder" in args.tables:
        for block_type in args.block_type:
            for batch in args.batch:
                print(f"\n{encoder_table(block_type, batch, args, stopwatch)}", flush=True)
    if "front_end" in args.tables:
        print(f"\n{front_end_table(args, stopwatch)}", flush=True)
    if "decoding" in args.tables and args.device == "cpu":
        print(f"\n{decoding_table(args, stopwatch)}", flush=True)


if __name__ == "__main__":
    main()
