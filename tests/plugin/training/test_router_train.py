"""Router fine-tuning on audio and languages alone: the router learns, everything else stays bit for bit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
import yaml
from espnet2.asr.specaug.specaug import SpecAug
from tiny import (
    CONFIG,
    LANGUAGES,
    batch_of,
    build_model,
    fine_tuning_options,
    write_data_dir,
    write_training_config,
)

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin.router_train import main
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.training.router_task import RouterModel, RouterTask


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Recordings with languages, without transcripts."""
    return write_data_dir(tmp_path_factory.mktemp("data"), ["en", "de", "zh-CN", "en", "de", "zh-CN"])


def options_of(model: ModelFiles, data: Path, output: Path, **changes) -> list[str]:
    """Options of the program for a training of two epochs."""
    return fine_tuning_options(model, data, output, ("wav.scp,speech,sound", "utt2lang,lid,text"), **changes)


@pytest.mark.parametrize("keep_nbest_models", [1, 2])  # the best epoch; the average of two
def test_only_the_router_learns(conformer, data, tmp_path, keep_nbest_models):
    main(options_of(conformer, data, tmp_path, keep_nbest_models=keep_nbest_models))
    before, after = read_weights(conformer.weights), read_weights(tmp_path / "model.pth")
    assert list(after) == list(before)
    assert any("running_var" in name for name in before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert after[name].equal(value) != name.startswith("encoder.router."), name

    checkpoint = "valid.loss.best.pth" if keep_nbest_models == 1 else "valid.loss.ave_2best.pth"
    trained = read_weights(tmp_path / "training" / checkpoint)
    for name in before:
        if name.startswith("encoder.router."):
            assert after[name].equal(trained[f"asr_model.{name}"])
    speech2text = Speech2Text(conformer.config, tmp_path / "model.pth", beam_size=1, ctc_weight=1.0)
    assert speech2text(batch_of(["en"])["speech"][0]).language in LANGUAGES


def test_only_the_routers_parameters_have_gradients_and_only_its_dropout_is_active(tiny_model):
    model = RouterModel(build_model(tiny_model.config)).train()
    for name, module in model.named_modules():
        follows = name in ("", "asr_model.encoder")  # which draws chunks, where it has them
        assert module.training == (follows or f"{name}.".startswith("asr_model.encoder.router.")), name
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
        ("asr_train_config", "^router_train: .*nowhere does not exist; give the config.yaml that training writes"),
        ("asr_model_file", "^router_train: .*nowhere does not exist; train a model first"),
    ],
)
def test_missing_model_files(tiny_model, data, tmp_path, option, message):
    with pytest.raises(SystemExit, match=message):
        main(options_of(tiny_model, data, tmp_path, **{option: tmp_path / "nowhere"}))
    assert not (tmp_path / "model.pth").exists()


def test_options_without_which_nothing_works(tiny_model, data, tmp_path, capsys):
    with pytest.raises(SystemExit, match="^router_train: give --model FOLDER, or --asr_train_config FILE and"):
        main(options_of(tiny_model, data, tmp_path, asr_model_file=None))
    with pytest.raises(SystemExit):
        main(["--model", str(tiny_model.config.parent)])
    assert "the following arguments are required: --output_dir" in capsys.readouterr().err


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


@pytest.mark.parametrize("part", ["train", "valid"])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("utt0 en\nutt2 en\n", "has no line for utterance utt1 of .*utt2num_samples; add it"),
        ("utt0 en\nutt0 en\n", "utt0 is duplicated"),
        ("utt0 en\n\nutt1 de\n", "has an empty line; remove it"),
        ("", "has no utterance"),
    ],
)
def test_a_bad_table(tiny_model, tmp_path, part, lines, message):
    good, bad = (write_data_dir(tmp_path / name, ["en", "de"]) for name in ("good", "bad"))
    (bad / "utt2lang").write_text(lines, encoding="utf-8")
    arguments = options_of(tiny_model, good, tmp_path / "router")
    table = f"--{part}_data_path_and_name_and_type="
    arguments = [argument.replace(f"{table}{good}", f"{table}{bad}") for argument in arguments]
    with pytest.raises(SystemExit, match=f"^router_train: {bad / 'utt2lang'}:? .*{message}"):
        main(arguments)


def test_an_output_folder_that_is_a_file(tiny_model, data, tmp_path):
    (tmp_path / "router").write_text("something")
    with pytest.raises(SystemExit, match=f"^router_train: .*{tmp_path / 'router'}"):
        main(options_of(tiny_model, data, tmp_path / "router"))
    assert (tmp_path / "router").read_text() == "something"


def test_another_kind_of_model(tiny_model, data, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model: espnet\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="^router_train: .*is not of a BLR-MoE model: it says 'model: espnet'"):
        main(options_of(tiny_model, data, tmp_path / "router", asr_train_config=config))


def test_a_language_that_the_model_does_not_know(tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", ["en", "fr"])
    with pytest.raises(SystemExit, match="utt2lang: utterance utt1 has language 'fr', .* is of en, de, zh-CN; correct"):
        main(options_of(tiny_model, data, tmp_path / "router"))


def test_a_language_of_the_validation_set_is_checked_before_the_first_epoch(tiny_model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(RouterTask, "main_worker", lambda args: pytest.fail("it has started to train"))
    valid = write_data_dir(tmp_path / "valid", ["en", "fr"])
    arguments = options_of(tiny_model, data, tmp_path / "router")
    arguments = [argument.replace(f"--valid_data_path_and_name_and_type={data}",
                                  f"--valid_data_path_and_name_and_type={valid}") for argument in arguments]
    with pytest.raises(SystemExit, match=f"^router_train: {valid}/utt2lang: utterance utt1 has language 'fr'"):
        main(arguments)


@pytest.fixture(scope="module")
def other_rates(data, tmp_path_factory) -> Path:
    """The same recordings, at another sampling rate or with two channels."""
    folder = shutil.copytree(data, tmp_path_factory.mktemp("other") / "data")
    lines = (folder / "wav.scp").read_text(encoding="utf-8").splitlines()
    for n, line in enumerate(lines):
        utterance, path = line.split()
        speech, rate = soundfile.read(path, dtype="float32")
        if n % 2:
            louder = soxr.resample(speech, rate, 44100)
            soundfile.write(folder / f"{utterance}.wav", louder, 44100, subtype="FLOAT")
        else:
            soundfile.write(folder / f"{utterance}.wav", np.stack([speech] * 2, axis=1), rate, subtype="FLOAT")
    table = "".join(f"utt{n} {folder}/utt{n}.wav\n" for n in range(len(lines)))
    (folder / "wav.scp").write_text(table, encoding="utf-8")
    return folder


def test_audio_of_any_rate_and_number_of_channels(tiny_model, data, other_rates, tmp_path):
    before, trained = read_weights(tiny_model.weights), []
    for name, folder in (("as_model", data), ("other", other_rates)):
        main(options_of(tiny_model, folder, tmp_path / name, num_workers=1))
        trained.append(read_weights(tmp_path / name / "model.pth"))
    for name, value in trained[0].items():
        learned, difference = (value - before[name]).abs().mean(), (value - trained[1][name]).abs().mean()
        assert difference <= 0.1 * learned, name  # resampling is not without loss


@pytest.mark.parametrize("workers", [0, 1])
def test_unusable_audio_is_named(tiny_model, other_rates, tmp_path, workers):
    folder = shutil.copytree(other_rates, tmp_path / "data")
    (folder / "utt2.wav").write_bytes(b"no audio")
    (folder / "wav.scp").write_text("".join(f"utt{n} {folder}/utt{n}.wav\n" for n in range(6)), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^router_train: utterance utt2: \S*utt2.wav cannot be read as audio[^\n]*$"):
        main(options_of(tiny_model, folder, tmp_path / "router", num_workers=workers))


def test_clips_shorter_than_a_frame(tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", ["en", "de", "zh-CN"])
    for n, samples in enumerate((1, 240)):
        soundfile.write(data / f"utt{n}.wav", np.full(samples, 0.1), 8000)
    conditions = {"augmentation": {"conditions": {"noise": 1, "reverberation": 1, "telephone": 1}, "seconds": 0.2}}
    main(options_of(tiny_model, data, tmp_path / "router", preprocessor_conf=conditions, max_epoch=4))
    assert all(value.isfinite().all() for value in read_weights(tmp_path / "router/model.pth").values())


def test_a_new_router_is_put_on_a_trained_model_and_trained_alone(conformer, data, tmp_path):
    new = {"router": "tdnn", "router_conf": {"channels": 12, "layers": 3}, "router_input": "subsampled"}
    main(options_of(conformer, data, tmp_path, encoder_conf=new))
    before, after = read_weights(conformer.weights), read_weights(tmp_path / "model.pth")
    for name, value in before.items():
        assert name.startswith("encoder.router.") or after[name].equal(value), name
    assert after["encoder.router.convs.2.weight"].shape[:2] == (12, 12)  # a third layer
    config = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert {name: config["encoder_conf"][name] for name in new} == new
    speech2text = Speech2Text(tmp_path / "config.yaml", tmp_path / "model.pth", beam_size=1)
    assert speech2text(batch_of(["en"])["speech"][0]).language in LANGUAGES


def test_of_a_new_router_only_its_own_options_can_be_chosen(tiny_model, data, tmp_path):
    with pytest.raises(SystemExit, match="^router_train: encoder_conf: output_size is fixed by the trained model"):
        main(options_of(tiny_model, data, tmp_path, encoder_conf={"router": "linear", "output_size": 8}))
    with pytest.raises(SystemExit, match="^router_train: encoder_conf: router_input must be"):
        main(options_of(tiny_model, data, tmp_path, encoder_conf={"router_input": "text"}))
    with pytest.raises(SystemExit, match="^router_train: router_conf: .*unexpected keyword argument 'chanels'"):
        main(options_of(tiny_model, data, tmp_path, encoder_conf={"router": "tdnn", "router_conf": {"chanels": 8}}))


def test_an_option_of_specaug_that_does_not_exist(tiny_model, data, tmp_path):
    with pytest.raises(SystemExit, match="^router_train: specaug_conf: .*unexpected keyword argument 'masks'"):
        main(options_of(tiny_model, data, tmp_path, specaug="specaug", specaug_conf={"masks": 2}))


def test_without_a_new_router_the_configuration_stays(tiny_model, data, tmp_path):
    main(options_of(tiny_model, data, tmp_path))
    written, trained = ((tmp_path / "config.yaml"), tiny_model.config)
    assert yaml.safe_load(written.read_text(encoding="utf-8")) == yaml.safe_load(trained.read_text(encoding="utf-8"))


def test_audio_is_augmented_and_features_are_masked_in_training(tiny_model, data, tmp_path):
    augmentation = {"speed": [0.8, 1.25], "conditions": {"clean": 1, "noise": 2, "codec": 0.5}, "seconds": 0.6}
    masks = {"apply_time_warp": False, "apply_freq_mask": True, "apply_time_mask": False}
    heard = {"preprocessor_conf": {"augmentation": augmentation}, "specaug": "specaug", "specaug_conf": masks}
    main(options_of(tiny_model, data, tmp_path / "augmented", **heard))
    main(options_of(tiny_model, data, tmp_path / "plain"))
    augmented, plain = (read_weights(tmp_path / name / "model.pth") for name in ("augmented", "plain"))
    assert any(not augmented[name].equal(plain[name]) for name in plain)

    model = RouterModel(build_model(tiny_model.config), SpecAug(**masks)).train()
    batch = batch_of(["en", "de"])
    model.router.eval()  # no dropout: what differs is the masks
    losses = [float(model(**batch)[0]) for _ in range(2)]
    assert losses[0] != losses[1]
    model.eval()
    assert float(model(**batch)[0]) == float(model(**batch)[0])


def test_languages_are_drawn_equally_often(tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", ["en"] * 9 + ["de"])
    (data / "category2utt").write_text("de utt9\nen " + " ".join(f"utt{n}" for n in range(9)) + "\n", encoding="utf-8")
    drawn = {"batch_type": "catpow", "batch_bins": 8000, "upsampling_factor": 0.0, "valid_batch_type": "unsorted",
             "iterator_type": "category", "valid_iterator_type": "sequence"}
    seen = []
    original = RouterModel.forward
    try:
        RouterModel.forward = lambda self, speech, speech_lengths, lid, **rest: (
            seen.extend([bytes(label[:2].tolist()).decode() for label in lid] if self.training else []),
            original(self, speech, speech_lengths, lid, **rest),
        )[1]
        main(options_of(tiny_model, data, tmp_path / "router", max_epoch=6, num_iters_per_epoch=8, **drawn))
    finally:
        RouterModel.forward = original
    assert 0.35 < seen.count("de") / len(seen) < 0.65
