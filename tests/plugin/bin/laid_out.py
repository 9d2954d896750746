"""A recipe's folder as the commands of docstrings and documents name it, with tiny models and data in it."""

import shutil
import zipfile
from pathlib import Path

import soundfile
import yaml
from arpa_files import write_arpa
from dense import write_dense_model
from streaming_model import write_streaming_model
from tiny import CONFIG, RATE, speech_of, write_data_dir, write_model

ROOT = Path(__file__).resolve().parents[3]
RECIPE = Path("egs2/blr_moe_masr/asr1")
LANGUAGES = ["de", "en", "es", "pt"]
DATA = {  # by folder
    "dump/raw/train": ["en", "de", "es"] * 2,
    "dump/raw/valid": ["en", "de", "es"],
    "dump/raw/test_in": LANGUAGES,
    "dump/raw/test_out": LANGUAGES,
    "dump/raw/test_mixed": ["en"],
    "dump/raw/router_train": LANGUAGES * 2,
    "dump/raw/router_valid": LANGUAGES,
    "dump/raw/train_fr": ["fr"] * 3,
    "dump/raw/valid_fr": ["fr"] * 2,
    "dump_pt/raw/train": ["pt"] * 3,
    "dump_pt/raw/valid": ["pt"] * 2,
}
WAVES = ("talk.mp3", "interview.wav", "downloads/espeak/es/mike2/es-mike2-test_in-00000.wav", *(
    f"downloads/espeak/{language}/train/{language}-{part}-1.wav"
    for language in LANGUAGES for part in ("valid", "test_in")
))  # fmt: skip


def lay_out(root: Path) -> None:
    """Make a clone's folders below `root`: links to what git tracks, and tiny versions of what training makes."""
    folder = root / RECIPE
    folder.mkdir(parents=True)
    for name in ("benchmarks", "conf", "local"):
        (root / name).symlink_to((ROOT / name).resolve())
    for name in ("conf", "local"):
        (folder / name).symlink_to((ROOT / name).resolve())
    for place, languages in DATA.items():
        write_data(folder / place, languages)
    timeline = 'utt0 [[0.0, 0.2, "en", "ab"], [0.3, 0.5, "de", "b"]]\n'
    (folder / "dump/raw/test_mixed/timeline").write_text(timeline, encoding="utf-8")
    tokens = folder / "data/token_list/char/tokens.txt"
    tokens.parent.mkdir(parents=True)
    tokens.write_text("\n".join(CONFIG["token_list"]) + "\n", encoding="utf-8")
    for part in ("train", "valid"):
        write_shapes(folder / "dump/raw" / part, folder / "exp/asr_stats" / part)
    write_models(folder)
    for language in LANGUAGES:
        write_arpa(folder / f"exp/ngram_3/{language}.arpa", {"a": -0.5, "b": -0.7, "c": -1, "</s>": -0.5})
    for n, wave in enumerate(WAVES):
        (folder / wave).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / wave, speech_of(1.0, seed=n), RATE)


def write_data(folder: Path, languages: list[str]) -> None:
    """A data folder with all tables that the programs read."""
    write_data_dir(folder, languages)
    (folder / "text").write_text("".join(f"utt{n} a{'bc'[n % 2]} b\n" for n in range(len(languages))), encoding="utf-8")
    utterances = {language: [f"utt{n}" for n, own in enumerate(languages) if own == language] for language in languages}
    lines = (f"{language} {' '.join(own)}\n" for language, own in sorted(utterances.items()))
    (folder / "category2utt").write_text("".join(lines), encoding="utf-8")


def write_shapes(data: Path, folder: Path) -> None:
    """What collect_shapes writes."""
    folder.mkdir(parents=True)
    shutil.copy(data / "utt2num_samples", folder / "speech_shape")
    utterances = [line.split()[0] for line in (data / "text").read_text(encoding="utf-8").splitlines()]
    (folder / "text_shape").write_text("".join(f"{utterance} 4,7\n" for utterance in utterances), encoding="utf-8")


def write_models(folder: Path) -> None:
    """exp/asr, exp/router, the same under the names that the recipe gives them, exp/dense, exp/streaming, model.zip."""
    write_dense_model(folder / "exp/dense")
    write_streaming_model(folder / "exp/streaming", languages=LANGUAGES)
    model = write_model(folder / "exp/asr", encoder_conf={**CONFIG["encoder_conf"], "languages": LANGUAGES})
    for name in ("router", "asr_train_asr_raw_char", "router_train_asr_raw_char"):
        shutil.copytree(folder / "exp/asr", folder / "exp" / name)
    meta = {"yaml_files": {"asr_train_config": "config.yaml"}, "files": {"asr_model_file": "model.pth"}}
    with zipfile.ZipFile(folder / "model.zip", "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        archive.write(model.config, "config.yaml")
        archive.write(model.weights, "model.pth")
