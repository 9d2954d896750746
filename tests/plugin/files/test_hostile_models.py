"""Shared models that somebody has made to do harm are refused."""

import http.server
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from espnet_model_zoo import downloader
from packed_models import expect_refusal, model_files, write_archive
from tiny import CONFIG, Hostile

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.files.sharing import fetch_model


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
    expect_refusal(archive, tmp_path / "cache", f"its {name} is not YAML")
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
        with pytest.raises(ValueError, match=f"{name} is damaged or holds more than weights"):
            Speech2Text.from_pretrained(archive, tmp_path / "cache")
    assert not (tmp_path / "made").exists()
    torch.load(io.BytesIO(evil), weights_only=False)
    assert (tmp_path / "made").exists()


def test_decoding_another_kind_of_model_executes_no_weights_either(tmp_path):
    (tmp_path / "config.yaml").write_text("model: espnet\n", encoding="utf-8")
    (tmp_path / "model.pth").write_bytes(pickled(Hostile(tmp_path / "made")))
    options = {"asr_train_config": "config.yaml", "asr_model_file": "model.pth", "output_dir": "out"}
    command = [word for name, file in options.items() for word in (f"--{name}", str(tmp_path / file))]
    with pytest.raises(SystemExit, match="model.pth is damaged or holds more than weights"):
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


@pytest.mark.parametrize("option", ["router", "block_type", "router_input"])
def test_a_class_of_another_package_is_refused(tmp_path, option):
    config = {**CONFIG, "encoder_conf": {**CONFIG["encoder_conf"], option: "package.module.Class"}}
    message = f"its configuration has {option}: 'package.module.Class', a class of another package"
    expect_refusal(write_archive(tmp_path / "model.zip", model_files(config)), tmp_path / "cache", message)


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
    expect_refusal(tmp_path / "model.zip", tmp_path / "cache", "is not compressed the way zips usually are")


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
