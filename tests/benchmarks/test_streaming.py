"""The benchmark of streams hears every utterance once, and prints its table."""

import json

import streaming
import yaml
from streaming_model import ENCODER, write_streaming_model
from tiny import CONFIG, write_data_dir


def test_the_table(tmp_path, capsys):
    write_streaming_model(tmp_path / "asr")
    config = {**CONFIG, "encoder_conf": {**ENCODER, "languages": streaming.LANGUAGES}}
    (tmp_path / "untrained.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    data, results = write_data_dir(tmp_path / "data", ["en", "de", "en"]), tmp_path / "results.jsonl"
    (data / "text").write_text("".join(f"utt{n} a b\n" for n in range(3)), encoding="utf-8")
    models = [f"trained={tmp_path / 'asr'}", f"again={tmp_path / 'asr'}", f"new={tmp_path / 'untrained.yaml'}"]
    command = [*models, "--data_dir", str(data), "--results", str(results), "--chunk_ms", "128", "256", "whole"]
    command += ["--plot", str(tmp_path / "plot.svg")]
    streaming.main(command)
    first = capsys.readouterr().out
    lines = results.read_text(encoding="utf-8").splitlines()
    assert len({tuple(list(json.loads(line).values())[:4]) for line in lines}) == len(lines) == 3 * 3 * 3
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first.splitlines() if "|" in line]
    rows = {(cell[0], cell[1]): cell[2:] for cell in cells}
    assert len(rows) == 10 + 4  # with those of differences
    assert rows["trained, 128", "again, 128"] == ["0.0 [0.0, 0.0]"]
    assert rows["trained", "whole"][5] == "-" and "[" in rows["trained", "128"][5]
    assert rows["trained", "128"][0] == "288 ms" and rows["trained", "whole"][0] == "-"
    assert all(float(own[1]) > 0 for (name, _), own in rows.items() if name in ("trained", "again", "new"))
    assert rows["new", "128"][-5:] == ["-"] * 5
    assert float(rows["trained", "256"][4]) > 0
    assert "trained" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
    results.write_text("\n".join(lines[:4]) + "\n", encoding="utf-8")  # as if it had been stopped there
    streaming.main(command)
    again = results.read_text(encoding="utf-8").splitlines()
    assert again[:4] == lines[:4] and len(again) == len(lines)


def test_when_a_language_has_settled():
    assert streaming.settled_at([("de", 0.3), ("en", 0.6), ("en", 0.9)], "en") == 0.6
    assert streaming.settled_at([("en", 0.3), ("en", 0.6)], "en") == 0.3
    assert streaming.settled_at([("en", 0.3), ("de", 0.6)], "en") is None
