"""The paper's table: its corpus keeps voices apart, and its steps resume."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "tests" / "recipe")]

from fake_experiment import make_checkpoint  # noqa: E402
from paper_table import corpus, jobs, run  # noqa: E402


@pytest.fixture(scope="module")
def recordings():
    return corpus.plan(["es", "it"], train_hours=0.1, test_sentences=10)


def test_no_sentence_is_said_twice(recordings):
    said = [(r.language, r.text) for own in recordings.values() for r in own]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("heard", ["train", "router_train"])
@pytest.mark.parametrize("tested", ["test_in", "test_out"])
def test_no_test_has_a_voice_that_was_heard(recordings, heard, tested):
    def speakers(name):
        return {r.speaker for r in recordings[name]}

    assert not speakers(heard) & speakers(tested)


def test_engines_that_nothing_heard(recordings):
    engines = {name: {r.voice.engine for r in own if r.domain != "engine"} for name, own in recordings.items()}
    assert {r.voice.engine for r in recordings["test_out"] if r.domain == "engine"}.isdisjoint(
        set().union(*engines.values()))


def test_every_domain_has_as_many_sentences(recordings):
    domains = [(r.language, r.domain) for r in recordings["test_out"]]
    assert {domains.count(domain) for domain in domains} == {10}
    every = {"voices", "engine", "telephone", "noise", "tempo", "accent"}
    assert {domain for language, domain in domains if language == "es"} == every
    assert {domain for language, domain in domains if language == "it"} == every - {"accent"}


def test_tests_do_not_depend_on_the_hours_of_training(recordings):
    more = corpus.plan(["es", "it"], train_hours=0.2, test_sentences=10)
    assert more["test_out"] == recordings["test_out"] and more["train"] != recordings["train"]


def step(folder, name, *command):
    return jobs.Step(name, command, folder / "done" / name)


@pytest.fixture
def work(tmp_path):
    for name in ("done", "logs"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_what_is_done_is_not_done_again(work):
    steps = [step(work, name, "sh", "-c", f"echo {name} >> {work}/log") for name in ("first", "second")]
    assert jobs.Jobs(work, None)(steps) and jobs.Jobs(work, None)(steps)
    assert (work / "log").read_text() == "first\nsecond\n"


def test_a_failure_ends_its_job(work, capsys):
    assert not jobs.Jobs(work, None)([step(work, "broken", "false"), step(work, "next", "true")])
    assert f"broken: failed, see {work}/logs/broken.log" in capsys.readouterr().out
    assert not list((work / "done").iterdir())


def test_time_is_up(work, capsys):
    one = jobs.Jobs(work, minutes=0.01)
    assert not one([step(work, "long", "sleep", "60")]) and not one([step(work, "late", "true")])
    assert "long: time is up" in capsys.readouterr().out


def test_every_seed_and_system_has_its_own_folder(tmp_path):
    """Only what two systems begin with is of both."""
    steps = {step for name in run.SYSTEMS for seed in (0, 1) for of_kind in (run.training_steps, run.decoding_steps)
             for step in of_kind(name, seed, tmp_path, run.SIZES["tiny"])}
    assert len({step.done for step in steps}) == len(steps)


@pytest.mark.parametrize("size", run.SIZES)
def test_all_is_decoded_in_one_way(tmp_path, size):
    for name in run.SYSTEMS:
        for step in run.decoding_steps(name, 0, tmp_path, run.SIZES[size]):
            options = step.command[step.command.index("--inference_args") + 1]
            assert options.startswith("--language_smoothing frame"), step.name


def test_a_start_is_trained_once(work):
    start = step(work, "start", "sh", "-c", f"sleep 0.2; echo start >> {work}/log")
    side_by_side = jobs.Jobs(work, None)
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(side_by_side, [[start, step(work, name, "true")] for name in ("first", "second")]))
    assert (work / "log").read_text() == "start\n"


def test_both_halves_of_a_training_have_the_updates_of_one(tmp_path):
    size = run.SIZES["cpu"]
    steps = run.training_steps("lr_moe_from_dense", 0, tmp_path, size)
    dense, _, experts, _ = (" ".join(step.command) for step in steps)
    assert f"--max_epoch {size.epochs // 2}" in dense and f"--max_epoch {size.epochs // 2}" in experts
    assert f"--from_dense {tmp_path}/exp/asr_dense_half_seed0" in experts and "--from_dense" not in dense


def test_epochs_of_all_attempts_are_timed(work):
    """What a checkpoint knows of them, not the seconds of the last attempt."""
    make_checkpoint(work / "training", epochs=4, with_ctc=True)
    training = jobs.Step("training", ("true",), work / "done/dense_seed0", work / "training")
    assert jobs.Jobs(work, None, side_by_side=3)([training])
    assert jobs.training_times(work / "done", "dense_seed0") == {"training": 4 * 60, "side_by_side": 3}


def test_times_that_nobody_noted_are_unknown(work):
    """Of an older call, or of a training that left no checkpoint."""
    assert jobs.Jobs(work, None)([jobs.Step("training", ("true",), work / "done/dense_seed0", work / "training")])
    assert jobs.training_times(work / "done", "dense_seed0") == {}


def test_trainings_without_decoding(work, monkeypatch, capsys):
    """What is trained is not trained again when a later call decodes it."""
    monkeypatch.setattr(run, "data_step", lambda *_: step(work, "data", "true"))
    train = ("sh", "-c", f"echo dense >> {work}/log")
    monkeypatch.setattr(run, "training_steps", lambda name, *_: [step(work, name, *train)])
    monkeypatch.setattr(run, "decoding_steps", lambda *_: [step(work, "decoded", "false")])
    options = ["--size", "tiny", "--work", str(work), "--results", str(work), "--systems", "dense", "--seeds", "1"]
    with pytest.raises(SystemExit) as ended:
        run.main([*options, "--train_only"])
    assert ended.value.code == 0 and "1 of 1 systems are trained" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        run.main(options)
    assert ended.value.code == 1 and "decoded: failed" in capsys.readouterr().out
    assert (work / "log").read_text() == "dense\n"


def test_real_speech_has_to_be_named(work, monkeypatch, capsys):
    monkeypatch.setattr(run, "REAL_SPEECH", "")
    with pytest.raises(SystemExit):
        run.main(["--size", "real_phone", "--work", str(work)])
    assert "name its folder in REAL_SPEECH" in capsys.readouterr().err
