"""Tiny dense models in folders like those of ESPnet's trainings, and their conversion."""

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import RATE, speech_of, write_training_config

from espnet_blrmoe.bin import from_dense
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.prior import LanguageChoice, LanguagePrior

ENCODER = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 3}
DECODER = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
HYBRID = {"decoder": "transformer", "decoder_conf": DECODER, "model_conf": {"ctc_weight": 0.3}}
LATEST = {"rel_pos_type": "latest"}
ABSOLUTE = {"pos_enc_layer_type": "abs_pos"}
BRANCHES = {"cgmlp_linear_units": 12, "cgmlp_conv_kernel": 5, "use_ffn": True}  # of an E-Branchformer
DENSE = {"encoder": "transformer", "model": "espnet", "preprocessor": "default"}  # where it differs from tiny.CONFIG
SPEECH = torch.from_numpy(np.stack([speech_of(1.0, seed) for seed in range(2)]))
LENGTHS = torch.tensor([RATE, RATE])


def write_dense_model(folder: Path, encoder_conf: dict | None = None, **changes) -> Path:
    """A folder with config.yaml and valid.loss.ave.pth; `changes` replace options of a CTC model with a Transformer."""
    options = {**DENSE, "encoder_conf": {**ENCODER, **(encoder_conf or {})}, **changes}
    config = write_training_config(folder, **options)
    torch.manual_seed(1)
    model = ASRTask.build_model(argparse.Namespace(**yaml.safe_load(config.read_text(encoding="utf-8"))))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):  # as if trained
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    torch.save(model.state_dict(), folder / "valid.loss.ave.pth")
    return folder


def convert(
    dense: Path,
    output: Path,
    *options: str,
    languages: str = "de,en,es",
    model: str = "--model",
    small: tuple[str, ...] = ("--encoder_conf", "router_conf.channels=8"),
) -> Path:
    """Run the program; with a small router by default."""
    from_dense.main([model, str(dense), "--languages", languages, "--output_dir", str(output), *small, *options])
    return output


def load_dense(folder: Path) -> torch.nn.Module:
    """As ESPnet loads it."""
    return ASRTask.build_model_from_file(folder / "config.yaml", folder / "valid.loss.ave.pth")[0].eval()


def load(folder: Path) -> BLRMoEModel:
    return load_asr_model(ModelFiles.in_folder(folder)).eval()


def change_config(folder: Path, **changes) -> None:
    """Options of the folder's config.yaml; those that are None are removed."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    config = {name: value for name, value in {**config, **changes}.items() if value is not None or name not in changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def write_statistics(path: Path, normalize: str = "global_mvn") -> dict:
    """Statistics of features; returns the options that name them."""
    mean, variance = np.random.default_rng(0).uniform(1, 3, (2, 20))
    np.savez(path, count=10, sum=10 * mean, sum_square=10 * (mean**2 + variance))
    return {"normalize": normalize, "normalize_conf": {"stats_file": str(path)}}


def random_routing(time: int, languages: int, seed: int) -> LanguageChoice:
    """Each frame of a batch like SPEECH in one random language."""
    generator = torch.Generator().manual_seed(seed)
    expert = torch.randint(languages, (len(SPEECH), time, 1), generator=generator)
    shut = torch.full((len(SPEECH), time, languages), -torch.inf)
    return LanguageChoice(LanguagePrior(shut.scatter(2, expert, 0.0)))


@torch.no_grad()
def expect_equal_outputs(dense_folder: Path, folder: Path) -> None:
    """The written model gives what ESPnet gives for the dense one, whatever the routing."""
    dense, model = load_dense(dense_folder), load(folder)
    expected, lengths = dense.encode(SPEECH, LENGTHS)
    for seed in range(3):
        choice = random_routing(RATE, len(model.languages), seed)
        output, output_lengths, routing = model.encode_with_routing(SPEECH, LENGTHS, choice)
        assert len(routing.language.unique()) == min(len(model.languages), routing.language.numel())
        assert output_lengths.equal(lengths)
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.encode(SPEECH, LENGTHS)[0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.ctc.log_softmax(output), dense.ctc.log_softmax(expected), atol=1e-5, rtol=0)
