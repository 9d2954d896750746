"""The dense contestant is of the same size, and the table is printed."""

import pytest
import training_step
import yaml
from tiny import CONFIG
from training_scale import build_model


@pytest.mark.parametrize("block_type", ["transformer", "conformer"])
def test_the_table(tmp_path, capsys, block_type):
    encoder_conf = {**CONFIG["encoder_conf"], "block_type": block_type, "dropout_rate": 0.3}
    if block_type == "conformer":
        encoder_conf["block_conf"] = {"cnn_module_kernel": 5}
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "encoder_conf": encoder_conf, "token_list": None}), encoding="utf-8")
    options, model = build_model(config, 1, 20)
    dense = training_step.build_dense(options)
    blocks, own_blocks = (sum(p.numel() for p in m.encoder.encoders.parameters()) for m in (dense, model))
    assert blocks == own_blocks
    assert dense.encoder.encoders[0].dropout.p == 0.3
    training_step.main([str(config), "--languages", "2", "--vocab", "20", "--rounds", "2", "--seconds", "20"])
    printed = capsys.readouterr().out
    for words in ("20 s of speech", "dense (ESPnet)", "train.yaml, 2 languages", "the same, 8 languages"):
        assert words in printed
