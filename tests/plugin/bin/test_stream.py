"""The command that listens: espnet-blrmoe stream."""

import io
import json
import re
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import soundfile
from laid_out import ROOT
from streaming_model import CHUNK_MS, write_streaming_model
from tiny import RATE, speech_of

from espnet_blrmoe import StreamingRecogniser, StreamPart, Word
from espnet_blrmoe.bin import main, stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a model, config.yaml and model.pth, and a recording of it."""
    folder = tmp_path_factory.mktemp("streaming")
    write_streaming_model(folder)
    soundfile.write(folder / "talk.wav", speech_of(2.0, seed=0), RATE, subtype="PCM_16")
    return folder


@pytest.fixture
def options(folder) -> list[str]:
    return ["--model", str(folder), "--chunk_ms", str(CHUNK_MS)]


def expected_parts(folder: Path, **options) -> list[dict]:
    recogniser = StreamingRecogniser(folder / "config.yaml", folder / "model.pth", CHUNK_MS)
    session = recogniser.start(**options)
    parts = [*session.feed(soundfile.read(folder / "talk.wav", dtype="float32")[0]), session.finish()]
    return [json.loads(json.dumps(asdict(part))) for part in parts]


def assert_same(lines: list[str], expected: list[dict], file: str) -> None:
    for line, part in zip(map(json.loads, lines), expected, strict=True):
        assert line.pop("file") == file
        assert line.pop("language_probability") == pytest.approx(part.pop("language_probability"), abs=1e-4)
        assert line == part


def test_a_file(folder, options, capsys):
    file = str(folder / "talk.wav")
    stream.main([file, *options, "--json", "--languages", "en,de"])
    assert_same(capsys.readouterr().out.splitlines(), expected_parts(folder, languages="en,de"), file)
    stream.main([file, *options])
    words = [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert " ".join(words) == expected_parts(folder)[-1]["text"]


def test_standard_input(folder, options, capsys, monkeypatch):
    samples = soundfile.read(folder / "talk.wav", dtype="int16")[0]

    class Pipe(io.BytesIO):
        """Gives an odd number of bytes at a time."""

        def read1(self, size: int = -1) -> bytes:
            return self.read(777)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Pipe(samples.astype("<i2").tobytes())))
    stream.main(["-", *options, "--json"])
    assert_same(capsys.readouterr().out.splitlines(), expected_parts(folder), "-")


def test_the_examples_of_the_document(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/streaming.md").read_text(encoding="utf-8")
    with_pytorch, without = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    write_streaming_model(tmp_path / "exp/streaming", languages=["de", "en", "pt"])
    soundfile.write(tmp_path / "talk.mp3", speech_of(3.0, seed=0), RATE)
    monkeypatch.chdir(tmp_path)
    exec(compile(with_pytorch, "docs/streaming.md", "exec"), {"__name__": "example"})
    assert re.match(r"^\d\.\d\d s \((de|en)\): ", capsys.readouterr().out)
    main.main(["export", "--model", "exp/streaming", "--output_dir", "exp/streaming_onnx", "--chunk_ms", "320"])
    capsys.readouterr()
    example = {"__name__": "example"}
    exec(compile(without, "docs/streaming.md", "exec"), example)
    session = StreamingRecogniser.from_pretrained("exp/streaming", chunk_ms=320).start()
    *_, last = session.feed(example["samples"])
    assert last.end > 3.0 and " ".join(capsys.readouterr().out.split()) == last.text


def test_real_time(folder, options, tmp_path, capsys):
    soundfile.write(tmp_path / "short.wav", speech_of(0.7, seed=0), RATE)
    begun = time.monotonic()
    stream.main([str(tmp_path / "short.wav"), *options, "--json", "--real_time"])
    assert time.monotonic() - begun > 0.7


def test_what_goes_wrong_with_a_file_is_told_after_the_others(folder, options, tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as ended:
        stream.main([str(tmp_path / "gone.wav"), str(folder / "talk.wav"), *options, "--json"])
    output = capsys.readouterr()
    assert ended.value.code == 1 and output.err.startswith("stream: ") and "gone.wav" in output.err
    assert len(output.out.splitlines()) == len(expected_parts(folder))


def test_standard_input_that_ends_within_a_sample_is_heard_all_the_same(folder, options, capsys, monkeypatch):
    samples = soundfile.read(folder / "talk.wav", dtype="int16")[0].astype("<i2").tobytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(samples + b"\0")))
    with pytest.raises(SystemExit):
        stream.main(["-", *options, "--json"])
    output = capsys.readouterr()
    assert output.err.startswith("stream: standard input ends within a sample")
    assert_same(output.out.splitlines(), expected_parts(folder), "-")


def test_standard_input_that_is_a_file_or_closed(folder, options, capsys, monkeypatch):
    wav = io.TextIOWrapper(io.BytesIO((folder / "talk.wav").read_bytes()))
    for stdin, message in (wav, "is an audio file; write samples without a header"), (None, "is closed"):
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(SystemExit):
            stream.main(["-", *options, "--json"])
        output = capsys.readouterr()
        assert output.err.startswith(f"stream: standard input {message}") and not output.out


def test_people_read_a_script_without_spaces_as_it_is_written(capsys):
    words = tuple(Word(0.5, 1.0, text, 1.0, "zh-CN") for text in "你好")
    stream.show("talk.wav", StreamPart(0.0, 1.0, "你好吗", "你好", words, "zh-CN", 0.9, ()), "你好", as_json=False)
    assert capsys.readouterr().out == "talk.wav 0.50 (zh-CN, 90%): 你好\n"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--languages", "fr"], "stream: unknown language 'fr'"),
        (["--rate", "5"], "stream: .*5"),
        (["--chunk_ms", "99"], "stream: chunk_ms must be a multiple of 32"),
        (["--device", "gpu"], "stream: cannot use device 'gpu'"),
    ],
)
def test_mistakes_in_options(options, wrong, message):
    with pytest.raises(SystemExit, match=message):
        stream.main(["-", *options, *wrong])
