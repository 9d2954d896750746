"""The recipe inside an ESPnet checkout: how it gets there, what it asks of asr.sh, and that both places give one model.

The last needs an ESPnet checkout, whose folder ESPNET_ROOT names; the others make something that looks like one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from recipe_run import RECIPE, STAGES, TINY_CORPUS, TINY_TRAINING, run_recipe
from shared.data_dir import Utterance
from shared.kaldi_tables import read_table
from shared.write_data_dir import write_data_dir

# Notes its arguments. What --asr_args holds is split by a shell, as run.pl and slurm.pl do.
FAKE_ASR_SH = """#!/usr/bin/env python3
import json, subprocess, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
shown = subprocess.run(["bash", "-c", f"printf '%s\\\\n' {options['--asr_args']}"], capture_output=True, text=True)
options["--asr_args"] = shown.stdout.splitlines()
with open("calls.jsonl", "a") as calls:
    calls.write(json.dumps(options) + "\\n")
if options["--stage"] == "12":
    from pathlib import Path
    for test_set in options["--test_sets"].split():
        results = Path(options["--asr_exp"], options["--inference_tag"], test_set, "logdir/output.1/1best_recog")
        results.mkdir(parents=True)
        for table in ("lang", "timeline", "expert_frames"):
            (results / table).write_text(f"{test_set}-b {table}\\n{test_set}-a {table}\\n")
sys.exit("no such thing" if "--fail" in options["--asr_args"] else 0)
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with as much of an ESPnet checkout as the recipe looks at."""
    template = tmp_path / "espnet" / "egs2" / "TEMPLATE" / "asr1"
    for folder in ("utils", "scripts", "pyscripts", "steps", "conf"):
        (template / folder).mkdir(parents=True)
    for name, text in {
        "asr.sh": FAKE_ASR_SH,
        "path.sh": ". local/path.sh\n",
        "utils/run.pl": "",
        "conf/slurm.conf": "option gpu=* -p gpu\n",
        "conf/queue.conf": "",
        "conf/pbs.conf": "",
    }.items():
        (template / name).write_text(text)
    (template / "asr.sh").chmod(0o755)
    return tmp_path / "espnet"


def link(espnet_root: Path | str) -> subprocess.CompletedProcess:
    command = [RECIPE / "local" / "link_into_espnet.sh", espnet_root]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def recipe_of(espnet_root: Path) -> Path:
    return espnet_root / "egs2" / "blr_moe_masr" / "asr1"


def run(recipe: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """Run run.sh of a linked recipe with this Python."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["./run.sh", *options],
        cwd=recipe,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def calls_of(recipe: Path) -> list[dict]:
    return [json.loads(line) for line in (recipe / "calls.jsonl").read_text().splitlines()]


class TestLinking:
    def test_the_recipe_is_there_and_leads_to_this_clone_and_to_the_template(self, checkout):
        done = link(checkout)
        assert done.returncode == 0, done.stdout
        assert "./run.sh" in done.stdout
        recipe = recipe_of(checkout)
        for ours in ("run.sh", "local/score.py", "local/path.sh", "conf/train_asr.yaml", "conf/tuning"):
            assert (recipe / ours).samefile(RECIPE / ours)
        for theirs in ("asr.sh", "path.sh", "utils/run.pl", "scripts", "pyscripts", "steps"):
            assert (recipe / theirs).samefile(checkout / "egs2/TEMPLATE/asr1" / theirs)
        assert (recipe / "conf/slurm.conf").read_text() == "option gpu=* -p gpu\n"

    def test_a_second_time_keeps_what_the_user_has_edited(self, checkout):
        link(checkout)
        recipe = recipe_of(checkout)
        for name in ("cmd.sh", "db.sh", "conf/slurm.conf"):
            (recipe / name).write_text("mine\n")
        (recipe / "run.sh").unlink()
        (recipe / "run.sh").symlink_to("/a/clone/that/has/moved/run.sh")
        assert link(checkout).returncode == 0
        assert (recipe / "run.sh").samefile(RECIPE / "run.sh")
        for name in ("cmd.sh", "db.sh", "conf/slurm.conf"):
            assert (recipe / name).read_text() == "mine\n"

    def test_help_says_what_it_does(self):
        done = link("--help")
        assert done.returncode == 0
        assert done.stdout.startswith("Puts this recipe into an ESPnet checkout, as ESPNET_ROOT/egs2/blr_moe_masr")
        assert "#" not in done.stdout and "set -e" not in done.stdout

    def test_what_is_not_a_checkout_is_refused(self, checkout, tmp_path):
        template = checkout / "egs2/TEMPLATE/asr1"
        for root, message in {
            tmp_path / "nothing": "does not exist",
            tmp_path: "is not an ESPnet checkout",
        }.items():
            done = link(root)
            assert done.returncode != 0
            assert message in done.stdout
        shutil.rmtree(template / "utils")
        assert "Kaldi's scripts are missing" in link(checkout).stdout
        assert not recipe_of(checkout).exists()

    def test_a_foreign_folder_is_refused_and_left_alone(self, checkout):
        foreign = recipe_of(checkout) / "run.sh"
        foreign.parent.mkdir(parents=True)
        foreign.write_text("theirs\n")
        done = link(checkout)
        assert done.returncode != 0
        assert "move it away" in done.stdout
        assert [path.name for path in foreign.parent.iterdir()] == ["run.sh"]
        assert foreign.read_text() == "theirs\n"


@pytest.fixture
def prepared(checkout) -> Path:
    """A linked recipe after stage 5, with two languages, one of them Norwegian: YAML takes `no` for false."""
    link(checkout)
    recipe = recipe_of(checkout)
    for name in ("train", "valid", "test_in", "test_out", "router_train", "router_valid"):
        utterances = [
            Utterance(f"{name}-{key}", "audio.wav", language, f"{name}-{key}", "studio", "tekst", samples=16000)
            for key, language in (("a", "no"), ("b", "sv"))
        ]
        write_data_dir(recipe / "data" / name, utterances)
        if name.startswith("router"):
            write_data_dir(recipe / "dump/raw/org" / name, utterances)
        write_data_dir(recipe / "dump/raw" / name, utterances)
    tokens = recipe / "data/token_list/char/tokens.txt"
    tokens.parent.mkdir(parents=True)
    tokens.write_text("<blank>\n<unk>\nt\n<sos/eos>\n")
    return recipe


class TestStages:
    def test_asr_sh_trains_with_the_languages_of_the_training_set(self, prepared):
        done = run(prepared, "--stage", "10", "--stop_stage", "10", "--nj", "3", "--asr_args", "--max_epoch 2")
        assert done.returncode == 0, done.stdout
        (options,) = calls_of(prepared)
        assert (options["--stage"], options["--stop_stage"], options["--nj"]) == ("10", "10", "3")
        assert options["--python"] == "python3 -m espnet_blrmoe.run"
        assert options["--use_lm"] == "false"
        words = options["--asr_args"]
        assert words[words.index("--encoder_conf") + 1] == "languages=['no','sv']"
        assert words[words.index("--allow_variable_data_keys") + 1] == "true"
        for part in ("train", "valid"):
            table = words[words.index(f"--{part}_data_path_and_name_and_type") + 1]
            assert table == f"dump/raw/{part}/utt2lang,lid,text"
        assert words[-2:] == ["--max_epoch", "2"]

    def test_a_running_mean_begins_with_the_statistics_that_asr_sh_makes(self, prepared):
        shapes = prepared / "exp/asr_stats_raw_char/train/speech_shape"
        shapes.parent.mkdir(parents=True)
        shapes.touch()
        done = run(prepared, "--stage", "10", "--stop_stage", "11", "--streaming", "true")
        assert done.returncode == 0, done.stdout
        statistics, training = calls_of(prepared)
        assert statistics["--feats_normalize"] == training["--feats_normalize"] == "global_mvn"
        words = training["--asr_args"]
        assert words[words.index("--normalize") + 1] == "running_mvn"
        assert "--normalize" not in statistics["--asr_args"]

    def test_test_sets_and_folders_are_those_of_the_recipe(self, prepared):
        done = run(prepared, "--stage", "4", "--stop_stage", "4", "--dumpdir", "dump", "--max_wav_duration", "7")
        assert done.returncode == 0, done.stdout
        (options,) = calls_of(prepared)
        assert options["--test_sets"] == "test_in test_out"
        assert (options["--train_set"], options["--valid_set"], options["--dumpdir"]) == ("train", "valid", "dump")
        assert options["--max_wav_duration"] == "7"
        assert "dump/raw/router_train: 2 utterances" in done.stdout  # audio-language pairs are no business of asr.sh

    def test_domains_reach_the_formatted_data(self, prepared):
        for name in ("train", "test_in"):
            (prepared / "dump/raw" / name / "utt2domain").unlink()
        wav_scp = prepared / "dump/raw/train/wav.scp"
        wav_scp.write_text(wav_scp.read_text().splitlines()[0] + "\n")  # the length filter took the other
        for table in ("text", "utt2lang", "utt2spk", "utt2num_samples"):
            path = prepared / "dump/raw/train" / table
            path.write_text(path.read_text().splitlines()[0] + "\n")
        done = run(prepared, "--stage", "4", "--stop_stage", "4")
        assert done.returncode != 0 and "sv" in done.stdout  # a language that training has lost
        assert read_table(prepared / "dump/raw/train/utt2domain") == {"train-a": "studio"}
        assert read_table(prepared / "dump/raw/test_in/utt2domain") == {"test_in-a": "studio", "test_in-b": "studio"}

    def test_db_sh_may_have_the_line_ends_of_windows(self, prepared):
        (prepared / "db.sh").write_bytes(b"MLS='/nowhere/our mls'\r\n")
        done = run(prepared, "--corpus", "mls", "--stop_stage", "1")
        assert "mls: /nowhere/our mls does not exist. Correct mls=FOLDER, or MLS in db.sh" in done.stdout

    def test_languages_that_decoding_detects_are_gathered(self, prepared):
        exp = prepared / "exp/asr_train_asr_raw_char"
        exp.mkdir(parents=True)
        (exp / "config.yaml").write_text("encoder_conf: {languages: ['no', sv]}\n")
        (exp / "valid.cer_ctc.ave.pth").touch()
        for _ in range(2):  # what an earlier decoding left does not mix with it
            done = run(prepared, "--stage", "12", "--stop_stage", "12")
            assert done.returncode == 0, done.stdout
        lines = (exp / "decode_asr/test_in/lang").read_text().splitlines()
        assert lines == ["test_in-a lang", "test_in-b lang"]
        assert calls_of(prepared)[-1]["--batch_size"] == "16"  # of conf/decode_asr.yaml, which asr.sh would override

    def test_a_failure_of_asr_sh_ends_the_run(self, prepared):
        done = run(prepared, "--stage", "10", "--stop_stage", "11", "--asr_args", "--fail now")
        assert done.returncode != 0
        assert "stage 10 failed in asr.sh" in done.stdout
        assert len(calls_of(prepared)) == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--datadir", "elsewhere"], "leave out --datadir"),
            (["--dumpdir", "our dump"], "--dumpdir, --expdir and --asr_tag must have no blanks, quotes and the like"),
            (["--stage", "2", "--speed_perturb_factors", "0.9 1.0"], "asr.sh needs sox"),
            (["--stage", "13"], "asr.sh needs sclite"),
        ],
    )
    def test_what_asr_sh_needs_is_said_before_it_starts(self, prepared, tmp_path, options, message):
        programs = tmp_path / "programs"  # those that run.sh calls, and neither sox nor sclite
        programs.mkdir()
        for name in "awk bash basename date dirname env grep ls mkdir paste realpath sed tr".split():
            (programs / name).symlink_to(shutil.which(name))
        done = run(prepared, *options, PATH=f"{Path(sys.executable).parent}:{programs}")
        assert done.returncode != 0
        assert message in done.stdout
        assert not (prepared / "calls.jsonl").exists()


@pytest.fixture(scope="module")
def both_places(tmp_path_factory):
    """The folders of two tiny runs of all stages: with pip alone, and by the asr.sh of the checkout in ESPNET_ROOT."""
    if "ESPNET_ROOT" not in os.environ:
        pytest.skip("needs an ESPnet checkout; ESPNET_ROOT names its folder")
    root = Path(os.environ["ESPNET_ROOT"]).resolve()
    checkout = tmp_path_factory.mktemp("espnet")  # nothing is written into the user's
    (checkout / "egs2").mkdir()
    (checkout / "tools").symlink_to(root / "tools")
    (checkout / "egs2/TEMPLATE").symlink_to(root / "egs2/TEMPLATE")
    linked = link(checkout)
    assert linked.returncode == 0, linked.stdout
    options = (*TINY_CORPUS, *TINY_TRAINING)
    stock = run(recipe_of(checkout), *options, PYTHONPATH=str(RECIPE.parents[2]))
    assert stock.returncode == 0, stock.stdout
    # One process with one thread, as in the checkout: sums of floats depend on how they are split.
    one_process = ("--torchrun", "--standalone")
    alone = run_recipe(tmp_path_factory.mktemp("alone"), *options, *one_process, OMP_NUM_THREADS="1")
    assert alone.exit_code == 0, alone.output
    return alone.folder, recipe_of(checkout), stock.stdout


class TestBothPlaces:
    def test_every_stage_runs(self, both_places):
        _, _, output = both_places
        stages = [int(n) for n in re.findall(r"\(run.sh\) stage (\d+): ", output)]
        assert stages == list(STAGES)
        assert {int(n) for n in re.findall(r"\(asr.sh:\d+:main\) Stage (\d+): ", output)} == {3, 4, 10, 11, 12, 13}

    def test_tokens_and_shapes_are_the_same(self, both_places):
        alone, stock, _ = both_places
        for name in (
            "data/token_list/char/tokens.txt",
            "exp/asr_stats_raw_char/train/speech_shape",
            "exp/asr_stats_raw_char/train/text_shape.char",
            "exp/asr_stats_raw_char/valid/text_shape.char",
        ):
            assert (alone / name).read_text() == (stock / name).read_text(), name

    def test_the_models_are_the_same(self, both_places):
        alone, stock, _ = both_places
        for name in ("asr_train_asr_raw_char/valid.cer_ctc.ave.pth", "router_train_asr_raw_char/model.pth"):
            weights, others = (torch.load(place / "exp" / name, weights_only=True) for place in (alone, stock))
            assert weights.keys() == others.keys()
            for key in weights:
                assert torch.equal(weights[key], others[key]), f"{name}: {key}"

    def test_transcripts_and_languages_are_the_same(self, both_places):
        alone, stock, _ = both_places
        results = Path("exp/asr_train_asr_raw_char")
        for tag in ("decode_asr", "decode_asr_router", "decode_asr_router_pairs", "decode_asr_router_pruned"):
            for test_set in ("test_in", "test_out"):
                for table in ("text", "lang", "timeline"):
                    name = results / tag / test_set / table
                    assert (alone / name).read_text() == (stock / name).read_text(), name

    def test_sclite_scores_the_same(self, both_places):
        """It weighs substitutions with 4 and other errors with 3, so it may find some errors more than the fewest."""
        _, stock, output = both_places
        scores = json.loads((stock / "exp/asr_train_asr_raw_char/scores.json").read_text())["scores"]
        scores = [s for s in scores if s["by"] == "all" and s["decoding"] == "decode_asr"]
        ours = [score[measure] for score in scores for measure in ("CER", "WER")]
        sclite = [line.replace("|", " ").split() for line in re.findall(r"\| Sum/Avg *(\|.*)", output)][: len(ours)]
        assert len(sclite) == 4
        for (sentences, length, *_, errors, _), score in zip(sclite, ours):
            assert (int(sentences), int(length)) == (score["Snt"], score["Wrd"])
            assert score["Err"] - 0.1 < float(errors) < 1.1 * score["Err"] + 0.1
