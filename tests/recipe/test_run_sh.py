"""The recipe from end to end at tiny size."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from recipe_run import RECIPE, STAGES, TINY_TRAINING, run_recipe
from shared.data_dir import read_data_dir
from shared.kaldi_tables import read_table
from shared.write_data_dir import write_data_dir


def test_every_stage_runs_and_says_so(tiny_demo):
    assert tiny_demo.exit_code == 0, tiny_demo.output
    assert tuple(int(n) for n in re.findall(r"\(run.sh\) stage (\d+): ", tiny_demo.output)) == tuple(STAGES)
    for banner in ("1: data ({}/data/: audio", "4: length ({}/dump/raw/: clips", "11: training ({}/exp/asr_*/: the"):
        assert f"stage {banner.format(tiny_demo.folder)}" in tiny_demo.output
    assert f"the report is {tiny_demo.asr_exp}/report.html" in tiny_demo.output


def test_a_test_set_of_ones_own_is_a_kaldi_folder(tiny_demo, tmp_path):
    """With segments, put beside those of stage 3; its name has a blank."""
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    utterances = read_data_dir(folder / "dump/raw/test_in")[:2]
    for place in ("data", "dump/raw"):
        write_data_dir(folder / place / "test_our own", [
            replace(u, id=f"{u.id}-{n}", start=start, end=end, samples=None)
            for u in utterances for n, (start, end) in enumerate(((0.0, 0.5), (0.4, -1.0)))])
    run = run_recipe(folder, "--stage", "12", "--stop_stage", "13")
    assert run.exit_code == 0, run.output
    results = folder / "exp/asr_train_asr_raw_char/decode_asr/test_our own"
    assert set(read_table(results / "text", allow_empty=True)) == {f"{u.id}-{n}" for u in utterances for n in range(2)}
    assert (results / "score_wer/result.txt").is_file()


def test_languages_may_share_an_expert(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    config = {"base": str(RECIPE / "conf/train_asr.yaml"), "encoder_conf": {"experts": {"iberian": ["es", "pt"]}}}
    (tmp_path / "groups.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    stages = "--stage", "11", "--stop_stage", "13"
    run = run_recipe(folder, *stages, "--asr_config", str(tmp_path / "groups.yaml"), *TINY_TRAINING)
    assert run.exit_code == 0, run.output
    weights = torch.load(folder / "exp/asr_groups_raw_char/model.pth")
    assert {len(weights[f"encoder.encoders.4.feed_forward.w_{n}.weight"]) for n in (1, 2)} == {1}
    assert len(weights["encoder.router.output.weight"]) == 2
    run = run_recipe(folder, *stages, "--asr_config", "conf/tuning/train_asr_demo_groups.yaml", *TINY_TRAINING)
    assert run.exit_code == 1 and "Traceback" not in run.output
    assert "encoder_conf: experts: 'germanic': unknown language 'de'; this model knows es, pt" in run.output


def test_what_a_killed_run_left_is_no_test_set(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    (folder / "data/test_out.unfinished").mkdir()
    again = run_recipe(folder, "--stage", "3", "--stop_stage", "5")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    "made",
    [
        "data/train/wav.scp",
        "dump/raw/train/utt2num_samples",
        "data/token_list/char/tokens.txt",
        "exp/asr_stats_raw_char/train/speech_shape",
        "exp/asr_train_asr_raw_char/config.yaml",
        "exp/asr_train_asr_raw_char/valid.cer_ctc.ave.pth",
        "exp/asr_train_asr_raw_char/decode_asr/test_in/text",
        "exp/asr_train_asr_raw_char/decode_asr_router_pruned/test_out/lang",
        "exp/asr_train_asr_raw_char/decode_asr/test_in/score_wer/result.txt",
        "exp/router_train_asr_raw_char/model.pth",
        "exp/asr_train_asr_raw_char/RESULTS.md",
        "exp/asr_train_asr_raw_char/report.html",
        "exp/asr_train_asr_raw_char/train_asr_raw_char.zip",
    ],
)
def test_every_stage_leaves_its_files(tiny_demo, made):
    assert (tiny_demo.folder / made).stat().st_size > 0


def test_all_utterances_of_all_test_sets_are_decoded(tiny_demo):
    for test_set in ("test_in", "test_out"):
        utterances = {u.id for u in read_data_dir(tiny_demo.folder / "dump/raw" / test_set)}
        for tag in ("decode_asr", "decode_asr_router", "decode_asr_router_pairs", "decode_asr_router_pruned"):
            for table in ("text", "lang", "timeline", "expert_frames"):
                assert read_table(tiny_demo.asr_exp / tag / test_set / table, allow_empty=True).keys() == utterances


def test_pruned_decoding_detects_allowed_languages_alone(tiny_demo):
    for test_set in ("test_in", "test_out"):
        truth = read_table(tiny_demo.folder / "dump/raw" / test_set / "utt2lang")
        detected = read_table(tiny_demo.asr_exp / "decode_asr_router_pruned" / test_set / "lang")
        assert {utterance: line.split()[0] for utterance, line in detected.items()} == truth


def test_each_list_of_allowed_languages_has_its_decoding(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    again = run_recipe(folder, "--stage", "17", "--stop_stage", "18", "--allowed_languages", "es,pt;pt es")
    assert again.exit_code == 0, again.output
    exp = folder / "exp/asr_train_asr_raw_char"
    for ending, groups in (("es-pt", {"es,pt"}), ("pt_es", {"es", "pt"})):
        assert set(read_table(exp / f"decode_asr_router_{ending}/test_in/utt2langs").values()) == groups
        assert f"pruning to {ending}" in (exp / "RESULTS.md").read_text()


def test_router_fine_tuning_leaves_every_other_weight_bit_identical(tiny_demo):
    before = torch.load(tiny_demo.asr_exp / "valid.cer_ctc.ave.pth", weights_only=True)
    after = torch.load(tiny_demo.folder / "exp/router_train_asr_raw_char/model.pth", weights_only=True)
    for name in before.keys() | after.keys():
        assert name.startswith("encoder.router.") or torch.equal(before[name], after[name]), name
    assert any(name.startswith("encoder.router.") for name in after)


def test_routers_are_compared_before_and_after(tiny_demo):
    table = (tiny_demo.folder / "exp/router_train_asr_raw_char/lid.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in table[1:3]] == [["test_in", "clean"]] * 2


def test_pairs_in_a_language_that_the_model_lacks(tiny_demo, tmp_path):
    pairs = [replace(u, text=None, label="fr") for u in read_data_dir(tiny_demo.folder / "dump/raw/valid")]
    write_data_dir(tmp_path / "our pairs", pairs)
    options = ["--router_pairs", str(tmp_path / "our pairs")]
    run = run_recipe(tiny_demo.folder, "--stage", "16", "--stop_stage", "16", *options)
    assert run.exit_code != 0
    assert re.search(r"pairs/utt2lang: utterance \S+ has language fr, which .*config.yaml lacks \(es, pt\)", run.output)
    assert (tiny_demo.folder / "exp/router_train_asr_raw_char/model.pth").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--router_pairs", "nowhere"], "nowhere/wav.scp does not exist"),
        (["--router_utterances", "1000"], "has only"),
    ],
)
def test_a_mistake_in_the_pairs_leaves_the_router_that_was_there(tiny_demo, options, message):
    run = run_recipe(tiny_demo.folder, "--stage", "16", "--stop_stage", "16", *options)
    assert run.exit_code != 0
    assert message in run.output
    assert (tiny_demo.folder / "exp/router_train_asr_raw_char/model.pth").is_file()


def test_one_language_needs_no_router(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    table = folder / "dump/raw/train/utt2lang"
    table.write_text(re.sub(r" pt$", " es", table.read_text(), flags=re.MULTILINE))
    shutil.rmtree(folder / "exp/router_train_asr_raw_char")
    for stages in ("16", "17"), ("20", "20"):
        run = run_recipe(folder, "--stage", stages[0], "--stop_stage", stages[1])
        assert run.exit_code == 0, run.output
        if stages[0] == "16":
            assert run.output.count("one language needs no router") == 2
    assert not (folder / "exp/router_train_asr_raw_char").exists()


def test_ctrl_c_ends_decoding_and_all_that_it_started(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    before = (folder / "exp/asr_train_asr_raw_char/decode_asr/test_in/text").read_text()
    places = [word for name in ("data", "dump", "exp") for word in (f"--{name}dir", str(folder / name))]
    run = subprocess.Popen(
        ["./run.sh", *places, "--stage", "12", "--stop_stage", "12"],
        cwd=RECIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in run.stdout:
        if line.startswith("decoding"):
            break
    os.killpg(run.pid, signal.SIGINT)
    run.stdout.read()
    assert run.wait(timeout=30) == 130
    with pytest.raises(ProcessLookupError):  # nothing is left of the group
        for _ in range(100):
            os.killpg(run.pid, 0)
            time.sleep(0.1)
    assert (folder / "exp/asr_train_asr_raw_char/decode_asr/test_in/text").read_text() == before


def test_scores_count_every_utterance_once(tiny_demo):
    scores = json.loads((tiny_demo.asr_exp / "scores.json").read_text())["scores"]
    assert {(s["decoding"], s["test_set"]) for s in scores} == {
        (tag, test_set)
        for tag in ("decode_asr", "decode_asr_router", "decode_asr_router_pairs", "decode_asr_router_pruned")
        for test_set in ("test_in", "test_out")
    }
    for entry in scores:
        if entry["by"] == "all":
            assert entry["WER"]["Snt"] == 6  # 3 sentences of 2 languages


def test_the_training_configuration_is_complete(tiny_demo):
    config = (tiny_demo.asr_exp / "config.yaml").read_text()
    assert "encoder: blr_moe" in config
    assert re.search(r"languages:\n\s+- es\n\s+- pt\n", config)


def test_stages_can_be_run_again(tiny_demo):
    again = run_recipe(tiny_demo.folder, "--stage", "13", "--stop_stage", "13")
    assert again.exit_code == 0, again.output
    assert "decode_asr_router_pruned" in again.output


def test_the_packed_model_gives_the_same_transcripts_elsewhere(tiny_demo, tmp_path, monkeypatch):
    from espnet_blrmoe import Speech2Text

    packed = shutil.copy(tiny_demo.asr_exp / "train_asr_raw_char.zip", tmp_path)
    with zipfile.ZipFile(packed) as archive:
        assert "README.md" in archive.namelist()  # the hub shows it
        assert str(tiny_demo.folder) not in archive.read("meta.yaml").decode()
    monkeypatch.chdir(tmp_path)
    router_exp = tiny_demo.folder / "exp/router_train_asr_raw_char"
    original = Speech2Text(router_exp / "config.yaml", router_exp / "model.pth", beam_size=1)
    unpacked = Speech2Text.from_pretrained(packed, tmp_path / "cache", beam_size=1)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=16000).astype(np.float32)
    first, second = original(waveform), unpacked(waveform)
    assert (first.text, first.language_probability) == (second.text, second.language_probability)


def test_global_statistics_and_a_training_set_in_parts(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / tiny_demo.folder.name)
    shapes = folder / "exp/asr_stats_raw_char/train/speech_shape"
    before = shapes.read_text()
    options = ["--feats_normalize", "global_mvn", "--num_splits_asr", "2", "--asr_tag", "in parts"]
    run = run_recipe(folder, "--stage", "10", "--stop_stage", "11", *options, *TINY_TRAINING)
    assert run.exit_code == 0, run.output
    assert shapes.read_text() == before, "the jobs of ESPnet find the same shapes as the table of lengths gives"
    stats = np.load(folder / "exp/asr_stats_raw_char/train/feats_stats.npz")
    assert stats["count"] > 0 and np.isfinite(stats["sum_square"]).all()
    parts = [set(read_table(folder / f"exp/asr_stats_raw_char/splits2/wav.scp/split.{n}")) for n in range(2)]
    assert parts[0] | parts[1] == set(read_table(folder / "dump/raw/train/wav.scp")) and not parts[0] & parts[1]
    config = (folder / "exp/asr_in parts/config.yaml").read_text()
    assert "normalize: global_mvn" in config and "multiple_iterator: true" in config


def test_streaming(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / "demo")
    options = ["--streaming", "true", "--chunk_ms", "160 320", *TINY_TRAINING]
    for stages in ("10", "12"), ("16", "18"):
        run = run_recipe(folder, "--stage", stages[0], "--stop_stage", stages[1], *options)
        assert run.exit_code == 0, run.output
    exp = folder / "exp/asr_train_asr_demo_streaming_raw_char"
    assert "normalize: running_mvn" in (exp / "config.yaml").read_text()
    router = yaml.safe_load((folder / "exp/router_train_asr_demo_streaming_raw_char/config.yaml").read_text())
    assert router["encoder_conf"]["router_conf"]["causal"]
    utterances = set(read_table(folder / "dump/raw/test_in/wav.scp"))
    for size in (160, 320):
        for ending in ("", "_router", "_router_pairs", "_router_pruned"):
            tables = exp / f"decode_asr_{size}ms{ending}/test_in"
            assert all(set(read_table(tables / name, allow_empty=True)) == utterances for name in ("text", "timeline"))
            assert f"decode_asr_{size}ms{ending}" in (exp / "RESULTS.md").read_text()


@pytest.fixture(scope="module")
def tiny_commonvoice(tmp_path_factory, shared_data):
    folder = tmp_path_factory.mktemp("commonvoice")
    artikulate = f"commonvoice:artikulate={shared_data / 'artikulate-mini'}"
    corpora = ["--corpus", "commonvoice", "--out_of_domain", artikulate]
    return run_recipe(
        folder, *corpora, "--langs", "fr zh-CN", "--stop_stage", "13", "--token_type", "bpe",
        "--nbpe", "900", "--speed_perturb_factors", "0.9 1.0", *TINY_TRAINING,
        COMMONVOICE=str(shared_data / "cv-mini"),
    )  # fmt: skip


def test_real_speech_goes_through_the_recipe(tiny_commonvoice):
    assert tiny_commonvoice.exit_code == 0, tiny_commonvoice.output
    train = read_data_dir(tiny_commonvoice.folder / "dump/raw/train_sp")
    assert {u.language for u in train} == {"fr", "zh-CN"}
    assert {u.id.startswith("sp0.9-") for u in train} == {True, False}
    tokens = (tiny_commonvoice.folder / "data/token_list/bpe900/tokens.txt").read_text().split()
    assert tokens[0] == "<blank>" and tokens[-1] == "<sos/eos>"
    domains = read_table(tiny_commonvoice.folder / "dump/raw/test_out/utt2domain")
    assert set(domains.values()) == {"artikulate"}
