"""The data sets of stage 1 appear whole, or what was there stays."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import corpus_folders
import pytest
from corpus_folders import ROWS, contents, write_lines
from corpus_folders import prepare_in as prepare
from recipe_run import RECIPE
from shared import write_data_dir
from shared.kaldi_tables import UserError


def test_a_mistake_in_one_data_set_leaves_all_as_they_were(tmp_path, ours):
    before = contents(prepare(tmp_path, "--corpus", ours))
    write_lines(tmp_path / "ours" / "train.jsonl", [json.dumps(ROWS[0])])
    write_lines(tmp_path / "ours" / "test.jsonl", [json.dumps({**ROWS[0], "lang": "fr"})])
    with pytest.raises(UserError):
        prepare(tmp_path, "--corpus", ours)
    assert contents(tmp_path / "data") == before


def test_a_full_disk(tmp_path, ours, monkeypatch):
    before = contents(prepare(tmp_path, "--corpus", ours))

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write_data_dir, "write_inverse", no_room)
    with pytest.raises(UserError, match="cannot be written: No space left on device; it is left as it was"):
        prepare(tmp_path, "--corpus", ours)
    assert contents(tmp_path / "data") == before


def run_stage_1(folder, corpus, beginning=""):
    """Run stage 1 in a process of its own, after some Python; returns its exit code and stderr."""
    program = f"import prepare_corpora\n{beginning}\nprepare_corpora.main()"
    command = [sys.executable, "-c", program, "--corpus", corpus, "--data_dir", str(folder / "data")]
    done = subprocess.run(command, cwd=RECIPE / "local", capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_file_that_cannot_grow(tmp_path, ours):
    rows = [{**ROWS[0], "id": f"{i}"} for i in range(2000)]
    write_lines(tmp_path / "ours" / "train.jsonl", [json.dumps(row) for row in rows])
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    code, error = run_stage_1(tmp_path, ours, limit)
    assert code == 1
    assert re.search("cannot be written|sort failed", error) and "Traceback" not in error
    assert contents(tmp_path / "data") == {}


@pytest.mark.parametrize("name", ["make_entry", "require_trained"])
def test_an_interrupted_run_is_never_taken_for_done(name, tmp_path, ours):
    """Killed while it reads the training set, or when that and the validation set are written."""
    kill = f"import os, signal; prepare_corpora.{name} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    code, _ = run_stage_1(tmp_path, ours, kill)
    assert code == -signal.SIGKILL
    assert not any((tmp_path / "data" / name).exists() for name in ("train", "valid", "test_in"))
    whole = contents(prepare(tmp_path, "--corpus", ours))
    assert {path.parent.name for path in whole} == {"train", "valid", "test_in"}


def test_an_interruption_while_the_new_sets_take_their_places(tmp_path, ours):
    prepare(tmp_path, "--corpus", ours)
    kill = ("import os, pathlib, signal\nreal = pathlib.Path.rename\ndef rename(path, target):\n"
            "    real(path, target)\n    os.kill(os.getpid(), signal.SIGKILL)\npathlib.Path.rename = rename")
    code, _ = run_stage_1(tmp_path, ours, kill)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "data" / "train").exists(), "later stages must not take an old one for the new one"


def test_ctrl_c(tmp_path, ours):
    before = contents(prepare(tmp_path, "--corpus", ours))
    interrupt = (  # a process in the background may have been started with Ctrl-C ignored
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "prepare_corpora.make_entry = lambda *_: os.kill(os.getpid(), signal.SIGINT)"
    )
    assert run_stage_1(tmp_path, ours, interrupt) == (130, "Interrupted: run stage 1 again\n")
    assert contents(tmp_path / "data") == before


def test_ctrl_c_while_audio_is_made(tmp_path):
    command = [sys.executable, "prepare_corpora.py", "--corpus", "espeak", "--langs", "en", "--train_hours", "1",
               "--downloads", str(tmp_path / "downloads"), "--data_dir", str(tmp_path / "data")]
    with subprocess.Popen(
        command, cwd=RECIPE / "local", stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as stage_1:
        while not any((tmp_path / "downloads").rglob("*.wav")):
            assert stage_1.poll() is None
            time.sleep(0.1)
        os.killpg(stage_1.pid, signal.SIGINT)  # as a terminal does: to all its processes
        try:
            assert stage_1.communicate(timeout=30)[1] == "Interrupted: run stage 1 again\n"
        finally:
            stage_1.kill()
    assert stage_1.returncode == 130
    assert not any((tmp_path / "downloads").iterdir())


def test_audio_within_the_data_sets_is_not_lost(tmp_path):
    folder = corpus_folders.manifest(tmp_path / "data" / "train")
    (folder / "wav.scp").touch()
    with pytest.raises(UserError, match="data/train holds the audio that is read"):
        prepare(tmp_path, "--corpus", f"manifest={folder}")
    assert (folder / "recordings" / "a.wav").is_file()
