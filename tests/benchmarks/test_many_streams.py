"""The benchmark of many streams finds those together the same as each alone, and nothing left of any."""

import many_streams
from streaming_model import write_streaming_model
from tiny import write_data_dir


def test_the_table(tmp_path, capsys):
    write_streaming_model(tmp_path / "asr")
    data = write_data_dir(tmp_path / "data", ["en", "de", "en"])
    command = [str(tmp_path / "asr"), "--data_dir", str(data), "--chunk_ms", "128", "--sessions", "20"]
    many_streams.main([*command, "--seconds", "1", "--at_once", "7", "--hours", "0.002"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "|" in line]
    _, together, long = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert together[:3] == ["20, 7 at once", "0 of 16", "0"]
    assert long[:3] == ["one, 0.002 h", "-", "-"] and long[4] == "7"
