"""Where a program cannot write is told before its work; several runs into one folder do not disturb each other."""

import os
import stat
from pathlib import Path

import pytest
import torch
from dense import convert, write_dense_model
from tiny import one_sentence

from espnet_blrmoe.bin import add_language, asr_inference, router_train
from espnet_blrmoe.files.output_folder import check_file, check_new, check_writable

NOT_WRITABLE = Path("/proc/folder")  # not even by root


def test_a_folder_that_can_be_written_stays_as_it_is(tmp_path):
    (tmp_path / "old").mkdir()
    for folder in (tmp_path / "old", tmp_path / "new", tmp_path / "new/newer"):
        check_writable(folder)
        check_new(folder / "model.pth")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for path, message in {
        tmp_path / "file/new": f"{tmp_path}/file is a file; choose another --output_dir",
        Path("file/new/newer"): f"{tmp_path}/file is a file; choose another --output_dir",
        tmp_path / "file": f"{tmp_path}/file exists already; remove it or choose another --output_dir",
        NOT_WRITABLE: "/proc cannot be written: No such file or directory; choose another --output_dir",
    }.items():
        assert one_sentence(check_new, path) == message


def test_a_file_that_can_be_written_stays_as_it_is(tmp_path):
    (tmp_path / "old").write_text("figures")
    for path in (tmp_path / "old", tmp_path / "new"):
        check_file(path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "figures")]


def test_a_file_that_cannot_be_written(tmp_path):
    for path, reason in {
        tmp_path: "Is a directory", tmp_path / "nowhere/new": "No such file or directory",
        NOT_WRITABLE: "No such file or directory",
    }.items():  # fmt: skip
        assert one_sentence(check_file, path) == f"{path} cannot be written: {reason}; choose another --output"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_somebody_elses_folder(tmp_path):
    tmp_path.chmod(0o555)
    assert one_sentence(check_new, tmp_path / "new").startswith(f"{tmp_path} cannot be written: Permission denied")


@pytest.mark.parametrize("program", [router_train, add_language])
def test_a_training_does_not_begin_for_nothing(program, tiny_model):
    language = ["--language=fr"] if program is add_language else []
    with pytest.raises(SystemExit, match="/proc cannot be written: .*; choose another --output_dir"):
        program.main(["--model", str(tiny_model.config.parent), f"--output_dir={NOT_WRITABLE}", *language])


def test_a_decoding_does_not_begin_for_nothing(tiny_model):
    audio = ["--data_path_and_name_and_type", "wav.scp,speech,sound"]
    with pytest.raises(SystemExit, match="/proc cannot be written: .*; choose another --output_dir"):
        asr_inference.main(["--model", str(tiny_model.config.parent), f"--output_dir={NOT_WRITABLE}", *audio])


@pytest.fixture(scope="module")
def dense_model(tmp_path_factory) -> Path:
    return write_dense_model(tmp_path_factory.mktemp("dense") / "dense")


def test_what_a_killed_run_left_is_in_nobodys_way(dense_model, tmp_path):
    for name in ("new.unfinished", "new.unfinished.a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pth").write_bytes(b"half")
    convert(dense_model, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["config.yaml", "model.pth"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~mask


def test_of_two_runs_into_one_folder_the_first_to_end_writes_it(dense_model, tmp_path, monkeypatch):
    def save(weights: dict, path: Path) -> None:
        monkeypatch.setattr(torch, "save", saved)
        convert(dense_model, tmp_path / "new")  # the other run, from its beginning to its end
        first.update(content())
        saved(weights, path)

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}

    saved, first = torch.save, {}
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(SystemExit, match="^from_dense: .*new exists already; remove it or choose another"):
        convert(dense_model, tmp_path / "new", "--router=linear", small=())
    assert content() == first and [path.name for path in tmp_path.iterdir()] == ["new"]
