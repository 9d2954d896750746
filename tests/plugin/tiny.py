"""A tiny BLR-MoE model as ESPnet builds it, random batches and recordings for it, and a hostile checkpoint."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from scipy.signal import lfilter

from espnet_blrmoe import AbsRouter  # registers, too
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.languages import LABEL_PADDING, encode_label
from espnet_blrmoe.model.asr_model import BLRMoEModel

LANGUAGES = ("en", "de", "zh-CN")
RATE = 8000  # samples a second
HOP = 64  # samples between features

CONFIG = {
    "encoder": "blr_moe",
    "encoder_conf": {
        "languages": list(LANGUAGES),
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 24,
        "num_shared_blocks": 1,
        "num_moe_blocks": 2,
        "input_layer": "dwconv2d",
        "router": "tdnn",
        "router_conf": {"channels": 8, "layers": 2},
    },
    "model": "blr_moe",
    "model_conf": {"ctc_weight": 1.0},
    "preprocessor": "blr_moe",
    # center: false, so that no feature looks beyond an utterance's end.
    "frontend_conf": {"fs": RATE, "n_fft": 128, "hop_length": HOP, "n_mels": 20, "center": False},
    "normalize": None,
    "token_type": "char",
    "token_list": ["<blank>", "<unk>", "a", "b", "c", "<space>", "<sos/eos>"],
    "use_tensorboard": False,
    "use_matplotlib": False,
    "num_att_plot": 0,
    "num_workers": 0,
}

# Of a part of a trained model.
FINE_TUNING = {
    "max_epoch": 2,
    "batch_type": "unsorted",
    "batch_size": 2,
    "num_workers": 0,
    "optim": "adamw",
    "optim_conf": {"lr": 0.01},
    "best_model_criterion": [["valid", "loss", "min"]],
    "use_tensorboard": False,
    "use_matplotlib": False,
    "log_level": "WARNING",
}


def write_training_config(folder: Path, **changes) -> Path:
    """Let ESPnet write the config.yaml of a training into the folder; `changes` replace options of CONFIG."""
    folder.mkdir(parents=True, exist_ok=True)
    options = folder / "options.yaml"
    options.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    ASRTask.main(cmd=["--config", str(options), "--output_dir", str(folder), "--dry_run", "true"])
    return folder / "config.yaml"


def build_model(config: Path, seed: int = 0) -> BLRMoEModel:
    """The configuration's model with random weights, in training mode; its router spreads frames over all languages.

    Experts of low rank, which begin as the same, differ as after some training.
    """
    torch.manual_seed(seed)
    model = ASRTask.build_model(argparse.Namespace(**yaml.safe_load(config.read_text(encoding="utf-8"))))
    with torch.no_grad():
        model.encoder.router.output.weight.mul_(20.0)
        model.encoder.router.output.bias.zero_()
        for name, parameter in model.named_parameters():
            if name.endswith(".difference.up"):
                torch.nn.init.normal_(parameter)
    return model


def write_model(folder: Path, **changes) -> ModelFiles:
    """A model's folder, with random weights; `changes` replace options of CONFIG."""
    config = write_training_config(folder, **changes)
    files = ModelFiles.in_folder(folder)
    torch.save(build_model(config).state_dict(), files.weights)
    return files


def one_sentence(call, *arguments) -> str:
    """The message of the ValueError that the call raises: one line that a terminal can hold."""
    with pytest.raises(ValueError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


class NamelessRouter(AbsRouter):
    """Its last layer is not called `output`."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.layer = torch.nn.Linear(input_size, num_languages)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def sound_of(seconds: float, seed: int) -> np.ndarray:
    """(samples,) float32: noise whose loudness and colour change some times a second, so that frames differ much."""
    generator = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    pieces = np.arange(samples) // (RATE // 5)
    tone = np.sin(2 * np.pi * generator.uniform(100, 3000, pieces[-1] + 1)[pieces] * np.arange(samples) / RATE)
    loudness = generator.uniform(0.01, 0.3, pieces[-1] + 1)[pieces]
    return (loudness * (tone + 0.3 * generator.standard_normal(samples))).astype(np.float32)


def speech_of(seconds: float, seed: int) -> np.ndarray:
    """(samples,) float32: five vowels a second of changing colour, loudness and pitch; Speech2Text hears a voice."""
    generator = np.random.default_rng(seed)
    samples, length = round(seconds * RATE), RATE // 5
    vowels = [vowel(length, generator) for _ in range(-(-samples // length))]
    return np.concatenate(vowels)[:samples].astype(np.float32)


def vowel(samples: int, generator: np.random.Generator) -> np.ndarray:
    """(samples,): pulses and some noise through three resonances, as in throat and mouth."""
    pitch = generator.uniform(90, 220) * np.linspace(1, generator.uniform(0.8, 1.2), samples)
    sound = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0) + 0.02 * generator.standard_normal(samples)
    for frequency, width in ((generator.uniform(300, 800), 80), (generator.uniform(900, 2200), 120), (2700, 160)):
        radius = np.exp(-np.pi * width / RATE)
        sound = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2], sound)
    loudness = generator.uniform(0.03, 0.3) * np.sqrt(np.hanning(samples))
    return loudness * sound / np.abs(sound).max()


def batch_of(languages: list[str], seed: int = 0) -> dict:
    """A collated batch, one utterance for each of the languages, of different lengths."""
    speeches = [torch.from_numpy(sound_of(0.5 + 0.2 * n, seed + n)) for n in range(len(languages))]
    labels = [torch.from_numpy(encode_label(language)) for language in languages]
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return {
        "speech": pad_sequence(speeches, batch_first=True),
        "speech_lengths": torch.tensor([len(speech) for speech in speeches]),
        "text": torch.tensor([[2, 3, 4]] * len(languages)),
        "text_lengths": torch.tensor([3] * len(languages)),
        "lid": pad_sequence(labels, batch_first=True, padding_value=LABEL_PADDING),
        "utt_id": [f"utt{n}" for n in range(len(languages))],
    }


def write_data_dir(folder: Path, languages: list[str], seed: int = 0) -> Path:
    """wav.scp, utt2lang and utt2num_samples of generated recordings; no transcripts."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"wav.scp": [], "utt2lang": [], "utt2num_samples": []}
    for n, language in enumerate(languages):
        speech = speech_of(0.5 + 0.1 * n, seed + n)
        soundfile.write(folder / f"utt{n}.wav", speech, RATE, subtype="FLOAT")
        for table, value in zip(tables.values(), (folder / f"utt{n}.wav", language, len(speech))):
            table.append(f"utt{n} {value}\n")
    for name, lines in tables.items():
        (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


def fine_tuning_options(model: ModelFiles, data: Path, output: Path, inputs: tuple[str, ...], **changes) -> list[str]:
    """Command line of a training of a part of the model; a configuration holds what does not depend on the arguments.

    `inputs` are files of the data folder with their names and types, as in "wav.scp,speech,sound".
    """
    options = {**model.as_options(), "output_dir": output, **changes}
    config = output.parent / "fine_tuning.yaml"
    config.write_text(yaml.safe_dump(FINE_TUNING), encoding="utf-8")
    arguments = [f"--config={config}", *(f"--{name}={value}" for name, value in options.items() if value is not None)]
    for part in ("train", "valid"):
        arguments += [f"--{part}_data_path_and_name_and_type={data / given}" for given in inputs]
        arguments += [f"--{part}_shape_file={data / 'utt2num_samples'}"]
    return arguments
