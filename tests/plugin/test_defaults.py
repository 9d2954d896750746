"""What Speech2Text does when it is given no options."""

from pathlib import Path

import numpy as np
import pytest

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference


def test_a_ctc_model_is_decoded_by_its_ctc_whatever_ctc_weight_says(tiny_model):
    plain = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3)
    explicit = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3, ctc_weight=1.0)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=8000).astype(np.float32)
    assert plain(waveform).text == explicit(waveform).text
    assert plain.beam_search.weights["ctc"] == 1.0


def test_unreadable_audio_is_named(tiny_model, tmp_path: Path):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    scp = tmp_path / "wav.scp"
    scp.write_text(f"utt1 {tmp_path / 'broken.wav'}\n")
    options = ["--asr_train_config", tiny_model.config, "--asr_model_file", tiny_model.weights, "--output_dir", tmp_path]
    with pytest.raises(SystemExit, match="utterance utt1: .*broken.wav is missing or cannot be read"):
        asr_inference.main([*map(str, options), "--data_path_and_name_and_type", f"{scp},speech,sound"])
