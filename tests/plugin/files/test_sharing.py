"""Shared models: the same transcripts wherever they come from, new versions, damaged and hostile files."""

import functools
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pack
import pytest
import requests
import torch
import yaml
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from tiny import CONFIG, Hostile, TinyModel, build_model, speech_of, write_training_config

from espnet_blrmoe import Speech2Text, Transcript
from espnet_blrmoe.bin import asr_inference, prune_experts
from espnet_blrmoe.files.sharing import fetch_model

SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0))]


def pack_model(model: TinyModel, archive: Path) -> Path:
    results = archive.with_name("RESULTS.md")
    results.write_text("# RESULTS\n", encoding="utf-8")
    files = {"asr_train_config": model.config, "asr_model_file": model.weights, "results": results, "outpath": archive}
    pack.main([f"--{name}={path}" for name, path in files.items()])
    return archive


@pytest.fixture(scope="module")
def packed(tiny_model, tmp_path_factory) -> Path:
    return pack_model(tiny_model, tmp_path_factory.mktemp("packed") / "model.zip")


@pytest.fixture(scope="module")
def pruned(tiny_model, tmp_path_factory) -> TinyModel:
    folder = tmp_path_factory.mktemp("pruned")
    files = ["--asr_train_config", tiny_model.config, "--asr_model_file", tiny_model.weights]
    prune_experts.main([*map(str, files), "--languages", "en,zh-CN", "--output_dir", str(folder)])
    return TinyModel(folder / "config.yaml", folder / "model.pth")


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder on localhost; returns its URL."""
    servers = []
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(Handler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def transcripts_of(speech2text: Speech2Text) -> list[tuple]:
    return [facts(transcript) for transcript in speech2text.batch(SPEECHES)]


def facts(transcript: Transcript) -> tuple:
    """Everything but the hypotheses, whose tensors know no equality."""
    return transcript.text, transcript.timeline, transcript.frames, transcript.chunks, transcript.language_probability


# -------------------------------------------------------------------------------------------- the same model elsewhere


@pytest.mark.parametrize("kind", ["whole", "pruned"])
def test_a_packed_model_gives_the_transcripts_of_the_unpacked_one(tiny_model, pruned, packed, tmp_path, serve, kind):
    model = tiny_model if kind == "whole" else pruned
    archive = packed if kind == "whole" else pack_model(pruned, tmp_path / "shared.zip")
    expected = transcripts_of(Speech2Text(model.config, model.weights, beam_size=1))
    assert any(text for text, *_ in expected)
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
    model = TinyModel(write_training_config(folder, **normalize), folder / "model.pth")
    torch.save(build_model(model.config).state_dict(), model.weights)
    expected = transcripts_of(Speech2Text(model.config, model.weights, beam_size=1))
    assert any(text for text, *_ in expected)
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
    pack_model(TinyModel(tiny_model.config, tmp_path / "other.pth"), archive)
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


# -------------------------------------------------------------------------------------------------------------- damaged


def model_files(config: dict | bytes = CONFIG, meta: dict | None = None) -> dict[str, bytes]:
    """Members of an archive that looks like a packed model."""
    meta = meta or {"yaml_files": {"asr_train_config": "config.yaml"}, "files": {"asr_model_file": "model.pth"}}
    config = config if isinstance(config, bytes) else yaml.safe_dump(config).encode()
    return {"meta.yaml": yaml.safe_dump(meta).encode(), "config.yaml": config, "model.pth": b"weights"}


def write_archive(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def expect_refusal(model_tag: str | Path, cache: Path, message: str) -> None:
    with pytest.raises(ValueError, match=f"^model {model_tag}: .*{message}"):
        Speech2Text.from_pretrained(model_tag, cache)
    assert list(cache.iterdir()) == []


DAMAGED = {
    "end.zip": "is neither zip nor tar: cut off",
    "cut.zip": "is neither zip nor tar: cut off",
    "page.zip": "is neither zip nor tar: .* such as a web page",
    "empty.zip": "is neither zip nor tar",
    "flipped.zip": "Bad CRC-32",
    "cut.tar.gz": "ended before the end-of-stream marker|neither zip nor tar",
    "other.zip": "has no meta.yaml, and so is no packed model",
    "list.zip": "its meta.yaml is no configuration",
    "incomplete.zip": "meta.yaml has no yaml_files or files",
    "tts.zip": "gives 'train_config', which no packed model has",
    "configless.zip": "names no asr_train_config",
    "weightless.zip": "names 'model.pth', which it lacks",
    "config.zip": "config.yaml is no configuration",
}


@pytest.fixture(scope="module")
def damaged(packed, tmp_path_factory) -> Path:
    """A folder with the files of DAMAGED."""
    folder = tmp_path_factory.mktemp("damaged")
    content, files = packed.read_bytes(), model_files()
    (folder / "cut.zip").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile(packed) as archive:  # cut behind its checkpoint, which is a zip too
        weights = archive.getinfo("model.pth")
        (folder / "end.zip").write_bytes(content[: weights.header_offset + weights.file_size + 100])
    (folder / "page.zip").write_text("<!DOCTYPE html><html><body>503 Service Unavailable</body></html>")
    (folder / "empty.zip").touch()
    middle = len(content) // 2
    (folder / "flipped.zip").write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    whole = write_archive(folder / "cut.tar.gz", {**files, "model.pth": os.urandom(10_000)}).read_bytes()
    (folder / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    write_archive(folder / "other.zip", {"holiday.jpg": b"picture"})
    write_archive(folder / "list.zip", {**files, "meta.yaml": b"- 1\n- 2\n"})
    write_archive(folder / "incomplete.zip", {**files, "meta.yaml": b"files: {}\n"})
    write_archive(folder / "tts.zip", model_files(meta={"yaml_files": {"train_config": "config.yaml"}, "files": {}}))
    write_archive(
        folder / "configless.zip", model_files(meta={"yaml_files": {}, "files": {"asr_model_file": "model.pth"}})
    )
    write_archive(folder / "weightless.zip", {name: files[name] for name in ("meta.yaml", "config.yaml")})
    write_archive(folder / "config.zip", model_files(config=b"no mapping"))
    return folder


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_refused_and_leaves_nothing_behind(damaged, serve, tmp_path, name):
    for place in (damaged / name, f"{serve(damaged)}/{name}"):
        expect_refusal(place, tmp_path / "cache", DAMAGED[name])


def test_a_model_that_is_not_there(serve, tmp_path):
    expect_refusal(tmp_path / "model.zip", tmp_path / "cache", "no such file")
    expect_refusal(tmp_path, tmp_path / "cache", "it is a folder")
    expect_refusal(f"{serve(tmp_path)}/model.zip", tmp_path / "cache", "404")
    expect_refusal("http://127.0.0.1:1/model.zip", tmp_path / "cache", "refused")


MALFORMED = {
    "encoder_conf: null": ({"encoder_conf": None}, "config.yaml: encoder_conf must be options and their values"),
    "model_conf: null": ({"model_conf": None}, "config.yaml: model_conf must be options and their values"),
    "frontend_conf: null": ({"frontend_conf": None}, "config.yaml: frontend_conf must be options and their values"),
    "token_list: null": ({"token_list": None}, "config.yaml: token_list must be a list of tokens"),
    "no languages": ({"encoder_conf": {}}, "config.yaml has no languages in encoder_conf"),
    "unknown option": (
        {"encoder_conf": {**CONFIG["encoder_conf"], "depth": 3}},
        "config.yaml describes no model that can be built: .*unexpected keyword argument 'depth'",
    ),
    "statistics": (
        {"normalize": "global_mvn", "normalize_conf": {"stats_file": "missing.npz"}},
        "config.yaml describes no model that can be built: .*missing.npz",
    ),
    "missing pieces": ({"bpemodel": "missing.model"}, "bpemodel missing.model is missing or no sentencepiece model"),
    "other pieces": ({"bpemodel": "meta.yaml"}, "bpemodel .*/meta.yaml is missing or no sentencepiece model"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_configuration_is_named_in_one_sentence(tiny_model, tmp_path, name):
    change, message = MALFORMED[name]
    config = {**yaml.safe_load(tiny_model.config.read_text()), **change}
    files = {**model_files(config), "model.pth": tiny_model.weights.read_bytes()}
    archive = write_archive(tmp_path / "model.zip", files)
    with pytest.raises(ValueError, match=message) as caught:
        Speech2Text.from_pretrained(archive, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["encoder_conf", "model_conf", "frontend_conf", "token_list", "token_type"])
def test_a_configuration_that_lacks_an_option(tiny_model, tmp_path, option):
    config = yaml.safe_load(tiny_model.config.read_text())
    del config[option]
    archive = write_archive(tmp_path / "model.zip", model_files(config))
    with pytest.raises(ValueError, match=f"config.yaml has no {option}; give the config.yaml that training wrote"):
        Speech2Text.from_pretrained(archive, tmp_path / "cache")


# -------------------------------------------------------------------------------------------------------------- hostile


def tar_with(path: Path, *members: tuple[str, bytes, str, bytes]) -> Path:
    """A tar of model_files and of members (name, type, link target, content)."""
    write_archive(path, model_files())
    with tarfile.open(path, "a") as archive:
        for name, kind, target, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zip_with_path_upwards(path: Path, victim: Path) -> Path:
    name = f"../{victim.name}"
    meta = {"yaml_files": {"asr_train_config": name}, "files": {"asr_model_file": "model.pth"}}
    return write_archive(path, {**model_files(meta=meta), name: b"evil: true"})


def tar_with_path_upwards(path: Path, victim: Path) -> Path:
    return tar_with(path, (f"../{victim.name}", tarfile.REGTYPE, "", b"evil"))


def tar_with_absolute_path(path: Path, victim: Path) -> Path:
    return tar_with(path, (str(victim), tarfile.REGTYPE, "", b"evil"))


def tar_with_link_to_a_folder(path: Path, victim: Path) -> Path:
    link = ("link", tarfile.SYMTYPE, str(victim.parent), b"")
    return tar_with(path, link, (f"link/{victim.name}", tarfile.REGTYPE, "", b"evil"))


ATTACKS = {
    "zip": (zip_with_path_upwards, "holds '../victim', a path outside its folder"),
    "upwards": (tar_with_path_upwards, "holds '../victim', a path outside its folder"),
    "absolute": (tar_with_absolute_path, "holds '/.*/victim', a path outside its folder"),
    "link": (tar_with_link_to_a_folder, "holds 'link', which is neither a file nor a folder"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_file_is_written_outside_the_cache(name, tmp_path):
    attack, message = ATTACKS[name]
    victim = tmp_path / "victim"
    archive = attack(tmp_path / ("model.zip" if name == "zip" else "model.tar"), victim)
    expect_refusal(archive, tmp_path / "cache", message)
    assert not victim.exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    archive = write_archive(tmp_path / "model.zip", model_files())
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as packed_model:
        packed_model.writestr(link, "/etc/passwd")
    expect_refusal(archive, tmp_path / "cache", "holds 'link', which is neither a file nor a folder")


@pytest.mark.parametrize("outside", ["../secret", "{tmp_path}/secret"])
@pytest.mark.parametrize("part", ["yaml_files", "files"])
def test_no_file_outside_the_model_is_used(tmp_path, monkeypatch, outside, part):
    (tmp_path / "secret").write_text("a: b")
    outside = outside.format(tmp_path=tmp_path)
    meta = {"yaml_files": {"asr_train_config": "config.yaml"}, "files": {"asr_model_file": "model.pth"}}
    meta[part] = {option: outside for option in meta[part]}
    files = model_files(meta=meta)
    expect_refusal(write_archive(tmp_path / "a.zip", files), tmp_path / "cache", "a path outside its folder")
    for name, content in files.items():
        (tmp_path / "snapshot").mkdir(exist_ok=True)
        (tmp_path / "snapshot" / name).write_bytes(content)
    monkeypatch.setattr(downloader, "snapshot_download", lambda *args, **options: str(tmp_path / "snapshot"))
    expect_refusal("user/model", tmp_path / "cache", "a path outside its folder")
    assert (tmp_path / "secret").read_text() == "a: b"


@pytest.mark.parametrize("name", ["meta.yaml", "config.yaml"])
def test_no_yaml_is_executed(tmp_path, name):
    evil = f"evil: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n".encode()
    archive = write_archive(tmp_path / "model.zip", {**model_files(), name: model_files()[name] + evil})
    expect_refusal(archive, tmp_path / "cache", f"its {name} is no configuration")
    assert not (tmp_path / "made").exists()
    yaml.unsafe_load(evil)
    assert (tmp_path / "made").exists()


def pickled(evil: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": evil}, buffer)
    return buffer.getvalue()


def test_no_weights_are_executed(tiny_model, tmp_path):
    evil = pickled(Hostile(tmp_path / "made"))
    config = tiny_model.config.read_bytes()
    as_model = {**model_files(config), "model.pth": evil}
    meta = yaml.safe_load(as_model["meta.yaml"])
    meta["files"]["lm_file"], meta["yaml_files"]["lm_train_config"] = "lm.pth", "lm.yaml"
    as_lm = {**model_files(config, meta), "model.pth": tiny_model.weights.read_bytes()}
    lm = {"lm": "seq_rnn", "lm_conf": {"unit": 8}, "model_conf": {}, "init": None, "token_list": CONFIG["token_list"]}
    as_lm |= {"lm.pth": evil, "lm.yaml": yaml.safe_dump(lm).encode()}
    for files, name in ((as_model, "model.pth"), (as_lm, "lm.pth")):
        archive = write_archive(tmp_path / "model.zip", files)
        with pytest.raises(ValueError, match=f"{name} is damaged or holds anything but weights"):
            Speech2Text.from_pretrained(archive, tmp_path / "cache")
    assert not (tmp_path / "made").exists()
    torch.load(io.BytesIO(evil), weights_only=False)
    assert (tmp_path / "made").exists()


def test_decoding_another_kind_of_model_executes_no_weights_either(tmp_path):
    (tmp_path / "config.yaml").write_text("model: espnet\n", encoding="utf-8")
    (tmp_path / "model.pth").write_bytes(pickled(Hostile(tmp_path / "made")))
    options = {"asr_train_config": "config.yaml", "asr_model_file": "model.pth", "output_dir": "out"}
    command = [word for name, file in options.items() for word in (f"--{name}", str(tmp_path / file))]
    with pytest.raises(SystemExit, match="model.pth is damaged or holds anything but weights"):
        asr_inference.main([*command, "--data_path_and_name_and_type", "wav.scp,speech,sound"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "part",
    [
        {"frontend": "s3prl"},
        {"frontend": "S3PRL"},
        {"encoder": "avhubert"},
        {"decoder": "hugging_face_transformers"},
        {"postencoder": "hugging_face_transformers"},
        {"token_type": "hugging_face"},
        {"lm": "transformer_opt"},
    ],
)
def test_parts_that_load_further_files_are_refused(tmp_path, part):
    archive = write_archive(tmp_path / "model.zip", model_files({**CONFIG, **part}))
    expect_refusal(archive, tmp_path / "cache", f"its configuration has {next(iter(part))}: ")


def test_an_option_that_no_model_may_set_is_refused(tmp_path):
    meta = yaml.safe_load(model_files()["meta.yaml"])
    meta["files"]["ngram_file"] = "model.pth"
    archive = write_archive(tmp_path / "model.zip", model_files(meta=meta))
    expect_refusal(archive, tmp_path / "cache", "gives 'ngram_file', which no packed model has")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_bomb_is_not_unpacked(tmp_path, suffix):
    archive = write_archive(tmp_path / f"model{suffix}", {**model_files(), "bomb": bytes(30 * 2**20)})
    assert archive.stat().st_size < 2**16
    expect_refusal(archive, tmp_path / "cache", "would unpack to far more than a model of its size")


@pytest.mark.parametrize(
    ("size", "message"),
    [(2 * 10**4, "it holds a header of 20,.* bytes"), (30 * 2**20, "would unpack to far more than a model of its")],
)
def test_a_long_header_is_not_read(tmp_path, size, message):
    member = tarfile.TarInfo("model.pth")
    member.pax_headers = {"comment": "0" * size}
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.addfile(member)
    expect_refusal(tmp_path / "model.tar.gz", tmp_path / "cache", message)


def test_a_zip_whose_parts_cannot_be_unpacked_piece_by_piece_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("bomb", bytes(2**10))
    expect_refusal(tmp_path / "model.zip", tmp_path / "cache", "is compressed in another way than zips usually are")


@pytest.mark.parametrize("name", ["meta.yaml", "config.yaml"])
def test_a_yaml_that_expands_is_refused(tmp_path, name):
    laughs = b"a: &a [ha, ha]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    archive = write_archive(tmp_path / "model.zip", {**model_files(), name: model_files()[name] + laughs})
    message = f"its {name} has a YAML alias, \\*a, which no saved configuration has"
    expect_refusal(archive, tmp_path / "cache", message)


def change_of(part: str, **options) -> dict:
    return {part: {**CONFIG[part], **options}}


GIANTS = {
    "width": (change_of("encoder_conf", output_size=10**12), "describes no model that can be built"),
    "blocks": (change_of("encoder_conf", num_moe_blocks=10**4), "it has far more layers than the checkpoint"),
    "router": (change_of("encoder_conf", router_conf={"channels": 8, "layers": 10**4}), "far more layers than"),
    "mels": (change_of("frontend_conf", n_mels=10**12), "n_fft and n_mels are not those of the checkpoint"),
    "window": (change_of("frontend_conf", n_fft=10**12), "n_fft and n_mels are not those of the checkpoint"),
}


@pytest.mark.parametrize("name", GIANTS)
@pytest.mark.parametrize("options", [{}, {"quantize_asr_model": True}], ids=str)
def test_no_memory_is_spent_on_a_model_larger_than_its_checkpoint(tiny_model, tmp_path, name, options):
    change, message = GIANTS[name]
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(tiny_model.config.read_text()), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"config.yaml .*{message}"):
        Speech2Text(config, tiny_model.weights, **options)


def test_a_language_model_larger_than_its_checkpoint(tiny_model, tmp_path):
    lm = {"lm": "seq_rnn", "lm_conf": {"unit": 10**12}, "model_conf": {}, "init": None, "token_list": ["a"]}
    (tmp_path / "lm.yaml").write_text(yaml.safe_dump(lm), encoding="utf-8")
    torch.save({"lm.decoder.weight": torch.zeros(1, 8)}, tmp_path / "lm.pth")
    files = {"lm_train_config": tmp_path / "lm.yaml", "lm_file": tmp_path / "lm.pth"}
    with pytest.raises(ValueError, match="lm.yaml describes no model that can be built"):
        Speech2Text(tiny_model.config, tiny_model.weights, **files)
    with pytest.raises(ValueError, match="lm_train_config and lm_file need each other"):
        Speech2Text(tiny_model.config, tiny_model.weights, lm_train_config=tmp_path / "lm.yaml")


def test_a_server_cannot_choose_where_its_file_goes(packed, tmp_path, monkeypatch, serve):
    def name_elsewhere(self) -> None:
        self.send_header("Content-Disposition", f"attachment; filename={tmp_path / 'victim'}")
        end_headers(self)

    end_headers = http.server.SimpleHTTPRequestHandler.end_headers
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "end_headers", name_elsewhere)
    url = f"{serve(packed.parent)}/{packed.name}"
    fetch_model(url, tmp_path / "cache")
    assert not (tmp_path / "victim").exists()
