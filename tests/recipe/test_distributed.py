"""Training on several machines and processes gives what one process gives; here on the CPU, with gloo."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from recipe_run import RecipeRun, run_recipe

# Without what draws at random in every process, and without batch normalisation, whose statistics are each process's
# own: so a batch in two halves gives the gradient of the whole.
CONFIG = {
    "encoder": "blr_moe",
    "encoder_conf": {
        "output_size": 32,
        "attention_heads": 2,
        "linear_units": 48,
        "num_shared_blocks": 1,
        "num_moe_blocks": 2,
        "input_layer": "dwconv2d",
        "router": "tdnn",
        "router_conf": {"channels": 16, "layers": 2, "dropout_rate": 0.0},
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
    },
    "model": "blr_moe",
    "model_conf": {"ctc_weight": 1.0},
    "preprocessor": "blr_moe",
    "frontend_conf": {"n_fft": 512, "win_length": 400, "hop_length": 160, "center": False},
    "normalize": "utterance_mvn",
    "batch_type": "unsorted",
    "batch_size": 4,
    "max_epoch": 3,
    "optim": "sgd",
    "optim_conf": {"lr": 0.01},
    "grad_clip": 5.0,
    "best_model_criterion": [["valid", "cer_ctc", "min"]],
    "keep_nbest_models": 1,
    "num_workers": 0,
    "use_tensorboard": False,
    "num_att_plot": 0,
}
HOSTS = ("blrmoe-a", "blrmoe-b")


def can_make_network_namespaces() -> bool:
    made = subprocess.run(["ip", "netns", "add", "blrmoe-try"], capture_output=True) if shutil.which("ip") else None
    if made is None or made.returncode:
        return False
    subprocess.run(["ip", "netns", "delete", "blrmoe-try"], check=True)
    return True


needs_namespaces = pytest.mark.skipif(
    not can_make_network_namespaces(), reason="this machine does not permit network namespaces (ip netns add)"
)


@pytest.fixture(scope="module")
def hosts():
    """Two hosts that reach each other over a network of their own and nothing else."""
    addresses = ("10.213.77.1", "10.213.77.2")
    commands = [f"ip netns add {host}" for host in HOSTS]
    commands += [f"ip link add wire netns {HOSTS[0]} type veth peer name wire netns {HOSTS[1]}"]
    for host, address in zip(HOSTS, addresses):
        commands += [f"ip -n {host} address add {address}/24 dev wire", f"ip -n {host} link set wire up"]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield HOSTS
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An `ssh HOST COMMAND...` whose hosts are network namespaces."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/bash\nhost=$1\nshift\nexec ip netns exec "${host}" env GLOO_SOCKET_IFNAME=wire bash -c "$*"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def prepared(tiny_demo, tmp_path_factory) -> Path:
    """Folder with data and statistics, and the configuration."""
    folder = tmp_path_factory.mktemp("distributed")
    for name in ("data", "dump"):
        (folder / name).symlink_to(tiny_demo.folder / name)
    (folder / "exp").mkdir()
    (folder / "exp/asr_stats_raw_char").symlink_to(tiny_demo.folder / "exp/asr_stats_raw_char")
    (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def train(folder: Path, tag: str, *options: str) -> RecipeRun:
    places = ["--stage", "11", "--stop_stage", "11", "--asr_config", str(folder / "train.yaml"), "--asr_tag", tag]
    return run_recipe(folder, *places, *options, OMP_NUM_THREADS="1")


def losses(run: RecipeRun, tag: str) -> list[dict[str, float]]:
    """Of every epoch: the mean loss of training and validation."""
    checkpoint = torch.load(run.folder / "exp" / f"asr_{tag}" / "checkpoint.pth", weights_only=False)
    return [
        {part: epoch[part]["loss"] for part in ("train", "valid")} for epoch in checkpoint["reporter"]["stats"].values()
    ]


def weights(run: RecipeRun, tag: str) -> dict[str, torch.Tensor]:
    return torch.load(run.folder / "exp" / f"asr_{tag}" / f"{CONFIG['max_epoch']}epoch.pth", weights_only=True)


@pytest.fixture(scope="module")
def one_process(prepared) -> RecipeRun:
    """One process, started by torchrun."""
    run = train(prepared, "one", "--torchrun", "--standalone")
    assert run.exit_code == 0, run.output
    return run


def assert_like_one_process(run: RecipeRun, tag: str, one_process: RecipeRun) -> None:
    """The same loss curve, and the same weights, but for rounding; the training has moved both by far more."""
    curve, expected = losses(run, tag), losses(one_process, "one")
    assert len(curve) == CONFIG["max_epoch"]
    for epoch, expected_epoch in zip(curve, expected):
        assert epoch == pytest.approx(expected_epoch, rel=1e-5)
    assert expected[-1]["train"] < 0.9 * expected[0]["train"]
    torch.testing.assert_close(weights(run, tag), weights(one_process, "one"), rtol=1e-4, atol=1e-5)


def test_a_process_of_torchrun_learns(one_process):
    curve = [epoch["train"] for epoch in losses(one_process, "one")]
    assert len(curve) == CONFIG["max_epoch"] and curve == sorted(set(curve), reverse=True)
    assert "epoch   3: train loss" in one_process.output


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_without_a_gpu_every_core_has_a_process(prepared, one_process):
    run = train(prepared, "cores")
    assert run.exit_code == 0, run.output
    log = (run.folder / "exp/asr_cores/train.log").read_text(encoding="utf-8")
    assert f":0/{min(8, len(os.sched_getaffinity(0)))}] " in log  # of the first process
    assert_like_one_process(run, "cores", one_process)


@needs_namespaces
def test_hosts_reach_each_other_alone(hosts):
    reach = ["ip", "netns", "exec", hosts[0], "ip", "route"]
    assert subprocess.run(reach, capture_output=True, text=True).stdout.split()[:3] == ["10.213.77.0/24", "dev", "wire"]


@needs_namespaces
def test_two_hosts_by_ssh_train_like_one_process(prepared, one_process, hosts, ssh):
    run = train(prepared, "hosts", "--host", ",".join(hosts))
    assert run.exit_code == 0, run.output
    assert "epoch   3: train loss" in run.output
    assert_like_one_process(run, "hosts", one_process)
