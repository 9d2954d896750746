"""What programs print arrives whole and readable, or they end without a traceback."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    path
    for folder in ("espnet_blrmoe", "egs2/blr_moe_masr/asr1/local")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
PRINTED = ("a line", "a line" * 10_000)  # less than Python keeps back, and more
WORDS = "für 東京 \U0001f600 caf\udce9"  # the last letter: a byte of a file name that is not UTF-8

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(script: str, stdout: int | str = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess:
    """Run a script whose function `main` is a program's."""
    script = f"import sys\nfrom espnet_blrmoe.program import start\n{script}\nstart(main)"
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    if isinstance(stdout, str):
        with open(stdout, "w") as file:
            return subprocess.run(command, stdout=file, stderr=subprocess.PIPE, env=environment)
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment)


@pytest.fixture
def nobody() -> int:
    """A pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_is_started_so(path):
    *_, last = ast.parse(path.read_text(encoding="utf-8")).body
    called = {node.func.id for node in ast.walk(last) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
    assert "start" in called or path.name == "main.py"  # whose main does that, since pip's command calls it too


def test_interrupted_by_ctrl_c():
    heed = "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"  # as in no background job
    done = run(f"{heed}\ndef main():\n  print('a line')\n  os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"a line\n", b"")


@pytest.mark.parametrize("text", PRINTED, ids=len)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flush", [False, True])
def test_a_reader_that_has_left(nobody, text, unbuffered, flush):
    done = run(f"def main(): print({text!r}, flush={flush})", nobody, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("text", PRINTED, ids=len)
@pytest.mark.parametrize("end", ["", "\n    sys.exit(0)"])
def test_a_full_disk(text, end):
    done = run(f"def main():\n    print({text!r}){end}", "/dev/full")
    sentence = b"standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_what_a_program_cleans_up_when_nobody_reads_its_output(nobody):
    script = """
def main():
    try:
        print("a line", flush=True)
    except OSError:
        print("taken for a file that cannot be written", file=sys.stderr)
    finally:
        print("cleaned up", file=sys.stderr)
"""
    assert run(script, nobody).stderr == b"cleaned up\n"


def test_why_a_program_fails_is_told_whatever_becomes_of_its_output(nobody):
    for stdout in (nobody, "/dev/full"):
        done = run("def main():\n    print('a line')\n    sys.exit('no such file')", stdout)
        assert (done.returncode, done.stderr) == (1, b"no such file\n")
        done = run("def main():\n    print('a line')\n    raise KeyError('a fault of ours')", stdout)
        assert done.returncode == 1 and done.stderr.endswith(b"KeyError: 'a fault of ours'\n")


def test_without_an_output():
    with_nothing = "import os\nos.close(1)\nsys.stdout = sys.__stdout__ = None\ndef main(): print('a line')"
    done = run(with_nothing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii", **ASCII},
        {"PYTHONIOENCODING": "", **ASCII},
        {"PYTHONIOENCODING": "utf-8"},
    ],
    ids=str,
)
def test_letters_that_a_terminal_lacks(environment):
    done = run(f"import json\ndef main(): print(json.dumps({WORDS!a}, ensure_ascii=False))", **environment)
    printed = done.stdout.decode("latin-1" if "latin-1" in environment.values() else "utf-8")
    assert (done.returncode, done.stderr, json.loads(printed)) == (0, b"", WORDS)
    assert ("für" in printed) == (environment["PYTHONIOENCODING"] != "ascii")
    assert ("東京" in printed) == (environment["PYTHONIOENCODING"] in ("", "utf-8"))


def test_names_of_files_in_a_locale_of_ascii_only(tmp_path):
    (tmp_path / "für.wav").write_text("")
    script = f"import os\ndef main(): print(os.path.exists({str(tmp_path)!r} + '/f\\xfcr.wav'), sys.argv[1:])"
    done = run(script, **ASCII, PYTHONIOENCODING="")
    assert done.stdout == b"True []\n"


def test_a_program_within_another():
    script = "def inner(): print('für')\ndef main():\n    start(inner)\n    print('a line')"
    assert run(script, PYTHONIOENCODING="ascii").stdout == b"f\\u00fcr\na line\n"
