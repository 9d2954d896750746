"""The paper's table: its corpus keeps voices apart, its steps resume, and its figures are what they are called."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from espnet_blrmoe.program import READER_LEFT

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from paper_table import corpus, run, table  # noqa: E402


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
    return run.Step(name, command, folder / "done" / name)


@pytest.fixture
def work(tmp_path):
    for name in ("done", "logs"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_what_is_done_is_not_done_again(work):
    steps = [step(work, name, "sh", "-c", f"echo {name} >> {work}/log") for name in ("first", "second")]
    assert run.Jobs(work, None)(steps) and run.Jobs(work, None)(steps)
    assert (work / "log").read_text() == "first\nsecond\n"


def test_a_failure_ends_its_job(work, capsys):
    assert not run.Jobs(work, None)([step(work, "broken", "false"), step(work, "next", "true")])
    assert f"broken: failed, see {work}/logs/broken.log" in capsys.readouterr().out
    assert not list((work / "done").iterdir())


def test_time_is_up(work, capsys):
    jobs = run.Jobs(work, minutes=0.01)
    assert not jobs([step(work, "long", "sleep", "60")]) and not jobs([step(work, "late", "true")])
    assert "long: time is up" in capsys.readouterr().out


def test_every_seed_and_system_has_its_own_folder(tmp_path):
    """Only what two systems begin with is of both."""
    steps = {step for name in run.SYSTEMS for seed in (0, 1) for of_kind in (run.training_steps, run.decoding_steps)
             for step in of_kind(name, seed, tmp_path, run.SIZES["tiny"])}
    assert len({step.done for step in steps}) == len(steps)


def test_a_start_is_trained_once(work):
    start = step(work, "start", "sh", "-c", f"sleep 0.2; echo start >> {work}/log")
    jobs = run.Jobs(work, None)
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(jobs, [[start, step(work, name, "true")] for name in ("first", "second")]))
    assert (work / "log").read_text() == "start\n"


def test_both_halves_of_a_training_have_the_updates_of_one(tmp_path):
    size = run.SIZES["cpu"]
    steps = run.training_steps("lr_moe_from_dense", 0, tmp_path, size)
    dense, _, experts, _ = (" ".join(step.command) for step in steps)
    assert f"--max_epoch {size.epochs // 2}" in dense and f"--max_epoch {size.epochs // 2}" in experts
    assert f"--from_dense {tmp_path}/exp/asr_dense_half_seed0" in experts and "--from_dense" not in dense


def counts(*errors):
    """Seeds of utterances with ten words each: so many substituted."""
    wrong = np.array(errors)[:, :, None]
    return np.stack([10 - wrong, wrong, 0 * wrong, 0 * wrong], axis=-1)


def test_rows_are_compared_over_the_seeds_that_both_have(tmp_path):
    domains = np.array(["noise", "telephone"])

    def write(system, seed, wrong):
        each = np.stack([counts(wrong)[0][:, 0]] * 3, axis=1).astype(np.uint16)
        np.savez_compressed(tmp_path / f"{system}_seed{seed}.npz", **{
            "decode_asr/test_in": each, "decode_asr/test_out": each, "domains/test_in": domains,
            "domains/test_out": domains})

    for system, seed, wrong in (("lr_moe_from_dense", 0, [2, 2]), ("lr_moe_from_dense", 1, [9, 9]),
                                ("lr_moe_v_from_dense", 0, [1, 1])):
        write(system, seed, wrong)
    measured = table.measure_all(tmp_path)
    assert [len(found.seeds) for found in measured.values()] == [2, 1]
    compared = table.compare(measured, tmp_path)[0][:4]
    assert compared == ["+ V experts", "LR-MoE", "1", "+50.0 (+50.0 to +50.0)"]


def test_finished_systems_are_in_the_tables(tmp_path, capsys):
    (tmp_path / "tiny").mkdir()
    domains = np.array(["noise", "telephone"])
    for seed, wrong in ((0, [1, 3]), (1, [2, 4])):
        wer_of_each = counts(wrong)[0][:, 0]
        kept = {f"{name}/test_{part}": np.stack([wer_of_each] * 3, axis=1).astype(np.uint16)
                for name in ("decode_asr", "decode_asr_router_pruned") for part in ("in", "out")}
        np.savez_compressed(tmp_path / "tiny" / f"lr_moe_seed{seed}.npz", **kept,
                            **{"domains/test_in": domains, "domains/test_out": domains})
    table.main(["--size", "tiny", "--results", str(tmp_path), "--plot", str(tmp_path / "plot.svg")])
    assert "LR-MoE from nothing, languages given" in (tmp_path / "plot.svg").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("|LR-MoE from nothing|2|25.0|25.0|25.0|15.0|35.0|") for line in lines)
    given = "|LR-MoE from nothing, languages given|LR-MoE from nothing|2|+0.0 (+0.0 to +0.0)|"
    assert any(line.startswith(given) for line in lines)
    assert not any(line.startswith("|dense|") for line in lines)


def test_rates_are_means_over_seeds():
    found = table.Counts(np.array(["a", "a", "b", "b"]), counts([1, 1, 4, 4], [3, 3, 6, 6]))
    assert table.rates(found, None)[0] == pytest.approx([35])
    assert table.rates(found, "a")[0] == pytest.approx([20])
    resampled = table.rates(found, None)[1:]
    assert 10 <= resampled.min() < 30 and 40 < resampled.max() <= 60


def test_reductions_are_paired():
    """Half of the errors in every utterance is half of them however utterances and seeds are drawn."""
    domains = np.array(["a"] * 3)
    before, after = (table.rates(table.Counts(domains, counts(*errors)), None)
                     for errors in (([2, 4, 8], [4, 2, 6]), ([1, 2, 4], [2, 1, 3])))
    assert table.reductions(before, after) == "+50.0 (+50.0 to +50.0)"


def test_a_reader_that_leaves_gets_no_traceback():
    program = subprocess.Popen([sys.executable, table.__file__], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.close()  # as `| head` does
    assert (program.stderr.read(), program.wait()) == (b"", READER_LEFT)
