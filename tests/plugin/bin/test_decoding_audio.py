"""The decoding program and audio: unusable, of other rates, in stretches, chosen, read ahead."""

import os
import subprocess
import sys
from multiprocessing.process import BaseProcess

import numpy as np
import pytest
import soundfile
import yaml
from recognition import BEST_PATH, expect_results, read_table
from tiny import (
    RATE,
    speech_of,
)

from espnet_blrmoe import Speech2Text


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(("samples", "message"), [([], "is empty"), ([0.1, np.nan], "holds NaN")])
def test_unusable_audio_is_named_and_leaves_the_results_as_they_were(decode, recordings, samples, message, workers):
    before = {path.name: path.read_text() for path in decode().iterdir()}
    soundfile.write(recordings / "utt2.wav", np.array(samples, dtype=np.float32), RATE, subtype="FLOAT")
    with pytest.raises(SystemExit, match=f"^asr_inference: utterance utt2: .*utt2.wav {message}[^\n]*$"):
        decode("--languages", "en", "--batch_size", "1", "--num_workers", workers)
    folder = recordings.parent / "decoded"
    assert [path.name for path in folder.iterdir()] == ["1best_recog"]
    assert {path.name: path.read_text() for path in (folder / "1best_recog").iterdir()} == before


def test_decoding_of_other_sampling_rates(decode, speech2text, recordings):
    for n, rate in enumerate([8000, 44100]):
        soundfile.write(recordings / f"utt{n}.wav", speech_of(1.5, seed=n)[: int(1.2 * rate)], rate, subtype="FLOAT")
    tables = {name: read_table(decode() / name) for name in ("score", "expert_frames")}
    for n in range(3):
        transcript = speech2text(recordings / f"utt{n}.wav")
        assert float(tables["score"][f"utt{n}"]) == pytest.approx(float(transcript.hypotheses[0][3].score), rel=1e-4)
        frames = " ".join(f"{code}:{frames}" for code, frames in transcript.frames.items())
        assert tables["expert_frames"][f"utt{n}"] == frames


def test_decoding_of_chosen_utterances_and_of_arrays(decode, recordings, tmp_path):
    texts = read_table(decode() / "text")
    (tmp_path / "keys").write_text("utt2\nutt0\n")
    assert read_table(decode("--key_file", str(tmp_path / "keys")) / "text") == {n: texts[n] for n in ("utt2", "utt0")}
    np.save(tmp_path / "utt1.npy", soundfile.read(recordings / "utt1.wav")[0])
    (tmp_path / "npy.scp").write_text(f"utt1 {tmp_path / 'utt1.npy'}\n")
    decoded = decode(data=f"{tmp_path / 'npy.scp'},speech,npy")
    assert read_table(decoded / "text") == {"utt1": texts["utt1"]}


@pytest.mark.parametrize("workers", ["0", "1", "3"])
def test_threads_that_read_ahead_keep_the_order(decode, speech2text, recordings, workers):
    expect_results(decode("--num_workers", workers), speech2text, recordings, [None] * 3)
    expect_results(decode("--num_workers", workers, "--batch_size", "1"), speech2text, recordings, [None] * 3)


@pytest.mark.parametrize("model", ["tiny_model", "plain_model"])
def test_no_recording_goes_through_another_process(decode, request, monkeypatch, model):
    def refuse(process: BaseProcess) -> None:
        raise AssertionError("what a process hands over needs room in /dev/shm")

    monkeypatch.setattr(BaseProcess, "start", refuse)
    folder = decode("--num_workers", "2", "--beam_size", "1", model=request.getfixturevalue(model))
    assert read_table(folder / "text").keys() == {"utt0", "utt1", "utt2"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small /dev/shm")
def test_decoding_where_shared_memory_is_small(tiny_model, recordings, tmp_path):
    soundfile.write(recordings / "utt0.wav", speech_of(60.0, seed=5), RATE)  # 2 MB as floats
    mount = "mount -t tmpfs -o size=256k tmpfs /dev/shm"
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    command = [sys.executable, "-m", "espnet_blrmoe.bin.asr_inference", "--model", str(tiny_model.config.parent),
               "--data_path_and_name_and_type", f"{recordings / 'wav.scp'},speech,sound", "--num_workers", "1",
               "--output_dir", str(tmp_path / "out")]  # fmt: skip
    command = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    assert read_table(tmp_path / "out/1best_recog/text").keys() == {"utt0", "utt1", "utt2"}


def test_decoding_of_kaldis_segments(decode, speech2text, recordings):
    (recordings / "segments").write_text("a utt1 0.2 0.5\nb utt0 0 -1\nc utt1 0 0.3\n", encoding="utf-8")
    texts = read_table(decode() / "score")
    speeches = {name: soundfile.read(recordings / f"{name}.wav")[0] for name in ("utt0", "utt1")}
    parts = {"a": speeches["utt1"][1600:4000], "b": speeches["utt0"], "c": speeches["utt1"][:2400]}
    for utterance, transcript in zip(parts, speech2text.batch(list(parts.values()))):
        assert float(texts[utterance]) == pytest.approx(float(transcript.hypotheses[0][3].score), rel=1e-4)
    assert texts.keys() == parts.keys()


def test_the_volume_of_the_training(tiny_model, tmp_path):
    config = yaml.safe_load(tiny_model.config.read_text()) | {"speech_volume_normalize": 0.5}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    speech = speech_of(1.0, seed=3)
    as_trained = Speech2Text(tmp_path / "config.yaml", tiny_model.weights, **BEST_PATH)
    by_hand = Speech2Text(tiny_model.config, tiny_model.weights, **BEST_PATH)(0.5 * speech / np.abs(speech).max())
    assert as_trained(3 * speech).language_probability == pytest.approx(by_hand.language_probability, rel=1e-4)


def test_a_ctc_model_is_decoded_by_its_ctc_whatever_ctc_weight_says(tiny_model):
    plain = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3)
    explicit = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3, ctc_weight=1.0)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=8000).astype(np.float32)
    assert plain(waveform).text == explicit(waveform).text
    assert plain.beam_search.weights["ctc"] == 1.0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("utt0 {0}/none.wav\n", "utterance utt0: .*none.wav does not exist"),
        ("utt0 {0}/utt0.wav\nutt1 {0}/utt2lang\n", "utterance utt1: .*utt2lang cannot be read as audio"),
        ("utt0\n", "wav.scp has no audio for utterance utt0"),
        ("", "wav.scp has no utterance"),
        ("utt0 {0}/utt0.wav\n\n", "wav.scp has an empty line; remove it"),
        ("utt0 {0}/utt0.wav\nutt0 {0}/utt0.wav\n", "wav.scp.* utt0 is duplicated"),
    ],
)
def test_unreadable_audio_is_named(decode, recordings, lines, message):
    (recordings / "wav.scp").write_text(lines.format(recordings))
    with pytest.raises(SystemExit, match=f"^asr_inference: .*{message}"):
        decode()
