"""The figures of the paper's table: what is kept of a system, how it is resampled, and the tables of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espnet_blrmoe.program import READER_LEFT

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "tests" / "recipe")]

import score  # noqa: E402
from fake_experiment import make_experiment  # noqa: E402
from paper_table import rates, table  # noqa: E402
from paper_table.counts import FIGURES, TESTS, Row, finished_seeds, read_counts, write_counts  # noqa: E402
from shared.data_dir import read_data_dir  # noqa: E402
from shared.decodings import find_decodings  # noqa: E402
from shared.kaldi_tables import read_table, write_table  # noqa: E402

WORDS, SCRIPT = FIGURES.index("words"), FIGURES.index("script")
ALL_LANGUAGES = Row("all languages", "fake", ("decode_asr_router",))
PRUNED = Row("pruned", "fake", ("decode_asr_router_pruned",), (ALL_LANGUAGES.title,))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(experiment, its data, folder with what is kept of it)."""
    root = tmp_path_factory.mktemp("kept")
    exp, _, data = make_experiment(root, ("de", "ru"), per_language=6)
    write_table(exp / "decode_asr_router/test_out/text",
                {u.id: f"слово {u.text}" for u in read_data_dir(data / "test_out")})
    write_counts(exp, data, root / "results/fake_seed0.npz", {"training": 1200, "side_by_side": 2})
    return exp, data, root / "results"


def shares(row, test_set, results):
    counts = read_counts(row, results, finished_seeds(row, results))
    return dict(zip(FIGURES, rates.means(counts.counts[:, counts.inside == (test_set == "test_in")])))


@pytest.mark.parametrize("test_set", TESTS)
def test_error_rates_and_foreign_words_are_those_of_scoring(kept, test_set):
    exp, data, results = kept
    scores = score.score(find_decodings(exp, data), data)
    found = shares(ALL_LANGUAGES, test_set, results)
    (entry,) = (e for e in scores["scores"] if e["by"] == "all" and e["test_set"] == test_set
                and e["decoding"] == "decode_asr_router")
    assert [found[name] for name in ("WER", "CER", "LID")] == [
        pytest.approx(entry[name]["Err"]) for name in ("WER", "CER", "LID")]
    (foreign,) = (f["value"] for f in scores["diagnosis"] if f["signature"] == "cross_language"
                  and (f["decoding"], f["test_set"]) == ("decode_asr_router", test_set))
    assert found["words"] == pytest.approx(foreign)


def test_words_in_a_foreign_script_are_some_of_the_foreign_ones(kept):
    """German in Cyrillic is; what is Russian here is in Latin letters, and in its transcripts, so it is not."""
    counts = read_counts(ALL_LANGUAGES, kept[2], [0])
    foreign = counts.counts[0, ~counts.inside, :, 0]
    assert foreign[:, SCRIPT].tolist() == [float(code == "de") for code in counts.languages[~counts.inside]]
    assert (foreign[:, SCRIPT] <= foreign[:, WORDS]).all()


def test_frames_in_a_wrong_language(kept):
    exp, data, results = kept
    own = every = 0
    frames = read_table(exp / "decode_asr_router/test_out/expert_frames")
    for u in read_data_dir(data / "test_out"):
        of = {language: int(n) for language, n in (field.split(":") for field in frames[u.id].split())}
        own, every = own + of.get(u.language, 0), every + sum(of.values())
    assert 0 < own < every
    assert shares(ALL_LANGUAGES, "test_out", results)["frames"] == pytest.approx(100 * (1 - own / every))
    assert np.isnan(shares(PRUNED, "test_out", results)["frames"])  # nothing else was allowed


def test_lists_are_compared_where_they_hold(kept):
    measured = rates.measure_all((ALL_LANGUAGES, PRUNED), kept[2])
    (comparison,) = rates.compare(measured, kept[2])
    found = list(rates.by_list(comparison))
    assert [own.languages for own in found] == ["de", "ru"]
    counts = read_counts(PRUNED, kept[2], [0])
    german = ~counts.inside & (counts.languages == "de")
    assert (found[0].after[0] == pytest.approx(rates.means(counts.counts[:, german]), nan_ok=True))
    assert found[0].before.shape == (1 + rates.RESAMPLES, len(FIGURES))


def test_times_are_kept(kept):
    assert rates.training_times("fake", kept[2]) == [{"training": 1200, "side_by_side": 2}]


def test_only_languages_and_domains_are_kept_as_text(kept):
    arrays = np.load(kept[2] / "fake_seed0.npz")
    texts = {str(value) for name in arrays if arrays[name].dtype.kind == "U" for value in arrays[name]}
    assert texts == {"de", "ru", "espeak", "noise", "reverberation", "telephone"}


def counts(*errors):
    """(seeds, utterances, one figure, 2), each utterance with ten words: so many wrong."""
    wrong = np.array(errors, np.float32)[:, :, None]
    return np.stack([wrong, np.full_like(wrong, 10)], axis=-1)


def test_rates_are_means_over_seeds():
    both = counts([1, 1, 4, 4], [3, 3, 6, 6])
    assert rates.rates(both)[0] == pytest.approx([35])
    assert rates.rates(both[:, :2])[0] == pytest.approx([20])
    resampled = rates.rates(both)[1:]
    assert 10 <= resampled.min() < 30 and 40 < resampled.max() <= 60


def test_rates_are_a_bootstrap_over_utterances_and_seeds():
    """The same one after the other."""
    both = counts([1, 2, 4, 9], [3, 0, 6, 5])
    rng = np.random.default_rng(0)
    for found in rates.rates(both)[1:6]:
        utterances, seeds = rng.integers(4, size=4), rng.integers(2, size=2)
        assert found == pytest.approx(np.mean([10 * both[seed, utterances, :, 0].mean(axis=0) for seed in seeds]))


def test_reductions_are_paired():
    """Half of the errors in every utterance is half of them however utterances and seeds are drawn."""
    before, after = (rates.rates(counts(*errors)) for errors in (([2, 4, 8], [4, 2, 6]), ([1, 2, 4], [2, 1, 3])))
    assert rates.with_interval(rates.reductions(before, after)) == "+50.0 (+50.0 to +50.0)"


def test_what_is_not_kept_leaves_the_other_figures_alone():
    both = np.concatenate([counts([1, 3]), np.full((1, 2, 1, 2), np.nan)], axis=2)
    assert not np.isnan(rates.rates(both)[:, 0]).any() and np.isnan(rates.rates(both)[:, 1]).all()


def write_results(folder, system, seed, wrong, tags=("decode_asr",), **further):
    """A system of which utterances of ten words, in noise and by telephone, have so many wrong, in both test sets."""
    of_each = np.array([[10 - n, n, 0, 0] for n in wrong], np.uint16)
    arrays = {f"{tag}/{test_set}": np.stack([of_each] * 3, axis=1) for tag in tags for test_set in TESTS}
    arrays |= {f"domains/{test_set}": np.array(["noise", "telephone"]) for test_set in TESTS}
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / f"{system}_seed{seed}.npz", **arrays, **further)


def of_both(name, *values):
    return {f"{name}/{test_set}": np.array(values) for test_set in TESTS}


def lines_of(tmp_path, capsys, size="tiny"):
    table.main(["--size", size, "--results", str(tmp_path)])
    return capsys.readouterr().out.splitlines()


def test_rows_are_compared_over_the_seeds_that_both_have(tmp_path, capsys):
    for system, seed, wrong in (("lr_moe_from_dense", 0, [2, 2]), ("lr_moe_from_dense", 1, [9, 9]),
                                ("lr_moe_v_from_dense", 0, [1, 1])):
        write_results(tmp_path / "tiny", system, seed, wrong)
    lines = lines_of(tmp_path, capsys)
    assert any(line.startswith("|LR-MoE|2|55.0|") for line in lines)
    assert any(line.startswith("|+ V experts|LR-MoE|1|+50.0 (+50.0 to +50.0)|") for line in lines)


def test_finished_systems_are_in_the_tables(tmp_path, capsys):
    for seed, wrong in ((0, [1, 3]), (1, [2, 4])):
        write_results(tmp_path / "tiny", "lr_moe", seed, wrong, ("decode_asr", "decode_asr_router_pruned"))
    table.main(["--size", "tiny", "--results", str(tmp_path), "--plot", str(tmp_path / "plot.svg")])
    assert "LR-MoE from nothing, languages given" in (tmp_path / "plot.svg").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("|LR-MoE from nothing|2|25.0|25.0|25.0|15.0|35.0|") for line in lines)
    given = "|LR-MoE from nothing, languages given|LR-MoE from nothing|2|+0.0 (+0.0 to +0.0)|"
    assert any(line.startswith(given) for line in lines)
    assert not any(line.startswith("|dense|") for line in lines)


def test_what_older_results_lack_is_left_out_or_a_dash(tmp_path, capsys):
    write_results(tmp_path / "tiny", "lr_moe", 0, [1, 3])
    older = [line for line in lines_of(tmp_path, capsys) if line.startswith("###")]
    assert older == [f"### {table.TITLES[figure]}" for figure in ("WER", "CER", "LID")]
    write_results(tmp_path / "tiny", "blr_moe", 0, [2, 4], **of_both("languages", "de", "fr"),
                  **of_both("frames/decode_asr", [80, 20], [50, 50]))
    lines = lines_of(tmp_path, capsys)
    frames, inside, outside = (lines.index(f"### {title}") for title in (
        table.TITLES["frames"], "Word error rate in-domain by language, %",
        "Word error rate out of domain by language, %"))
    assert "|LR-MoE from nothing|1|-|-|-|-|-|" in lines[frames:inside]
    assert "|BLR-MoE from nothing|1|35.0|35.0|35.0|20.0|50.0|" in lines[frames:inside]
    for first in (inside, outside):
        assert lines[first + 2 : first + 6] == [
            "|system|seeds|de|fr|", "|---|---|---|---|", "|LR-MoE from nothing|1|-|-|",
            "|BLR-MoE from nothing|1|20.0|40.0|"]


def test_a_language_that_a_test_does_not_have_is_a_dash(tmp_path, capsys):
    languages = {"languages/test_in": np.array(["de", "fr"]), "languages/test_out": np.array(["de", "de"])}
    write_results(tmp_path / "tiny", "lr_moe", 0, [2, 4], **languages)
    lines = lines_of(tmp_path, capsys)
    first = lines.index("### Word error rate out of domain by language, %")
    assert lines[first + 4] == "|LR-MoE from nothing|1|30.0|-|"


def test_systems_of_different_tests_are_not_compared(tmp_path):
    write_results(tmp_path / "tiny", "lr_moe", 0, [1, 2])
    arrays = {**np.load(tmp_path / "tiny/lr_moe_seed0.npz"), "domains/test_in": np.array(["noise"] * 3)}
    np.savez_compressed(tmp_path / "tiny/dense_seed0.npz", **arrays)
    with pytest.raises(SystemExit, match="lr_moe_seed0.npz is of .* keep results of different tests in folders"):
        table.main(["--size", "tiny", "--results", str(tmp_path)])


def test_no_system_is_finished(tmp_path):
    with pytest.raises(SystemExit, match="no system is finished in"):
        table.main(["--size", "tiny", "--results", str(tmp_path)])


def test_scripts_only_where_languages_differ_in_them(tmp_path, capsys):
    for own, has_table in (("fr", False), ("ru", True)):
        write_results(tmp_path / own, "lr_moe", 0, [1, 3], **of_both("languages", "de", own),
                      **of_both("foreign/decode_asr", [2, 1], [0, 0]))
        assert (f"### {table.TITLES['script']}" in lines_of(tmp_path, capsys, own)) == has_table


def test_the_papers_figures_beside_those_here(tmp_path, capsys):
    write_results(tmp_path / "tiny", "lr_moe_from_dense", 0, [4, 4])
    write_results(tmp_path / "tiny", "blr_moe_from_dense", 0, [2, 2], ("decode_asr_router", "decode_asr_router_pairs"),
                  **of_both("allowed/decode_asr_router_pairs", "de,fr", "es,pt"))
    lines = lines_of(tmp_path, capsys)
    rows = "BLR-MoE: its router augmented|LR-MoE|1"
    for where, paper in (("all", 16.09), ("in", 3.98), ("out", 19.09)):
        assert f"|BLR-MoE instead of LR-MoE|{where}|{paper}|+50.0 (+50.0 to +50.0)|{rows}|" in lines
    nothing = "+0.0 (+0.0 to +0.0)"
    assert (f"|the most of 2 lists, de,fr|out|up to 34.28|{nothing}|BLR-MoE, pruned to a pair|"
            "BLR-MoE: its router augmented|1|") in lines
    assert f"|BLR-MoE, pruned to a pair|es,pt|1|20.0|20.0|{nothing}|" in lines


def test_seconds_are_means_over_the_trainings(tmp_path, capsys):
    for seed, seconds in ((0, 1000), (1, 1200)):
        write_results(tmp_path / "tiny", "lr_moe_from_dense", seed, [1, 1], **{
            "times/training": np.array(seconds), "times/router": np.array(90 + seed),
            "times/side_by_side": np.array(seed + 1)})
    write_results(tmp_path / "tiny", "lr_moe", 0, [1, 1])
    lines = lines_of(tmp_path, capsys)
    times = lines[lines.index("### Seconds of training") :]
    assert "|LR-MoE from it|2|1,100|90|1 or 2|" in times
    assert not any(line.startswith("|LR-MoE|") for line in times)


def test_a_reader_that_leaves_gets_no_traceback():
    program = subprocess.Popen([sys.executable, table.__file__], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.close()  # as `| head` does
    assert (program.stderr.read(), program.wait()) == (b"", READER_LEFT)
