"""What no BLR-MoE model can be made of: one sentence, and nothing is written."""

import shutil
from pathlib import Path

import pytest
import torch
from dense import ABSOLUTE, BRANCHES, ENCODER, LATEST, change_config, convert, write_dense_model
from espnet_model_zoo import downloader
from espnet_model_zoo.downloader import ModelDownloader
from packed_models import model_files, write_archive
from tiny import CONFIG, Hostile

from espnet_blrmoe.files import from_dense

MISTAKES = {
    "languages twice": (["--languages=de,en,de"], {}, "language 'de' is listed twice in 'de,en,de'"),
    "languages with spaces": (["--languages=de en"], {}, "language 'de en' has a space in it; separate"),
    "no language": (["--languages=,"], {}, "the list of languages is empty"),
    "all blocks shared": (["--num_shared_blocks=3"], {}, "must be 0 to 2 of the dense model's 3, not 3"),
    "a router that cannot be run": (
        ["--encoder_conf", "router_conf.layers=0"], {}, "the new model recognises no random audio: mat1 and mat2",
    ),
    "more samples than any memory": (
        [], {"frontend_conf": {**CONFIG["frontend_conf"], "fs": 10**12}}, "the dense model recognises no random audio",
    ),
    "no such projection": (["--attention_experts=vx"], {}, "attention_experts must be any of q, .*, not 'vx'"),
    "no such router": (["--router=lstm"], {}, "cannot be built: encoder_conf: router must be .*, not 'lstm'"),
    "other tokens": (["--token_list=tokens.txt"], {}, "tokens.txt:3 has token 'x' where .*config.yaml has 'a'"),
    "fewer tokens": (["--token_list=few.txt"], {}, "few.txt:2 has token None where .*config.yaml has '<unk>'"),
    "tokens that are no text": (["--token_list=dense/valid.loss.ave.pth"], {}, "ave.pth is not text in UTF-8: "),
    "no tokens": (["--token_list=nowhere.txt"], {}, "nowhere.txt"),
    "no training": (["--config=nowhere.yaml"], {}, "nowhere.yaml does not exist"),
    "another encoder": ([], {"encoder": "rnn"}, "config.yaml says 'encoder: rnn', which cannot be given experts"),
    "another kind of tokens": ([], {"token_type": "syllable"}, "says 'token_type: syllable', which cannot be given"),
    "a transducer": ([], {"decoder": "transducer"}, "config.yaml says 'decoder: transducer', which cannot be given"),
    "mask CTC": ([], {"model": "maskctc"}, "config.yaml says 'model: maskctc', which cannot be given experts"),
    "OWSM": ([], {"preprocessor": "s2t"}, "config.yaml says 'preprocessor: s2t', which cannot be given experts"),
    "OWSM-CTC": ([], {"encoder": "e_branchformer_ctc", "promptencoder": "transformer"}, "is of OWSM-CTC: its encoder"),
    "translation": ([], {"src_token_list": ["a"]}, "is of a model for translation, not .* it has src_token_list"),
    "synthesis": ([], {"tts": "fastspeech2"}, "is of a model for speech synthesis, not .* it has tts"),
    "a model with experts": (
        [], {"encoder": "blr_moe", "encoder_conf": CONFIG["encoder_conf"]}, "config.yaml: .*: the model has experts",
    ),
    "an option of the future": (
        [], {"encoder_conf": {**ENCODER, "rotary": True}}, "rotary: True cannot be carried over; this version does",
    ),
    "more tokens than the weights": (
        [], {"token_list": [*CONFIG["token_list"], "d"]}, "does not fit the training .*ctc.ctc_lo.weight",
    ),
    "wider than the weights": (
        [], {"encoder_conf": {**ENCODER, "linear_units": 32}}, "does not fit the training configuration: .*w_1.weight",
    ),
    "deeper than any memory": ([], {"encoder_conf": {**ENCODER, "num_blocks": 10**9}}, "far more layers than"),
    "positions of any length": (
        [], {"encoder": "conformer", "encoder_conf": {**ENCODER, **LATEST, "max_pos_emb_len": 10**15}}, "does not fit",
    ),
    "no statistics": (
        [], {"normalize": "global_mvn", "normalize_conf": {"stats_file": "gone.npz"}},
        "config.yaml: stats_file: gone.npz does not exist",
    ),
    "no pieces": ([], {"token_type": "bpe", "bpemodel": "gone.model"}, "config.yaml: bpemodel: gone.model does not"),
    "statistics that are none": ([], {"normalize_conf": [1]}, "config.yaml: "),
    "a file's name that is none": ([], {"bpemodel": 1}, "config.yaml: "),
    "a number of blocks that is none": ([], {"encoder_conf": {**ENCODER, "num_blocks": "3"}}, "no model that can"),
    "an encoder_conf that is none": ([], {"encoder_conf": [1]}, "encoder_conf must be options and their values"),
    **{
        f"without {option}": ([], {option: None}, f"config.yaml has no {option}; give the config.yaml that")
        for option in ("encoder", "encoder_conf", "frontend_conf", "token_list", "token_type", "ctc_conf", "normalize")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def dense_model(tmp_path_factory) -> Path:
    return write_dense_model(tmp_path_factory.mktemp("dense") / "dense")


def expect_a_sentence(dense: Path, folder: Path, message: str, *options: str, model: str = "--model") -> None:
    """The program ends with a line, and leaves nothing where it was to write."""
    with pytest.raises(SystemExit, match=f"^from_dense: .*{message}") as ended:
        convert(dense, folder, *options, model=model)
    assert "\n" not in str(ended.value.code)
    assert not list(folder.parent.glob(f"{folder.name}*"))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_one_sentence_and_nothing_is_written(name, dense_model, tmp_path, monkeypatch):
    options, changes, message = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.txt").write_text("<blank>\n<unk>\nx\n", encoding="utf-8")
    (tmp_path / "few.txt").write_text("<blank>\n", encoding="utf-8")
    dense = shutil.copytree(dense_model, tmp_path / "dense")
    change_config(dense, **changes)
    expect_a_sentence(dense, tmp_path / "new", message, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interctc_layer_idx": [1], "interctc_use_conditioning": True}, "interctc_use_conditioning: True cannot be"),
        ({"normalize_before": False}, "normalize_before: False cannot be carried over; it must be True"),
        ({"concat_after": True}, "concat_after: True cannot be carried over; it must be False"),
        ({"positionwise_layer_type": "conv1d"}, "positionwise_layer_type: conv1d cannot be carried over"),
        ({"pos_enc_layer_type": "conv"}, "pos_enc_layer_type: conv cannot be carried over"),
        ({"encoder": "conformer", **LATEST, "zero_triu": True}, "zero_triu: True cannot be carried over"),
        ({"encoder": "conformer", **LATEST, "input_layer": "linear"}, "input_layer: linear cannot be carried over"),
        ({"encoder": "conformer", "max_pos_emb_len": 600}, "max_pos_emb_len: 600 cannot be carried over"),
        ({"encoder": "e_branchformer", **BRANCHES, "input_layer": "conv1d3"}, "input_layer: conv1d3 cannot be carried"),
        (
            {"encoder": "e_branchformer", **BRANCHES, **ABSOLUTE, "attention_layer_type": "fast_selfattn"},
            "attention_layer_type: fast_selfattn cannot be carried over",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_named(options, message, tmp_path):
    conf = {name: value for name, value in options.items() if name != "encoder"}
    dense = write_dense_model(tmp_path / "dense", conf, encoder=options.get("encoder", "transformer"))
    expect_a_sentence(dense, tmp_path / "new", f"dense/config.yaml: encoder_conf: {message}")


def test_a_model_that_differs_is_not_written(dense_model, tmp_path, monkeypatch):
    def other_weights(*arguments) -> tuple:
        model, fates = make(*arguments)
        model.encoder.encoders[2].feed_forward.w_2.bias.data = model.encoder.encoders[2].feed_forward.w_2.bias.clone()
        model.encoder.encoders[2].feed_forward.w_2.bias.data[1, 0] += 1e-3  # of one expert
        return model, fates

    make = from_dense.from_dense
    monkeypatch.setattr(from_dense, "from_dense", other_weights)
    expect_a_sentence(dense_model, tmp_path / "new", r"differs from the dense model's by \d.\de-0\d on random audio")


def test_weights_that_are_no_numbers(dense_model, tmp_path):
    dense = shutil.copytree(dense_model, tmp_path / "dense")
    weights = torch.load(dense / "valid.loss.ave.pth")
    weights["encoder.after_norm.bias"][3] = torch.nan
    torch.save(weights, dense / "valid.loss.ave.pth")
    message = "the dense model's output for random audio is not finite; its weights are damaged"
    expect_a_sentence(dense, tmp_path / "new", message)


def test_weights_are_not_executed(dense_model, tmp_path):
    dense = shutil.copytree(dense_model, tmp_path / "dense")
    torch.save({"weight": Hostile(tmp_path / "made")}, dense / "valid.loss.ave.pth")
    expect_a_sentence(dense, tmp_path / "new", "is damaged or holds more than weights")
    assert not (tmp_path / "made").exists()


def test_a_hostile_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    config = {**CONFIG, "encoder": "transformer", "frontend": "s3prl"}
    archive = write_archive(tmp_path / "dense.zip", {**model_files(config), "../victim": b"evil"})
    expect_a_sentence(archive, tmp_path / "new", "holds '../victim', a path outside its folder", model="--model_tag")
    archive = write_archive(tmp_path / "dense.zip", model_files(config))
    expect_a_sentence(archive, tmp_path / "new", "frontend: 's3prl', which may load files that", model="--model_tag")


@pytest.mark.parametrize("option", ["bpemodel", "non_linguistic_symbols"])
def test_a_shared_model_does_not_take_files_of_this_machine_along(option, dense_model, tmp_path, monkeypatch):
    monkeypatch.setattr(downloader, "ModelDownloader", lambda cachedir: ModelDownloader(tmp_path / "cache"))
    secret = tmp_path / "secret"
    secret.write_text("of nobody's business", encoding="utf-8")
    dense = shutil.copytree(dense_model, tmp_path / "dense")
    for named in (str(secret), "../../secret"):
        change_config(dense, **{option: named})
        content = model_files((dense / "config.yaml").read_bytes())
        content["model.pth"] = (dense / "valid.loss.ave.pth").read_bytes()
        archive = write_archive(tmp_path / "dense.zip", content)
        message = f"{option}: {named} did not come with the packed model"
        expect_a_sentence(archive, tmp_path / "new", message, model="--model_tag")


def test_a_folder_without_one_checkpoint(dense_model, tmp_path):
    expect_a_sentence(tmp_path / "nowhere", tmp_path / "new", "nowhere does not exist; give the folder with a model's")
    dense = shutil.copytree(dense_model, tmp_path / "dense")
    shutil.copy(dense / "valid.loss.ave.pth", dense / "valid.acc.ave.pth")
    expect_a_sentence(dense, tmp_path / "new", "training has left valid.acc.ave.pth, valid.loss.ave.pth")


def test_an_output_folder_that_exists(dense_model, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(SystemExit, match="new exists already; remove it or choose another --output_dir"):
        convert(dense_model, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("end", [OSError(28, "No space left"), RuntimeError("file write failed"), KeyboardInterrupt()])
def test_a_full_disk_or_an_end_in_the_middle_leaves_nothing(dense_model, tmp_path, monkeypatch, end):
    def save(weights: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise end

    monkeypatch.setattr(torch, "save", save)
    if isinstance(end, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            convert(dense_model, tmp_path / "new")
        assert list(tmp_path.iterdir()) == []
    else:
        expect_a_sentence(dense_model, tmp_path / "new", "new cannot be written: .*(No space left|write failed)")


def test_too_little_room_is_told_before_anything_is_written(dense_model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))
    expect_a_sentence(dense_model, tmp_path / "new", "new cannot be written: it takes .* and there is less room")
