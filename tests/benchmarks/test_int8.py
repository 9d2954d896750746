"""The benchmark of exported models scores what they recognise, and prints its table."""

import int8
from tiny import write_data_dir, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import export_onnx


def test_the_table(tmp_path, capsys):
    write_model(tmp_path / "asr")
    model = [f"--model={tmp_path / 'asr'}"]
    export_onnx.main([*model, f"--output_dir={tmp_path / 'onnx'}", "--quantize"])
    data = write_data_dir(tmp_path / "data", ["en", "de", "en"])
    recognise = Speech2Text.from_pretrained(tmp_path / "asr", beam_size=1)
    texts = [recognise(data / f"utt{n}.wav").text for n in range(3)]
    references = [*texts[:2], texts[2] + " x"]  # one word more than is recognised
    (data / "text").write_text("".join(f"utt{n} {text}\n" for n, text in enumerate(references)), encoding="utf-8")
    capsys.readouterr()
    int8.main([*model, f"--onnx_dir={tmp_path / 'onnx'}", f"--data_dir={data}"])
    printed = capsys.readouterr().out.splitlines()
    assert f"{data}: 3 utterances, 2 s" in printed
    words = len(" ".join(texts).split()) + 1
    for name in ("PyTorch float32", "ONNX float32"):
        cells = [cell.strip() for cell in next(line for line in printed if name in line).split("|")]
        assert cells[5] == f"{100 / words:.2f} (+0.00)"
        assert cells[7] == "3 of 3"
    assert any("ONNX int8" in line for line in printed)
