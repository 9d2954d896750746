"""The example of docs/corpora.md, as a third party's package: run.sh finds it by its dotted path."""

import re
import shlex
from pathlib import Path

import pytest
from corpus_folders import write_audio, write_rows
from recipe_run import run_recipe
from shared.data_dir import read_data_dir
from shared.kaldi_tables import read_table

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("## Adding a corpus\n")[2].partition("\n## ")[0]


def block(language: str) -> str:
    """The section's code block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def packages(tmp_path) -> Path:
    """A folder with the package `mypackage`, whose module `talks` is the document's."""
    package = tmp_path / "packages" / "mypackage"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "talks.py").write_text(block("python"), encoding="utf-8")
    return package.parent


@pytest.fixture
def talks(tmp_path) -> Path:
    """A corpus in the layout of the document's example."""
    root = tmp_path / "talks"
    for language in ("de", "en"):
        write_audio(root / language / "audio" / "a.flac")
        rows = [{"file": "a.flac", "speaker": "ann", "words": "Hello!"}]
        for split in ("train", "valid", "test"):
            write_rows(root / language / f"{split}.tsv", "file speaker words", rows)
    return root


def test_the_documents_corpus_goes_through_run_sh(packages, talks, tmp_path):
    setting, *command = shlex.split(block("sh"))
    assert (setting, command[0]) == ("PYTHONPATH=/path/to/packages", "./run.sh")
    options = [word.replace("/path/to/talks", str(talks)) for word in command[1:]]
    run = run_recipe(tmp_path, *options, "--stop_stage", "1", PYTHONPATH=str(packages))
    assert run.exit_code == 0, run.output
    (german, english) = sorted(read_data_dir(tmp_path / "data" / "train"), key=lambda u: u.language)
    assert (german.language, english.language, english.text) == ("de", "en", "hello")
    assert set(read_table(tmp_path / "data" / "train" / "utt2domain").values()) == {"talks"}
    # Its name is in those of the experiments; without a configuration of its own, that of real speech is trained.
    assert (tmp_path / "exp" / "asr_train_asr_commonvoice_raw_talks_char").is_dir()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import nothing_of_this_name", "mypackage.talks cannot be imported: No module named 'nothing_of_this_name'"),
        ("LAYOUT = ''", "talks.py lacks languages, read; docs/corpora.md says what the module of a corpus has"),
    ],
)
def test_a_module_that_is_not_a_corpus(packages, tmp_path, module, message):
    (packages / "mypackage" / "talks.py").write_text(module)
    run = run_recipe(tmp_path, "--corpus", "mypackage.talks=/nowhere", PYTHONPATH=str(packages))
    assert run.exit_code != 0
    assert message in run.output and "Traceback" not in run.output


def test_a_corpus_of_its_own_together_with_one_of_the_recipe(packages, talks, tmp_path):
    corpora = f"mypackage.talks:stage={talks} espeak"
    options = ("--langs", "en", "--train_hours", "0.001", "--test_sentences", "1", "--stop_stage", "1")
    run = run_recipe(tmp_path, "--corpus", corpora, *options, PYTHONPATH=str(packages))
    assert run.exit_code == 0, run.output
    assert {u.domain for u in read_data_dir(tmp_path / "data" / "train")} > {"stage"}
    assert {u.text for u in read_data_dir(tmp_path / "data" / "router_train")} == {None}


def test_sets_of_its_own(packages, talks, tmp_path):
    with (packages / "mypackage" / "talks.py").open("a") as module:
        module.write('\nSPLITS = ("train", "valid", "test", "test_dev")\n')
    row = {"file": "a.flac", "speaker": "bob", "words": "Ja"}
    write_rows(talks / "de" / "test_dev.tsv", "file speaker words", [row])
    run = run_recipe(tmp_path, "--corpus", f"mypackage.talks={talks}", "--stop_stage", "1", PYTHONPATH=str(packages))
    assert run.exit_code == 0, run.output
    assert [u.text for u in read_data_dir(tmp_path / "data" / "test_dev")] == ["ja"]
