"""Shared models: the same transcripts wherever they come from, and new versions."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
import yaml
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from packed_models import model_files, pack_model, write_archive
from tiny import CONFIG, build_model, speech_of, write_training_config

from espnet_blrmoe import Speech2Text, Transcript
from espnet_blrmoe.bin import prune_experts
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.sharing import fetch_model

SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0))]


@pytest.fixture(scope="module")
def pruned(tiny_model, tmp_path_factory) -> ModelFiles:
    folder = tmp_path_factory.mktemp("pruned")
    model = str(tiny_model.config.parent)
    prune_experts.main(["--model", model, "--languages", "en,zh-CN", "--output_dir", str(folder)])
    return ModelFiles.in_folder(folder)


def transcripts_of(speech2text: Speech2Text) -> list[Transcript]:
    return speech2text.batch(SPEECHES)


# -------------------------------------------------------------------------------------------- the same model elsewhere


@pytest.mark.parametrize("kind", ["whole", "pruned"])
def test_a_packed_model_gives_the_transcripts_of_the_unpacked_one(tiny_model, pruned, packed, tmp_path, serve, kind):
    model = tiny_model if kind == "whole" else pruned
    archive = packed if kind == "whole" else pack_model(pruned, tmp_path / "shared.zip")
    expected = transcripts_of(Speech2Text(model.config, model.weights, beam_size=1))
    assert any(transcript.text for transcript in expected)
    url = f"{serve(archive.parent)}/{archive.name}"
    for place in (archive, str(archive), url, f"{url}?download=1"):
        assert transcripts_of(Speech2Text.from_pretrained(place, tmp_path / "cache", beam_size=1)) == expected
    for place in (str(archive), url):  # espnet_model_zoo's own
        files = ModelDownloader(tmp_path / "zoo").download_and_unpack(place)
        assert transcripts_of(Speech2Text(**files, beam_size=1)) == expected


def test_a_packed_model_gives_the_same_transcripts_in_a_fresh_process(tiny_model, packed, tmp_path):
    program = """
import json, sys
import numpy as np
from espnet_blrmoe import Speech2Text
speech2text = Speech2Text.from_pretrained(sys.argv[1], sys.argv[2], beam_size=1)
transcript = speech2text(np.load(sys.argv[3]))
print(json.dumps([transcript.text, transcript.frames, transcript.language_probability]))
"""
    np.save(tmp_path / "speech.npy", SPEECHES[0])
    arguments = [str(packed), str(tmp_path / "cache"), str(tmp_path / "speech.npy")]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1)(SPEECHES[0])
    assert json.loads(done.stdout) == [expected.text, expected.frames, pytest.approx(expected.language_probability)]


def test_a_packed_model_has_its_statistics_with_it(tmp_path):
    generator = np.random.default_rng(0)
    mean = generator.normal(size=20)
    folder = tmp_path / "exp"
    folder.mkdir()
    np.savez(folder / "stats.npz", count=10, sum=10 * mean, sum_square=10 * (mean**2 + generator.uniform(1, 3, 20)))
    normalize = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(folder / "stats.npz")}}
    model = ModelFiles(write_training_config(folder, **normalize), folder / "model.pth")
    torch.save(build_model(model.config).state_dict(), model.weights)
    expected = transcripts_of(Speech2Text(model.config, model.weights, beam_size=1))
    assert any(transcript.text for transcript in expected)
    archive = pack_model(model, tmp_path / "model.zip")
    shutil.rmtree(folder)
    assert transcripts_of(Speech2Text.from_pretrained(archive, tmp_path / "cache", beam_size=1)) == expected


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"])
def test_every_kind_of_archive_that_espnet_packs(tiny_model, packed, tmp_path, suffix):
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    archive = write_archive(tmp_path / f"model{suffix}", content)
    files = fetch_model(archive, tmp_path / "cache")
    assert Path(files["asr_model_file"]).read_bytes() == tiny_model.weights.read_bytes()


def test_a_model_of_the_hub(tiny_model, packed, tmp_path, monkeypatch):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "snapshot")
    monkeypatch.setattr(downloader, "snapshot_download", lambda *args, **options: str(tmp_path / "snapshot"))
    speech2text = Speech2Text.from_pretrained("user/model", tmp_path / "cache", beam_size=1)
    assert transcripts_of(speech2text) == transcripts_of(
        Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1)
    )


def test_files_that_the_configuration_names_are_found(tmp_path):
    config = {**CONFIG, "token_type": "bpe", "bpemodel": "data/bpe.model"}
    archive = write_archive(tmp_path / "model.zip", {**model_files(config), "data/bpe.model": b"pieces"})
    config = yaml.safe_load(Path(fetch_model(archive, tmp_path / "cache")["asr_train_config"]).read_text())
    assert Path(config["bpemodel"]).read_bytes() == b"pieces"
    assert config["token_list"] == CONFIG["token_list"]


# ------------------------------------------------------------------------------------------------------------- versions


def test_a_new_version_of_the_same_name_or_url_is_not_taken_for_the_first_one(tiny_model, packed, tmp_path, serve):
    url, cache = serve(tmp_path), tmp_path / "cache"
    archive = tmp_path / "model.zip"
    archive.write_bytes(packed.read_bytes())
    os.utime(archive, (1, 1))
    first = [fetch_model(place, cache) for place in (archive, f"{url}/model.zip")]
    assert [fetch_model(place, cache) for place in (archive, f"{url}/model.zip")] == first
    torch.save(build_model(tiny_model.config, seed=1).state_dict(), tmp_path / "other.pth")
    pack_model(ModelFiles(tiny_model.config, tmp_path / "other.pth"), archive)
    second = [fetch_model(place, cache) for place in (archive, f"{url}/model.zip")]
    for files, weights in ((first, tiny_model.weights), (second, tmp_path / "other.pth")):
        assert {Path(f["asr_model_file"]).read_bytes() for f in files} == {weights.read_bytes()}


def test_a_model_is_downloaded_once(packed, tmp_path, serve, monkeypatch):
    url = f"{serve(packed.parent)}/{packed.name}"
    first = fetch_model(url, tmp_path / "cache")
    monkeypatch.setattr(downloader, "download", lambda *args: pytest.fail("downloads it again"))
    assert fetch_model(url, tmp_path / "cache") == first


def test_without_its_server_a_model_is_the_version_that_was_fetched_last(tmp_path, serve, monkeypatch, caplog):
    url, cache = f"{serve(tmp_path)}/model.zip", tmp_path / "cache"
    for n in range(3):
        write_archive(tmp_path / "model.zip", {**model_files(), "model.pth": b"weights %d" % n})
        fetched = fetch_model(url, cache)

    def unreachable(*args, **options):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", unreachable)
    assert fetch_model(url, cache) == fetched
    assert f"{url} cannot be reached; the version that was fetched last is used" in caplog.text
    with pytest.raises(ValueError, match="other.zip: no network"):
        fetch_model(url.replace("model.zip", "other.zip"), cache)
