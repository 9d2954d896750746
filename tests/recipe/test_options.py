"""The options of run.sh and of its scripts: --help, names, and what is said to wrong values."""

import re
import subprocess

import pytest
from recipe_run import RECIPE, STAGES, run_recipe

FREE = str(min(set(range(1, max(STAGES))) - {*STAGES}))  # a number between those of stages


def test_help_has_every_option_and_stage():
    script = (RECIPE / "run.sh").read_text(encoding="utf-8")
    table = script.partition("STAGES=(")[0]
    options = re.findall(r'^([a-z_]+)=("[^"]*"|\S*) +# (.+)$', table, flags=re.MULTILINE)
    assert len(options) == len(re.findall(r"^[a-z_]+=", table, flags=re.MULTILINE)) > 40, "an option has no comment"
    shown = run_recipe(RECIPE, "--help").output
    for name, default, comment in options:
        assert re.search(rf"^  --{name} +{re.escape(comment)}", shown, flags=re.MULTILINE)
        assert not default or f"(default {default})" in shown
    for number, name in STAGES.items():
        assert re.search(rf"^ +{number} {name} +\S", shown, flags=re.MULTILINE)


def test_every_option_and_stage_is_used():
    table, _, rest = (RECIPE / "run.sh").read_text(encoding="utf-8").partition("STAGES=(")
    rest += "".join(path.read_text(encoding="utf-8") for path in (RECIPE / "local/shared").glob("*.sh"))
    for name in re.findall(r"^([a-z_]+)=", table, flags=re.MULTILINE):
        assert re.search(rf"\$\{{{name}[:}}/]|\(\({name}\b", rest), name
    assert re.findall(r"^if begin (\w+)", rest, flags=re.MULTILINE) == list(STAGES.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stage", "3"], "run stage 1 first"),
        (["--stage", "10"], "run stage 5 first"),
        (["--stage", "11"], "run stage 10 first"),
        (["--stage", "12"], "run stage 11 first"),
        (["--stage", "16"], "run stage 11 first"),
        (["--corpus", "nothing"], "corpus 'nothing' is unknown; choose from aishell, ascend, commonvoice, cs_fleurs"),
        (["--corpus", "nowhere.corpus"], "corpus nowhere.corpus: there is no module nowhere; install the package"),
        (["--corpus", "json.decoder"], "decoder.py lacks LAYOUT, languages, read; docs/corpora.md says what"),
        (["--corpus", ""], "--corpus is empty; docs/corpora.md lists the corpora"),
        (["--out_of_domain", "nothing"], "corpus 'nothing' is unknown; choose from"),
        (["--digits", "words"], "--digits words: unknown; choose one of: kept, spelled"),
        (["--langs", "en xx"], "no text for the language 'xx'"),
        (["--langz", "en"], "unknown option --langz"),
        (["--langs"], "option --langs needs a value"),
        (["--stage", "one"], "--stage must be a whole number, not 'one'"),
        (["--nj", "0"], "--nj must be at least 1"),
        (["--stage", "5", "--stop_stage", "3"], "no stage lies between --stage 5 and --stop_stage 3"),
        (["--stage", "98", "--stop_stage", "99"], "no stage lies between"),
        (["--stage", FREE, "--stop_stage", FREE], "no stage lies between"),
        (["--token_type", "abc"], "--token_type abc: unknown; choose one of: char, bpe"),
        (["--feats_normalize", "none"], "unknown; choose one of: utterance_mvn, global_mvn, running_mvn"),
        (["--streaming", "yes"], "--streaming yes: unknown; choose one of: true, false"),
        (["--streaming", "true", "--chunk_ms", ""], "--chunk_ms is empty; it lists chunks in milliseconds, as in"),
        (["--num_splits_asr", "0"], "--num_splits_asr must be at least 1"),
        (["--asr_config", "conf/none.yaml"], "conf/none.yaml does not exist"),
        (["--inference_tag", "decode_router"], "_router: _router stands for the fine-tuned router"),
        (["--inference_tag", "beam"], "--inference_tag must begin with decode_, not 'beam'"),
        (["--corpus", "commonvoice"], "commonvoice: where is it? Write COMMONVOICE=FOLDER into db.sh"),
        (["--num_nodes", "2"], "local/run_jobs.sh runs jobs on this machine only; name the machines with --host"),
        (["--host", "a,b", "--num_nodes", "2"], "--host names the machines; leave --num_nodes out"),
        (["--host", "a,b", "--torchrun", "--standalone"], "--host and --torchrun are two ways to start a training"),
        (["--corpus", "mls=/nowhere"], "mls: /nowhere does not exist. Correct mls=FOLDER"),
        (["--asr_args", "--init_param 'a b"], "--asr_args --init_param 'a b: a quote has no end"),
        (["--dumpdir", "a,b"], "a,b: options of ESPnet end a path at a comma; choose --dumpdir, --expdir and"),
        (["--asr_tag", "a,b"], "exp/router_a,b: options of ESPnet end a path at a comma"),
        (["--datadir", "a\nb"], "must be one line of UTF-8, and begin with neither a blank nor '-'"),
        (["--expdir", " a"], "--expdir \\ a: the name of the folder must be one line of UTF-8"),
        (["--downloads", "\udcff"], "--downloads $'\\377': the name of the folder must be one line of UTF-8"),
    ],
)
def test_mistakes_get_one_clear_sentence(tmp_path, options, message):
    run = run_recipe(tmp_path, *options, COMMONVOICE="")
    assert run.exit_code != 0
    assert message in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("stage", ["11", "12", "16"])
def test_tokens_of_another_type_than_the_models(tmp_path, stage):
    folder = tmp_path / "exp/asr_mine"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("token_list: [a]\ntoken_type: char\n")
    run = run_recipe(tmp_path, "--stage", stage, "--token_type", "bpe", "--asr_tag", "mine")
    assert run.exit_code != 0
    sentence = f"--token_type bpe: the tokens of {folder} are of the type char; give that type, or another model's"
    assert run.output.startswith(sentence) and run.output.count("\n") == 1


def test_further_options_are_split_as_in_a_shell():
    command = '. local/shared/parse_options.sh; words "$1"'
    text = "--init_param '/my models/x.pth' conf/* --encoder_conf languages=\"['no','sv']\" a\\ b"
    run = subprocess.run(["bash", "-c", command, "run.sh", "--", text], cwd=RECIPE, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "--init_param", "/my models/x.pth", "conf/*", "--encoder_conf", "languages=['no','sv']", "a b"]


def test_jobs_are_numbered_by_a_name_of_ones_own(tmp_path):
    command = ["local/run_jobs.sh", "__JOB__=1:2", f"{tmp_path}/JOB/__JOB__.log", "echo", "JOB", "__JOB__", "$x *"]
    subprocess.run(command, cwd=RECIPE, check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "JOB").iterdir()} == {
        f"{n}.log": f"JOB {n} $x *\n" for n in (1, 2)}


def test_a_clone_on_windows_has_scripts_that_run(tmp_path):
    """Git for Windows is installed with core.autocrlf=true."""
    root = RECIPE.parents[2]
    if subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True).returncode:
        pytest.skip("this is no clone")
    clone = tmp_path / "clone"
    windows = ["git", "-c", "core.autocrlf=true", "clone", "--quiet", "--depth", "1"]
    subprocess.run([*windows, root.as_uri(), clone], check=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True).stdout.decode()
    contents = {name: (clone / name).read_bytes() for name in tracked.split("\0") if (clone / name).is_file()}
    assert [name for name, text in contents.items() if b"\r" in text and b"\0" not in text] == []


def test_the_former_name_of_an_option(tmp_path):
    run = run_recipe(tmp_path, "--prune", "es,pt", "--stage", "3")
    assert run.output.startswith("--prune is now called --allowed_languages\n")
    assert "run stage 1 first" in run.output


@pytest.mark.parametrize("script", ["local/decode.sh", "local/train.sh", "local/collect_stats.sh"])
def test_scripts_print_their_options(script):
    command = [script, "--help"]
    shown = subprocess.run(command, cwd=RECIPE, capture_output=True, text=True, check=True).stdout
    assert script in shown and "\nOptions:\n  --" in shown
