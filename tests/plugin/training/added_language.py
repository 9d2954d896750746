"""A language added to the tiny model, by the program."""

from pathlib import Path

import yaml
from tiny import CONFIG, fine_tuning_options, speech_of, write_data_dir

from espnet_blrmoe.bin import add_language, prune_experts
from espnet_blrmoe.files.model_files import ModelFiles

SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0, 0.9))]
OLD_TOKENS = CONFIG["token_list"]
TEXTS = {"fr": ["ab ç", "çé", "a éb", "ç"], "it": ["ab è", "ç", "èc", "a"]}
INPUTS = "wav.scp,speech,sound", "text,text,text"


def write_texts(folder: Path, language: str) -> Path:
    """Recordings of a language with their transcripts."""
    write_data_dir(folder, [language] * len(TEXTS[language]), seed=10)
    lines = (f"utt{n} {text}\n" for n, text in enumerate(TEXTS[language]))
    (folder / "text").write_text("".join(lines), encoding="utf-8")
    return folder


def add(model: ModelFiles, data: Path, folder: Path, inputs: tuple[str, ...] = INPUTS, **changes) -> ModelFiles:
    """Run the program for two epochs."""
    add_language.main(fine_tuning_options(model, data, folder, inputs, **{"language": "fr", **changes}))
    return ModelFiles.in_folder(folder)


def prune(model: ModelFiles, languages: str, folder: Path) -> ModelFiles:
    options = {**model.as_options(), "output_dir": folder}
    prune_experts.main([*(f"--{name}={value}" for name, value in options.items()), f"--languages={languages}"])
    return ModelFiles.in_folder(folder)


def config_of(model: ModelFiles) -> dict:
    return yaml.safe_load(model.config.read_text(encoding="utf-8"))


def of_experts(name: str) -> bool:
    """Whether the checkpoint's tensor of this name is packed by language."""
    moe_blocks = [f"encoder.encoders.{n}." for n in (1, 2)]
    return name.startswith(tuple(moe_blocks)) and any(part in name for part in ("linear_v", "linear_out", "w_1", "w_2"))
