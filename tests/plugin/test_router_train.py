"""Router fine-tuning on audio and languages alone: the router learns, everything else stays bit for bit."""

from pathlib import Path

import pytest
import torch
from tiny import (
    CONFIG,
    LANGUAGES,
    TinyModel,
    batch_of,
    build_model,
    fine_tuning_options,
    write_data_dir,
    write_training_config,
)

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin.router_train import main
from espnet_blrmoe.checkpoint import read_weights
from espnet_blrmoe.router_task import RouterModel


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Recordings with languages, without transcripts."""
    return write_data_dir(tmp_path_factory.mktemp("data"), ["en", "de", "zh-CN", "en", "de", "zh-CN"])


def options_of(model: TinyModel, data: Path, output: Path, **changes) -> list[str]:
    """Options of the program for a training of two epochs."""
    return fine_tuning_options(model, data, output, ("wav.scp,speech,sound", "utt2lang,lid,text"), **changes)


@pytest.mark.parametrize("keep_nbest_models", [1, 2])  # the best epoch; the average of two
def test_only_the_router_learns(conformer, data, tmp_path, keep_nbest_models):
    main(options_of(conformer, data, tmp_path, keep_nbest_models=keep_nbest_models))
    before, after = read_weights(conformer.weights), read_weights(tmp_path / "asr.pth")
    assert list(after) == list(before)
    assert any("running_var" in name for name in before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert after[name].equal(value) != name.startswith("encoder.router."), name

    trained = read_weights(tmp_path / ("valid.loss.best.pth" if keep_nbest_models == 1 else "valid.loss.ave_2best.pth"))
    for name in before:
        if name.startswith("encoder.router."):
            assert after[name].equal(trained[f"asr_model.{name}"])
    speech2text = Speech2Text(conformer.config, tmp_path / "asr.pth", beam_size=1, ctc_weight=1.0)
    assert speech2text(batch_of(["en"])["speech"][0]).language in LANGUAGES


def test_only_the_routers_parameters_have_gradients_and_only_its_dropout_is_active(tiny_model):
    model = RouterModel(build_model(tiny_model.config)).train()
    for name, module in model.named_modules():
        assert module.training == (name == "" or f"{name}.".startswith("asr_model.encoder.router.")), name
    loss, stats, weight = model(**batch_of(["en", "de"]))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("asr_model.encoder.router."), name
    assert set(stats) == {"loss", "loss_lid", "acc_lid", "acc_lid_utt"}
    assert weight == 2


@pytest.mark.parametrize("router_input", ["features", "subsampled", "shared"])
def test_its_loss_is_the_lid_loss_of_the_asr_model(tmp_path, router_input):
    config = write_training_config(tmp_path, encoder_conf={**CONFIG["encoder_conf"], "router_input": router_input})
    asr_model = build_model(config).eval()
    _, expected, _ = asr_model(**batch_of(["en", "de", "zh-CN"]))
    loss, stats, _ = RouterModel(asr_model).eval()(**batch_of(["en", "de", "zh-CN"]))
    torch.testing.assert_close(loss, expected["loss_lid"])
    for name in ("acc_lid", "acc_lid_utt"):
        assert stats[name] == expected[name]


def test_features_are_in_full_precision_in_mixed_precision_training(tiny_model):
    model = RouterModel(build_model(tiny_model.config))
    precisions = []
    frontend = model.asr_model.frontend
    frontend.register_forward_pre_hook(lambda *_: precisions.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        model(**batch_of(["en"]))
    assert precisions == [False]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("asr_train_config", "^router_train: .*nowhere does not exist; it is the config.yaml that training writes"),
        ("asr_model_file", "^router_train: .*nowhere does not exist; train a model first"),
    ],
)
def test_missing_model_files(tiny_model, data, tmp_path, option, message):
    with pytest.raises(SystemExit, match=message):
        main(options_of(tiny_model, data, tmp_path, **{option: tmp_path / "nowhere"}))
    assert not (tmp_path / "asr.pth").exists()


def test_options_without_which_nothing_works(tiny_model, data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(options_of(tiny_model, data, tmp_path, asr_model_file=None))
    assert "asr_model_file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "message"),
    [("wav.scp", "wav.scp"), ("utt2lang", "utt2lang"), ("utt2num_samples", "utt2num_samples")],
)
def test_missing_data(tiny_model, data, tmp_path, table, message):
    incomplete = tmp_path / "data"
    incomplete.mkdir()
    for name in {"wav.scp", "utt2lang", "utt2num_samples"} - {table}:
        (incomplete / name).write_bytes((data / name).read_bytes())
    with pytest.raises(SystemExit, match=f"^router_train: .*{message}"):
        main(options_of(tiny_model, incomplete, tmp_path / "router"))


def test_another_kind_of_model(tiny_model, data, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model: espnet\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="^router_train: .*is no BLR-MoE model: it says 'model: espnet'"):
        main(options_of(tiny_model, data, tmp_path, asr_train_config=config))


def test_a_language_that_the_model_does_not_know(tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", ["en", "fr"])
    with pytest.raises(SystemExit, match="^router_train: utterance utt1 has language 'fr' .* knows en, de, zh-CN"):
        main(options_of(tiny_model, data, tmp_path / "router"))
