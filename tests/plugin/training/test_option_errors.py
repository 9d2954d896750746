"""What is wrong in the options of a training: one sentence that names the option, instead of ESPnet's traceback."""

import argparse
from pathlib import Path

import pytest
import yaml
from tiny import CONFIG, LANGUAGES, write_data_dir

from espnet_blrmoe.bin import router_train
from espnet_blrmoe.bin.asr_train import main
from espnet_blrmoe.training.option_errors import naming_options

ADAM, WARM = {"optim": "adam"}, {"scheduler": "warmuplr"}


def with_option(part: str, **options) -> dict:
    return {part: {**CONFIG.get(part, {}), **options}}


MISTAKES = {
    "encoder_conf": (with_option("encoder_conf", blocks=3), "encoder_conf: blocks: BLRMoEEncoder has no such option"),
    "model_conf": (with_option("model_conf", lid=1), "model_conf: lid: ESPnetASRModel has no such option"),
    "an option that is none": (with_option("model_conf", ctc=1), "model_conf: ctc comes from elsewhere; leave it out"),
    "frontend_conf": (with_option("frontend_conf", nfft=1), "frontend_conf: nfft: DefaultFrontend has no such option"),
    "two places": (
        with_option("frontend_conf", x=1) | with_option("specaug_conf", x=1) | {"specaug": "specaug"},
        "frontend_conf or specaug_conf: x: DefaultFrontend has no such option",
    ),
    "an encoder_conf that is none": ({"encoder_conf": [1]}, "options of BLRMoEEncoder must be a mapping"),
    "an encoder that is none": ({"encoder": "blr-moe"}, "--encoder must be one of .*: --encoder blr-moe$"),
    "a dense encoder that cannot be": (
        {"encoder": "transformer", "encoder_conf": {"output_size": 16, "attention_heads": 3}, "model": "espnet"},
        "no model can be made of these options: in __init__ of ESPnet, `assert n_feat % n_head == 0` fails",
    ),
    "no statistics": ({"normalize": "global_mvn", "normalize_conf": {}}, "GlobalMVN needs 'stats_file': add it"),
    "statistics that are gone": (
        {"normalize": "global_mvn", "normalize_conf": {"stats_file": "gone.npz"}}, "gone.npz cannot be read: No such",
    ),
    "tokens that are gone": ({"token_list": "gone.txt"}, "gone.txt cannot be read: No such file or directory"),
    "pieces that are gone": ({"token_type": "bpe", "bpemodel": "gone"}, "bpemodel gone is missing or not a sentence"),
    "optim": ({"optim": "adamm"}, "optim: must be one of .*: adamm"),
    "optim_conf": (ADAM | {"optim_conf": {"rate": 1.0}}, "optim_conf: rate: Adam has no such option"),
    "a number that YAML takes for text": (
        ADAM | {"optim_conf": {"lr": "1e-6"}}, "optim_conf: lr: 1e-6 is text to YAML, not a number; write 1.0e-06$",
    ),
    "a word in place of a number": (ADAM | {"optim_conf": {"lr": "fast"}}, "optim_conf: lr: fast is not a number$"),
    "no number": (ADAM | {"optim_conf": {"weight_decay": None}}, "optim_conf: weight_decay: None is not a number$"),
    "scheduler": ({"scheduler": "warmup"}, "scheduler must be one of .*, warmuplr, .*, not warmup"),
    "scheduler_conf": (WARM | {"scheduler_conf": {"steps": 9}}, "scheduler_conf: steps: .* has no such option"),
    "a word in place of steps": (
        WARM | {"scheduler_conf": {"warmup_steps": "few"}}, "scheduler_conf: warmup_steps: few is not a number$",
    ),
    "num_workers": ({"num_workers": -1}, "num_workers must be 0 or more processes, not -1$"),
    "a criterion that is none": ({"best_model_criterion": ["valid"]}, "best_model_criterion: valid is not a set, a"),
}  # fmt: skip
WITH_DATA = {
    "preprocessor": ({"preprocessor": "blr"}, "--preprocessor must be one of .*: --preprocessor blr$"),
    "preprocessor_conf": (
        with_option("preprocessor_conf", x=1), "preprocessor_conf: x: CommonPreprocessor has no such option",
    ),
    "token_type": ({"token_type": "chars"}, "token_mode must be one of bpe, word, char or phn: chars"),
    "batch_type": ({"batch_type": "numl"}, "Not supported: numl. Please specify batch_type in"),
    "lengths": ({"train_shape_file": ["gone"]}, "gone cannot be read: No such file or directory"),
    "weights to start with": ({"init_param": ["gone.pth"]}, "gone.pth: No such file or directory"),
}  # fmt: skip


def write_options(folder: Path, changes: dict) -> Path:
    """A training's configuration; returns its path."""
    (folder / "options.yaml").write_text(yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    return folder / "options.yaml"


def expect_a_sentence(message: str, *command: str) -> None:
    with pytest.raises(SystemExit, match=f"^asr_train: error: {message}") as ended:
        main(list(command))
    assert "\n" not in ended.value.code


@pytest.mark.parametrize("name", MISTAKES)
def test_before_a_model_is_made(name, tmp_path):
    changes, message = MISTAKES[name]
    config = write_options(tmp_path, changes)
    expect_a_sentence(message, f"--config={config}", f"--output_dir={tmp_path / 'asr'}", "--dry_run=true")
    assert not (tmp_path / "asr").exists()


def write_training(tmp_path: Path, changes: dict) -> Path:
    """A training's configuration with its data, in data/; returns its path."""
    data = write_data_dir(tmp_path / "data", list(LANGUAGES))
    (data / "text").write_text("".join(f"utt{n} ab\n" for n in range(len(LANGUAGES))), encoding="utf-8")
    tables = {"wav.scp": ("speech", "sound"), "text": ("text", "text"), "utt2lang": ("lid", "text")}
    options = {"batch_type": "unsorted", "num_workers": 0, "max_epoch": 1, "allow_variable_data_keys": True}
    for part in ("train", "valid"):
        options[f"{part}_data_path_and_name_and_type"] = [[str(data / name), *kind] for name, kind in tables.items()]
        options[f"{part}_shape_file"] = [str(data / "utt2num_samples")]
    return write_options(tmp_path, options | changes)


@pytest.mark.parametrize("name", WITH_DATA)
def test_before_an_update_is_made(name, tmp_path):
    changes, message = WITH_DATA[name]
    expect_a_sentence(message, f"--config={write_training(tmp_path, changes)}", f"--output_dir={tmp_path / 'asr'}")
    assert not list(tmp_path.glob("asr/*.pth"))


@pytest.mark.parametrize("table", ["wav.scp", "text", "utt2lang"])
def test_a_table_that_lacks_an_utterance(table, tmp_path):
    config, table = write_training(tmp_path, {}), tmp_path / "data" / table
    table.write_text("".join(table.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    message = f"{table} has no line for utterance utt0 of {tmp_path}/data/utt2num_samples; add it$"
    expect_a_sentence(message, f"--config={config}", f"--output_dir={tmp_path / 'asr'}")
    assert not (tmp_path / "asr").exists()


def test_shape_files_of_different_utterances(tmp_path):
    lengths, more = tmp_path / "data/utt2num_samples", tmp_path / "text_shape"
    config = write_training(tmp_path, {"train_shape_file": [str(lengths), str(more)], "batch_type": "numel"})
    more.write_text("".join(f"utt{n} 2\n" for n in range(len(LANGUAGES) + 1)), encoding="utf-8")
    message = f"{lengths} has no line for utterance utt3 of {more}; add it$"
    expect_a_sentence(message, f"--config={config}", f"--output_dir={tmp_path / 'asr'}")


def test_a_folder_that_cannot_be_written(tmp_path):
    config = write_options(tmp_path, {})
    (tmp_path / "asr").touch()
    expect_a_sentence(f"{tmp_path}/asr is a file", f"--config={config}", f"--output_dir={tmp_path / 'asr'}")


def test_errors_that_say_nothing_of_options_keep_their_traceback():
    with pytest.raises(TypeError, match="unsupported operand"), naming_options(argparse.Namespace()):
        _ = 1 + None  # a fault of a program


def test_trainings_of_a_part_of_a_model(tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", list(LANGUAGES))
    options = ["--optim=adam", "--optim_conf", "rate=1.0", "--num_workers=0", f"--output_dir={tmp_path / 'router'}"]
    for part in ("train", "valid"):
        for table in ("wav.scp,speech,sound", "utt2lang,lid,text"):
            options.append(f"--{part}_data_path_and_name_and_type={data / table}")
        options.append(f"--{part}_shape_file={data / 'utt2num_samples'}")
    with pytest.raises(SystemExit, match="^router_train: optim_conf: rate: Adam has no such option"):
        router_train.main(["--model", str(tiny_model.config.parent), *options])
