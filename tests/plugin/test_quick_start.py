"""Importing the package and asking for help are quick and quiet."""

import subprocess
import sys

import pytest

import espnet_blrmoe
from espnet_blrmoe.bin.main import COMMANDS

TRAININGS = {"add_language", "router_train"}  # their options are ESPnet's
PROGRAMS = {module for module, _ in COMMANDS.values()} - TRAININGS
HEAVY = ("torch", "espnet2.tasks", "scipy", "torchaudio")


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def loaded_by(script: str, *packages: str) -> str:
    """Which of the packages, by default the heavy ones, a script has loaded at its end."""
    asked = set(packages or HEAVY)
    return run("-c", f"import sys\n{script}\nprint(*sys.modules.keys() & {asked})").stdout.splitlines()[-1]


def test_the_import_loads_neither_pytorch_nor_espnet():
    assert loaded_by("import espnet_blrmoe; dir(espnet_blrmoe)") == ""


def test_names_of_audio_are_read_without_what_reads_audio():
    assert loaded_by("import espnet_blrmoe.recordings.names", "numpy", "soundfile") == ""


def test_public_names_load_at_first_use():
    assert set(espnet_blrmoe.__all__) <= set(dir(espnet_blrmoe))
    for name in espnet_blrmoe.__all__:
        assert getattr(espnet_blrmoe, name).__module__.startswith(("espnet_blrmoe.", "espnet2."))
    assert not hasattr(espnet_blrmoe, "anything_else")


def test_help_loads_neither_pytorch_nor_espnet():
    asking = "try: main(['--help'])\nexcept SystemExit: pass"
    for program in PROGRAMS:
        assert loaded_by(f"from espnet_blrmoe.bin.{program} import main\n{asking}") == "", program
    assert loaded_by(f"from espnet_blrmoe.bin.main import main\n{asking}") == ""


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("transcribe", ["talk.wav", "--model=nowhere"]),
        ("transcribe", ["talk.wav", "--asr_train_config=nowhere", "--asr_model_file=model.pth"]),
        ("stream", ["talk.wav", "--model=nowhere"]),
        ("summary", ["nowhere"]),
        ("router_eval", ["--model=nowhere", "--data_dir=data"]),
        ("prune_experts", ["--model=nowhere", "--languages=en", "--output_dir=new"]),
        ("prune_experts", ["--model=asr", "--languages=en", "--output_dir=asr"]),
        ("from_dense", ["--model=nowhere", "--languages=en", "--output_dir=new"]),
        ("from_dense", ["--model=asr", "--languages=en", "--output_dir=asr/model.pth/new"]),
        ("export_onnx", ["--model=nowhere", "--output_dir=new"]),
        ("export_onnx", ["--model=asr", "--output_dir=/proc/new"]),
        ("calibrate", ["--model=nowhere", "--data_dir=data"]),
        ("calibrate", ["--model=asr", "--data_dir=data", "--output=asr"]),
        ("add_language", ["--model=nowhere", "--language=fr", "--output_dir=new"]),
        ("router_train", ["--model=nowhere", "--output_dir=new"]),
        ("router_train", ["--asr_train_config=nowhere", "--asr_model_file=asr/model.pth", "--output_dir=new"]),
    ],
)
def test_a_wrong_model_or_folder_is_told_before_pytorch_is_loaded(program, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asr").mkdir()
    for name in ("config.yaml", "model.pth"):
        (tmp_path / "asr" / name).touch()
    told = f"from espnet_blrmoe.bin.{program} import main\ntry: main({options})\nexcept SystemExit as end: print(end)"
    sentence, loaded = run("-c", f"{told}\nimport sys\nprint(*sys.modules.keys() & {set(HEAVY)})").stdout.splitlines()
    assert sentence.startswith(f"{program}: ") and loaded == ""


def test_the_import_of_espnet_is_quiet():
    done = run("-c", "import espnet_blrmoe, espnet2.tasks.asr, sys; print('nltk' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_other_messages_are_not_hidden():
    script = """
import logging, warnings
import espnet_blrmoe
logging.warning("Set decoder to none as ctc_weight==1.0")
logging.warning("something else")
warnings.warn("`torch.cuda.amp.autocast(args...)` is deprecated", FutureWarning)
"""
    first, second = run("-c", script).stderr.splitlines()[:2]  # Python 3.13 shows the line of source, too
    assert first == "WARNING:root:something else"
    assert second.endswith("FutureWarning: `torch.cuda.amp.autocast(args...)` is deprecated")


def test_a_module_that_waits_for_its_use_is_the_real_one(tmp_path):
    (tmp_path / "g2p_en").mkdir()
    (tmp_path / "g2p_en" / "__init__.py").write_text("from g2p_en.phonemes import G2p\nprint('loaded')\n")
    (tmp_path / "g2p_en" / "phonemes.py").write_text("class G2p: pass\n")
    script = f"""
import inspect, sys
sys.path.insert(0, {str(tmp_path)!r})
import espnet_blrmoe, g2p_en
inspect.stack()
print(hasattr(g2p_en, '__wrapped__'), g2p_en.__file__)
print(g2p_en.G2p, g2p_en.G2p, hasattr(g2p_en, 'H2p'))
"""
    assert run("-c", script).stdout.splitlines() == [
        f"False {tmp_path}/g2p_en/__init__.py",
        "loaded",
        "<class 'g2p_en.phonemes.G2p'> <class 'g2p_en.phonemes.G2p'> False",
    ]
