"""Configuration files that build on others: what they inherit, and what is wrong with some."""

from pathlib import Path

import pytest
import yaml
from tiny import CONFIG

from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.config_files import over, read_options
from espnet_blrmoe.training.language_task import LanguageTask
from espnet_blrmoe.training.router_task import RouterTask

OPTIONS = {"max_epoch", "optim", "optim_conf", "encoder", "encoder_conf", "best_model_criterion"}


def write(folder: Path, **files: dict | str) -> Path:
    """One YAML file for every keyword; returns the first one."""
    for name, content in files.items():
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


@pytest.mark.parametrize(
    ("base", "own", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"x_conf": {"a": 1, "b": {"c": 2}}}, {"x_conf": {"b": {"d": 3}}}, {"x_conf": {"a": 1, "b": {"c": 2, "d": 3}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        # The options of another class are not inherited, whether the new one has its own or not.
        ({"optim": "sgd", "optim_conf": {"lr": 1}}, {"optim": "adam"}, {"optim": "adam"}),
        (
            {"optim": "sgd", "optim_conf": {"lr": 1}},
            {"optim": "adam", "optim_conf": {"betas": 2}},
            {"optim": "adam", "optim_conf": {"betas": 2}},
        ),
        ({"decoder": "rnn", "decoder_conf": {"a": 1}}, {"decoder": None}, {"decoder": None}),
        ({"optim_conf": {"lr": 1}}, {"optim": "adam"}, {"optim": "adam"}),  # the base means ESPnet's default class
        # Those of the same class are.
        (
            {"optim": "sgd", "optim_conf": {"lr": 1, "a": 2}},
            {"optim": "sgd", "optim_conf": {"lr": 3}},
            {"optim": "sgd", "optim_conf": {"lr": 3, "a": 2}},
        ),
        (
            {"encoder_conf": {"size": 1, "router": "tdnn", "router_conf": {"channels": 2}}},
            {"encoder_conf": {"router": "linear"}},
            {"encoder_conf": {"size": 1, "router": "linear"}},
        ),
    ],
)
def test_what_is_inherited(base, own, expected):
    assert over(base, own) == expected


def test_a_chain_of_bases_in_several_folders(tmp_path, monkeypatch):
    (tmp_path / "tuning").mkdir()
    write(tmp_path, first={"max_epoch": 1, "optim": "sgd", "optim_conf": {"lr": 1, "a": 1}})
    write(tmp_path / "tuning", second={"base": "../first.yaml", "optim_conf": {"lr": 2}})
    third = write(tmp_path / "tuning", third={"base": "second.yaml", "max_epoch": 3})
    expected = {"max_epoch": 3, "optim": "sgd", "optim_conf": {"lr": 2, "a": 1}}
    assert read_options(third, OPTIONS) == expected
    monkeypatch.chdir(tmp_path)  # paths start from the file that says them, not from where the program runs
    assert read_options("tuning/third.yaml", OPTIONS) == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": {"base": "b.yaml"}}, "a.yaml: base b.yaml does not exist"),
        ({"a": {"base": "a.yaml"}}, "a.yaml: base a.yaml builds on .*a.yaml itself"),
        ({"a": {"base": "b.yaml"}, "b": {"base": "c.yaml"}, "c": {"base": "b.yaml"}}, "c.yaml: base b.yaml builds on"),
        ({"a": {"base": "b.yaml"}, "b": "- 1\n- 2\n"}, "b.yaml is not a configuration: expected 'option: value' lines"),
        ({"a": {"base": "b.yaml"}, "b": ""}, "b.yaml is not a configuration"),
        ({"a": {"base": "b.yaml"}, "b": "max_epoch: 1\nencoder: [\n"}, "b.yaml is not YAML: .*line 3"),
        ({"a": {"base": None}}, "a.yaml: base names one file, for example ../train_asr.yaml, not None"),
        ({"a": {"base": ["b.yaml"]}}, "a.yaml: base names one file"),
        ({"a": {"base": "b.yaml"}, "b": {"max_epochs": 1}}, r"unrecognized arguments: max_epochs \(from .*b.yaml\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        read_options(write(tmp_path, **files), OPTIONS)


@pytest.mark.parametrize("get_parser", [BLRMoETask.get_parser, RouterTask.get_parser, LanguageTask.get_parser])
def test_training_programs_know_bases(tmp_path, get_parser):
    config = write(tmp_path, own={"base": "base.yaml", "max_epoch": 3}, base={"max_epoch": 2, "optim_conf": {"lr": 2}})
    args = get_parser().parse_args(["--config", str(config), "--optim_conf", "a=1"])
    assert (args.max_epoch, args.optim_conf, args.config) == (3, {"lr": 2, "a": 1}, str(config))
    assert not hasattr(args, "base")


def test_decoding_knows_bases(tmp_path):
    config = write(tmp_path, own={"base": "base.yaml", "beam_size": 3}, base={"beam_size": 2, "ctc_weight": 0.7})
    data = "--output_dir=exp", "--data_path_and_name_and_type=wav.scp,speech,sound"
    args = asr_inference.get_parser().parse_args([f"--config={config}", *data])
    assert (args.beam_size, args.ctc_weight) == (3, 0.7)


def test_the_command_line_wins(tmp_path):
    config = write(tmp_path, own={"base": "base.yaml"}, base={"max_epoch": 2})
    assert BLRMoETask.get_parser().parse_args(["--config", str(config), "--max_epoch", "5"]).max_epoch == 5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"own": {"base": "base.yaml"}}, "base base.yaml does not exist"),
        ({"own": {"base": "base.yaml"}, "base": {"encodr": "blr_moe"}}, "unrecognized arguments: encodr (from "),
    ],
)
def test_a_program_ends_in_one_sentence(tmp_path, capsys, files, message):
    config = write(tmp_path, **files)
    with pytest.raises(SystemExit) as exit:
        BLRMoETask.get_parser().parse_args(["--config", str(config)])
    assert exit.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_file_ends_in_one_sentence(capsys):
    with pytest.raises(SystemExit):
        BLRMoETask.get_parser().parse_args(["--config", "none.yaml"])
    assert capsys.readouterr().err.splitlines()[-1].endswith("error: none.yaml does not exist")


def test_the_configuration_that_training_writes_is_whole(tmp_path):
    base = {name: value for name, value in CONFIG.items() if name != "model_conf"}
    config = write(tmp_path, own={"base": "base.yaml", "model_conf": {"ctc_weight": 1.0, "lid_weight": 0.5}}, base=base)
    BLRMoETask.main(cmd=["--config", str(config), "--output_dir", str(tmp_path / "exp"), "--dry_run", "true"])
    written = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text(encoding="utf-8"))
    assert "base" not in written
    assert written["encoder_conf"]["languages"] == CONFIG["encoder_conf"]["languages"]
    assert written["model_conf"]["lid_weight"] == 0.5


def test_languages_do_not_bother_an_encoder_without_experts(tmp_path):
    dense = {"encoder": "transformer", "encoder_conf": {"output_size": 16}}
    espnet = {"model": "espnet", "model_conf": {"ctc_weight": 1.0}}
    config = write(tmp_path, own={"base": "base.yaml", **dense, **espnet}, base=CONFIG)
    BLRMoETask.main(cmd=["--config", str(config), "--output_dir", str(tmp_path / "exp"), "--dry_run", "true",
                         "--encoder_conf", "languages=['de','en']"])  # fmt: skip
    written = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text(encoding="utf-8"))
    assert written["encoder_conf"] == {"output_size": 16}
