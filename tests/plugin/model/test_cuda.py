"""On a GPU: the same results as on the CPU, half precision, compiled, training, recognition. Skipped without one."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny import CONFIG, LANGUAGES, RATE, build_model, speech_of, write_data_dir, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_train
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.model import experts
from espnet_blrmoe.model.encoder import BLRMoEEncoder
from espnet_blrmoe.model.experts import ExpertLinear
from espnet_blrmoe.model.language_labels import LanguageLabels
from espnet_blrmoe.model.packing import Spans

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

BLOCK_TYPES = ("transformer", "conformer", "e_branchformer")
WIDTH = 80
LENGTHS = (400, 230, 310, 395)
NO_DROPOUT = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0}


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch):
    """Convolutions on a GPU round their inputs to TF32 otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def encoder_of(block_type: str, languages: int = 4, **options) -> BLRMoEEncoder:
    torch.manual_seed(0)
    encoder = BLRMoEEncoder(
        WIDTH,
        languages=[f"l{n}" for n in range(languages)],
        output_size=64,
        linear_units=128,
        num_shared_blocks=1,
        num_moe_blocks=2,
        attention_experts="qkvo",
        block_type=block_type,
        input_layer="dwconv2d",
        router_conf={"channels": 16, "layers": 2, "dropout_rate": 0.0},
        label_routing=1.0,
        **NO_DROPOUT,
        **options,
    )
    for name, parameter in encoder.named_parameters():
        if name.endswith(".difference.up"):  # as after some training
            torch.nn.init.normal_(parameter, std=0.1)
    return encoder.train()


def step(encoder: BLRMoEEncoder, device: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and all gradients of the blocks, flat, in float32 and on the CPU; each utterance has its own language."""
    encoder = encoder.to(device)
    generator = torch.Generator().manual_seed(1)
    x, lengths = torch.randn(len(LENGTHS), max(LENGTHS), WIDTH, generator=generator), torch.tensor(LENGTHS)
    labels = LanguageLabels.throughout(torch.tensor([0, 3, 1, 3], device=device))
    with torch.autocast(device, dtype, enabled=dtype != torch.float32), encoder.route(labels):
        output = encoder(x.to(device), lengths.to(device))[0]
    loss = (output.float() * torch.randn(output.shape, generator=generator).to(device)).sum()
    gradients = torch.autograd.grad(loss, list(encoder.encoders.parameters()))
    return output.detach().float().cpu(), torch.cat([gradient.flatten() for gradient in gradients]).float().cpu()


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


EXPERTS = [{"expert_rank": 8}, {"experts": {"shared": ["l1", "l3"]}}]


@pytest.mark.parametrize(
    ("block_type", "options"), [*((each, {}) for each in BLOCK_TYPES), *(("transformer", each) for each in EXPERTS)]
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 0.02), (torch.bfloat16, 0.1)], ids=str
)
def test_a_training_step_is_that_of_the_cpu_but_for_its_precision(block_type, options, dtype, tolerance):
    encoder = encoder_of(block_type, **options)
    expected = step(encoder, "cpu", torch.float32)
    for result, reference in zip(step(encoder, "cuda", dtype), expected):
        assert difference(result, reference) < tolerance


@pytest.mark.parametrize("counts", [(0, 3, 500), (300, 0, 0, 7, 1), (1, 900, 2, 0), (40, 0)], ids=str)
def test_products_are_those_of_float32_but_for_their_precision(counts):
    """By whichever back end is chosen for bfloat16; experts without frames get a gradient of zero."""
    torch.manual_seed(0)
    layer = ExpertLinear(64, 136, len(counts))
    x = torch.randn(sum(counts), 64, requires_grad=True)
    weights = torch.randn(sum(counts), 136)
    expected = layer(x, Spans.of(counts))
    expected = [expected, *torch.autograd.grad(expected, [x, *layer.parameters()], weights)]
    layer.cuda()
    poison = [torch.full((1 << n,), float("nan"), device="cuda") for n in range(24)]  # what memory may hold
    del poison
    with torch.autocast("cuda", torch.bfloat16):
        output = layer(x.cuda(), Spans.of(counts, "cuda"))
    results = [output, *torch.autograd.grad(output, [x, *layer.parameters()], weights.cuda().to(output.dtype))]
    for result, reference in zip(results, expected):
        assert difference(result.float().cpu(), reference) < 0.02
    for gradient in results[2:]:
        assert not any(own.any() for own, count in zip(gradient, counts) if count == 0)


def test_bfloat16_of_several_languages_takes_one_kernel(monkeypatch):
    if torch.cuda.get_device_capability()[0] not in (9, 10):
        pytest.skip("needs a GPU on which grouped_mm is one kernel")
    monkeypatch.setattr(experts, "products_span_by_span", None)  # would fail
    layer = ExpertLinear(64, 136, 3).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(torch.randn(9, 64, device="cuda"), Spans.of((4, 0, 5), "cuda")).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_compiled_encoder_gives_the_same_result(dtype):
    encoder = encoder_of("transformer")
    expected = step(encoder, "cuda", dtype)
    encoder.compile()
    for result, reference in zip(step(encoder, "cuda", dtype), expected):
        assert difference(result, reference) < (1e-4 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("use_amp", [False, True])
def test_a_training_and_recognition_with_its_model(tmp_path, use_amp):
    data = write_data_dir(tmp_path / "data", [LANGUAGES[n % len(LANGUAGES)] for n in range(8)])
    (data / "text").write_text("".join(f"utt{n} {'abc'[n % 3 :]}\n" for n in range(8)), encoding="utf-8")
    tables = [("wav.scp", "speech", "sound"), ("text", "text", "text"), ("utt2lang", "lid", "text")]
    options = {
        **CONFIG,
        "use_amp": use_amp,
        "allow_variable_data_keys": True,
        "max_epoch": 2,
        "batch_type": "unsorted",
        "batch_size": 4,
        "optim": "adamw",
        "best_model_criterion": [["valid", "loss", "min"]],
    }
    for part in ("train", "valid"):
        options[f"{part}_data_path_and_name_and_type"] = [[str(data / name), *kind] for name, *kind in tables]
        options[f"{part}_shape_file"] = [str(data / "utt2num_samples")]
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    asr = tmp_path / "asr"
    asr_train.main(["--config", str(tmp_path / "options.yaml"), "--output_dir", str(asr), "--ngpu", "1"])
    weights = read_weights(asr / "2epoch.pth")
    assert all(value.isfinite().all() for value in weights.values())
    recognise = {
        device: Speech2Text(asr / "config.yaml", asr / "2epoch.pth", beam_size=1, device=device)
        for device in ("cpu", "cuda")
    }
    for seed in range(3):
        assert_same_recognition(recognise, speech_of(1.0 + seed, seed))


def test_recognition_is_that_of_the_cpu(tmp_path):
    config = write_training_config(tmp_path / "asr")
    torch.save(build_model(config).state_dict(), tmp_path / "model.pth")
    for allowed in (None, ["en", "de"], ["zh-CN"]):
        recognise = {
            device: Speech2Text(config, Path(tmp_path / "model.pth"), beam_size=1, device=device, languages=allowed)
            for device in ("cpu", "cuda")
        }
        assert_same_recognition(recognise, speech_of(2.0, 0))


def assert_same_recognition(recognise: dict[str, Speech2Text], speech) -> None:
    result, expected = (recognise[device](speech, rate=RATE) for device in ("cuda", "cpu"))
    assert (result.text, result.language) == (expected.text, expected.language)
    assert result.language_probability == pytest.approx(expected.language_probability, abs=1e-3)
