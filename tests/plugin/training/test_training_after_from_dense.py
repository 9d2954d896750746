"""Trainings that start from a dense model with the configurations of the recipe: where they begin, and what learns."""

from pathlib import Path

import pytest
from dense import HYBRID, convert, write_dense_model
from tiny import write_data_dir

from espnet_blrmoe.bin.asr_train import main
from espnet_blrmoe.files.weights import read_weights

CONF = Path(__file__).resolve().parents[3] / "egs2/blr_moe_masr/asr1/conf"
SHORT = [
    "--max_epoch=1", "--batch_type=unsorted", "--batch_size=2", "--num_workers=0", "--log_level=WARNING",
    "--allow_variable_data_keys=true", "--scheduler_conf=warmup_steps=1", "--valid_batch_type=unsorted",
]  # fmt: skip
EXPERTS = {"self_attn.linear_v", "self_attn.linear_out", "feed_forward.w_1", "feed_forward.w_2"}


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Path:
    return write_dense_model(tmp_path_factory.mktemp("dense") / "dense", **HYBRID)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    """The options that name four utterances in two languages."""
    folder = write_data_dir(tmp_path_factory.mktemp("data"), ["en", "de"] * 2)
    (folder / "text").write_text("".join(f"utt{n} a{'bc'[n % 2]} b\n" for n in range(4)), encoding="utf-8")
    tables = "wav.scp,speech,sound", "text,text,text", "utt2lang,lid,text"
    options = [f"--{part}_data_path_and_name_and_type={folder / t}" for part in ("train", "valid") for t in tables]
    return [*options, *(f"--{part}_shape_file={folder / 'utt2num_samples'}" for part in ("train", "valid"))]


def own_part(name: str) -> str | None:
    """For a parameter of an expert: the layer in its block, and that it is a difference of low rank."""
    block, _, part = name.removeprefix("encoder.encoders.").partition(".")
    layer = ".".join(part.split(".")[:2])
    return None if block not in ("1", "2") or layer not in EXPERTS else part


@pytest.mark.parametrize("name", ["train_from_dense", "train_from_dense_experts", "train_from_dense_low_rank"])
def test_what_learns_after_from_dense(name, dense, data, tmp_path):
    small = ["--encoder_conf", "router_conf.channels=8"]
    if name.endswith("low_rank"):
        small += ["--encoder_conf", "expert_rank=2"]
    start = convert(dense, tmp_path / "start", f"--config={CONF / name}.yaml", *small, languages="de,en", small=())
    starting = [f"--config={start / 'config.yaml'}", f"--init_param={start / 'model.pth'}"]
    main([*starting, f"--output_dir={tmp_path / 'asr'}", *SHORT, *data])
    before, after = read_weights(start / "model.pth"), read_weights(tmp_path / "asr/1epoch.pth")
    moved = {name for name, value in before.items() if not after[name].equal(value)}
    parameters = set(before) - {"frontend.logmel.melmat", "encoder.language_codes"}
    if name == "train_from_dense":
        expected = parameters
    elif name == "train_from_dense_experts":
        expected = {name for name in parameters if own_part(name)}
    else:
        expected = {name for name in parameters if ".difference." in name}
    router = {name for name in parameters if name.startswith("encoder.router.")}
    assert moved - router == expected - router
    assert moved & router
    for name in moved & {name for name in parameters if own_part(name) and before[name].dim() == 3}:
        one, other = after[name] - before[name]
        assert not one.equal(other), "the experts of two languages have to grow apart"
