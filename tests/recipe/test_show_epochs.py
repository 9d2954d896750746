"""What a user sees of a training's log."""

import io

import pytest
import show_epochs

EPOCH = ("[host] 2026-01-01 00:00:00,000 (trainer:372) INFO: 3epoch results: [train] loss=2.000, acc_lid=0.5, "
         "time=7.1 seconds, total_count=12, [valid] loss=1.500, acc_lid_utt=0.75, time=0.5 seconds, total_count=4\n")
STARTED = "(trainer:341) INFO: 3/3epoch started. Estimated time to finish: 7.1 seconds\n"
FINISHED = "(trainer:534) INFO: The training was finished at 3 epochs \n"
EARLY = "(reporter:413) INFO: [Early stopping] valid.loss has not been improved 4 epochs continuously. ...\n"


def show(monkeypatch, tmp_path, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(lines)))
    show_epochs.main([str(tmp_path / "train.log")])
    assert (tmp_path / "train.log").read_text() == "".join(lines)


def test_a_line_per_epoch_and_the_whole_log(monkeypatch, tmp_path, capsys):
    show(monkeypatch, tmp_path, "something\n", EPOCH, FINISHED)
    assert capsys.readouterr().out == (
        "  epoch   3: train loss 2.000, loss 1.500, LID utterances 75.0 % (7.1 seconds)\n"
    )


def test_early_stopping_is_an_end_that_is_said(monkeypatch, tmp_path, capsys):
    show(monkeypatch, tmp_path, EPOCH, EARLY)
    assert "valid.loss has not been improved 4 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "reason",
    [
        "RuntimeError: something broke\n",
        "[rank1]: TypeError: unexpected keyword argument\n",
        "asr_train.py: error: argument --max_epoch: invalid int value: 'x'\n",
        "router_train: no such language\n",
    ],
)
def test_a_training_that_failed_says_why(monkeypatch, tmp_path, reason):
    with pytest.raises(SystemExit, match="training stopped before its end; its log is ") as stop:
        show(monkeypatch, tmp_path, STARTED, EPOCH, reason, "usage: ...\n")
    assert str(stop.value).endswith(reason.rstrip())


def test_a_reason_that_follows_its_error(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=r"RuntimeError: ssh: connect to host node2 port 22: Connection refused$"):
        show(monkeypatch, tmp_path, "RuntimeError:\n", "ssh: connect to host node2 port 22: Connection refused\n")


def test_a_training_that_was_killed_has_stopped(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="training stopped before its end"):
        show(monkeypatch, tmp_path, STARTED)


@pytest.mark.parametrize(
    "consequence",
    [
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n",
        "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer\n",
        "[rank0]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer\n",
        "[rank0]: torch.distributed.DistBackendError: NCCL error\n",
    ],
)
def test_the_reason_is_not_that_another_process_is_gone(monkeypatch, tmp_path, consequence):
    with pytest.raises(SystemExit, match="ValueError: something broke$"):
        show(monkeypatch, tmp_path, STARTED, "ValueError: something broke\n", consequence)


def test_a_machine_that_logs_no_epochs(monkeypatch, tmp_path, capsys):
    show(monkeypatch, tmp_path, "[W] something of torchrun\n")
    assert "no epoch was logged on this machine; the log is " in capsys.readouterr().out


def test_a_log_for_which_there_is_no_room(monkeypatch, tmp_path):
    (tmp_path / "train.log").symlink_to("/dev/full")
    with pytest.raises(SystemExit, match="train.log cannot be written: No space left on device; make room and start"):
        show(monkeypatch, tmp_path, EPOCH)
