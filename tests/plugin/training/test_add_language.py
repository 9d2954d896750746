"""A language added to a trained model: what learns, what stays bit for bit, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from added_language import INPUTS, OLD_TOKENS, TEXTS, add, config_of, of_experts, write_texts
from tiny import (
    CONFIG,
    RATE,
    NamelessRouter,
    batch_of,
    fine_tuning_options,
    one_sentence,
    write_data_dir,
    write_model,
    write_training_config,
)

from espnet_blrmoe import Speech2Text, router_choices
from espnet_blrmoe.bin import router_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import build_asr_model, load_asr_model
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.inference import pauses
from espnet_blrmoe.languages import LABEL_PADDING, LanguageStretch, encode_label
from espnet_blrmoe.training.language_task import NewLanguageModel


@pytest.mark.parametrize("keep_nbest_models", [1, 3])  # the best epoch; the average of three, which rounds
@pytest.mark.parametrize("like", [None, "de"])
def test_only_the_new_expert_and_the_new_tokens_learn(conformer, french, tmp_path, like, keep_nbest_models):
    options = {"max_epoch": 3, "optim_conf": "{lr: 0.01, weight_decay: 0.5}", "keep_nbest_models": keep_nbest_models}
    added = add(conformer, french, tmp_path / "asr", like=like, **options)
    before, after = read_weights(conformer.weights), read_weights(added.weights)
    checkpoint = "valid.loss.best.pth" if keep_nbest_models == 1 else "valid.loss.ave_3best.pth"
    trained = read_weights(tmp_path / "asr" / "training" / checkpoint)
    assert after.keys() == before.keys()
    assert any("running_var" in name for name in before)
    experts = 0
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        if of_experts(name):
            experts += 1
            assert after[name][:3].equal(value), name
            assert not any(after[name][3].equal(expert) for expert in value), name
        elif name.startswith("ctc."):
            assert after[name][: len(OLD_TOKENS)].equal(value), name
            assert len(after[name]) == len(OLD_TOKENS) + 2
        elif name.startswith("encoder.router.output."):
            assert after[name][:3].equal(value), name
            assert after[name][3].equal(value[1]) == (like == "de")
            torch.testing.assert_close(after[name], trained[f"asr_model.{name}"])  # a fresh class: the very one
        elif name != "encoder.language_codes":
            assert after[name].equal(value), name
            torch.testing.assert_close(trained[f"asr_model.{name}"], value)  # nor did it move while it was trained
    assert experts == 2 * 6 * 2  # weights and biases of V, O and two feed-forward modules of two layers in two blocks


def test_the_training_lowers_the_new_languages_loss(conformer, french, tmp_path):
    added = add(conformer, french, tmp_path / "asr", like="en", max_epoch=10)
    config = config_of(added)
    speeches = [torch.from_numpy(soundfile.read(french / f"utt{n}.wav", dtype="float32")[0]) for n in range(4)]
    texts = [[config["token_list"].index({" ": "<space>"}.get(c, c)) for c in text] for text in TEXTS["fr"]]
    batch = {
        "speech": torch.nn.utils.rnn.pad_sequence(speeches, batch_first=True),
        "speech_lengths": torch.tensor([len(speech) for speech in speeches]),
        "text": torch.nn.utils.rnn.pad_sequence(map(torch.tensor, texts), batch_first=True, padding_value=-1),
        "text_lengths": torch.tensor([len(text) for text in texts]),
    }
    trained = load_asr_model(added)
    untrained = load_asr_model(added)
    weights = untrained.state_dict()
    for name in weights:
        if of_experts(name):
            weights[name][3] = weights[name][0]  # English's, from which it started
    losses = [
        NewLanguageModel(model, len(OLD_TOKENS)).eval()(**batch)[0].item() for model in (trained, untrained)
    ]
    assert losses[0] < 0.8 * losses[1]


def test_only_what_is_new_has_gradients_and_only_dropout_beside_experts_is_active(conformer):
    config = {**config_of(conformer), "specaug": "specaug", "specaug_conf": {"time_mask_width_range": 5}}
    asr_model = build_asr_model(config)
    model = NewLanguageModel(asr_model, len(OLD_TOKENS) - 1).train()  # as if <sos/eos> and zh-CN were new
    parts = [f"{n}.{part}" for n in (1, 2) for part in ("self_attn", "feed_forward", "feed_forward_macaron")]
    with_experts = tuple(f"asr_model.encoder.encoders.{part}." for part in parts)
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.SiLU):  # one for all blocks; computes the same in both modes
            follows = name in ("", "asr_model", "asr_model.encoder")  # the last draws chunks, where it has them
            assert module.training == (follows or f"{name}.".startswith(with_experts)), name
    masked = []
    asr_model.specaug.register_forward_hook(lambda *_: masked.append(True))
    loss, stats, weight = model(**{**batch_of(["zh-CN", "zh-CN"]), "lid": None})
    loss.backward()
    assert masked and weight == 2 and torch.isfinite(stats["loss_ctc"])
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("parametrizations" in name and len(parameter) == 1 for name, parameter in learning.items())
    assert all(parameter.grad.any() for parameter in learning.values())
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name not in learning)
    masked.clear()
    assert "cer_ctc" in model.eval()(**batch_of(["zh-CN"]))[1]
    assert not masked


def test_of_experts_of_low_rank_only_the_newest_difference_learns(conformer):
    config = config_of(conformer)
    model = build_asr_model({**config, "encoder_conf": {**config["encoder_conf"], "expert_rank": 2}})
    model = NewLanguageModel(model, len(OLD_TOKENS)).train()  # as if zh-CN were new
    model(**{**batch_of(["zh-CN", "zh-CN"]), "lid": None})[0].backward()
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    for name, parameter in learning.items():
        assert ".difference.parametrizations." in name and len(parameter) == 1
        # `up` is zero in the first step, in which `down` therefore has no gradient.
        assert parameter.grad.any() == (".up." in name)
    dropouts = [module for name, module in model.named_modules() if name.endswith("2.feed_forward.dropout")]
    assert len(dropouts) == 1 and dropouts[0].training


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_stretches_of_another_language_are_refused(conformer, places):
    model = NewLanguageModel(build_asr_model(config_of(conformer)), len(OLD_TOKENS))  # as if zh-CN were new
    stretches = [LanguageStretch(code, 0.5 * n, 0.5 + 0.5 * n) for code, n in zip(("zh-CN", "de"), places)]
    batch = batch_of(["zh-CN", "zh-CN"])
    labels = [torch.from_numpy(encode_label(label)) for label in ("zh-CN", sorted(stretches, key=lambda s: s.start))]
    batch["lid"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=LABEL_PADDING)
    assert "utterance utt1 has language 'de' in utt2lang; give utterances in 'zh-CN' only" in one_sentence(
        lambda: model(**batch)
    )


def test_utterances_of_another_language_are_refused(conformer, tmp_path):
    data = write_texts(tmp_path / "data", "fr")
    labels = *INPUTS, "utt2lang,lid,text"
    add(conformer, data, tmp_path / "asr", labels, max_epoch=1)
    (data / "utt2lang").write_text("utt0 fr\nutt1 fr\nutt2 de\nutt3 fr\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="^add_language: .*utt2lang: utterance utt2 has language 'de', .* of fr;"):
        add(conformer, data, tmp_path / "other", labels)
    assert not list((tmp_path / "other").glob("*.*"))


def test_the_same_command_gives_the_same_model(conformer, french, tmp_path):
    models = [add(conformer, french, tmp_path / str(n), max_epoch=1) for n in range(2)]
    first, second = (read_weights(model.weights) for model in models)
    assert all(value.equal(second[name]) for name, value in first.items())


def test_a_trained_router_detects_the_new_language_and_the_old_ones(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(pauses, "speech_stretches", lambda wave, fs: [(0, len(wave))])  # a tone here
    pitch = {"en": 250.0, "de": 700.0, "zh-CN": 1500.0, "fr": 2800.0}
    generator = np.random.default_rng(0)

    def tone(language: str) -> np.ndarray:
        time = np.arange(RATE) / RATE
        wave = np.sin(2 * np.pi * pitch[language] * time) + 0.05 * generator.standard_normal(RATE)
        return (0.2 * wave).astype(np.float32)

    def write(folder: Path, languages: list[str]) -> Path:
        write_data_dir(folder, languages)
        for n, language in enumerate(languages):
            soundfile.write(folder / f"utt{n}.wav", tone(language), RATE, subtype="FLOAT")
        (folder / "utt2num_samples").write_text("".join(f"utt{n} {RATE}\n" for n in range(len(languages))))
        return folder

    french = write(tmp_path / "fr", ["fr"] * 4)
    (french / "text").write_text("".join(f"utt{n} {text}\n" for n, text in enumerate(TEXTS["fr"])), encoding="utf-8")
    added = add(tiny_model, french, tmp_path / "asr", like="de")
    pairs = write(tmp_path / "pairs", list(pitch) * 4)
    inputs = "wav.scp,speech,sound", "utt2lang,lid,text"
    options = fine_tuning_options(added, pairs, tmp_path / "router", inputs, max_epoch=25)
    router_train.main(options)
    speech2text = Speech2Text(added.config, tmp_path / "router" / "model.pth", beam_size=1)
    for language in pitch:
        assert speech2text(tone(language)).language == language
    assert speech2text(tone("fr"), ["en", "de"]).language in ("en", "de")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language": "de"}, "the model knows language 'de' already: en, de, zh-CN"),
        ({"language": "fr,it"}, "languages are added one at a time, not 'fr,it'"),
        ({"language": " "}, "the list of languages is empty"),
        ({"like": "es"}, "unknown language 'es'; this model knows en, de, zh-CN"),
        ({"asr_model_file": "none.pth"}, "none.pth does not exist; train a model first"),
        ({"asr_train_config": "none.yaml"}, "none.yaml does not exist"),
        ({"asr_train_config": "smaller.yaml"}, "does not fit the training configuration"),
        ({"asr_train_config": "espnet.yaml"}, "is not of a BLR-MoE model: it says 'model: espnet'"),
        ({"inputs": ("wav.scp,speech,sound",)}, "no transcripts; add --train_data_path_and_name_and_type"),
        ({"inputs": ("wav.scp,speech,sound", "none,text,text")}, "none"),
        ({"inputs": ("wav.scp,speech,sound", "empty,text,text")}, "empty holds no transcript"),
        ({"inputs": ("wav.scp,speech,sound", "twice,text,text")}, "twice: .*utt0 is duplicated"),
        ({"inputs": ("wav.scp,speech,sound", "short,text,text")}, "short has no line for utterance utt1 of .*; add it"),
        ({"inputs": ("none,speech,sound", "text,text,text")}, "none"),
        ({"inputs": ("text,text,text",)}, """"\\('speech', 'text'\\)" are required for LanguageTask"""),
    ],
)
def test_mistakes_leave_no_model_behind(tiny_model, tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    data = write_texts(tmp_path / "data", "fr")
    (data / "empty").write_text("".join(f"utt{n}\n" for n in range(len(TEXTS["fr"]))), encoding="utf-8")
    (data / "short").write_text("utt0 a\n", encoding="utf-8")
    (data / "twice").write_text("utt0 a\nutt0 b\n", encoding="utf-8")
    write_training_config(tmp_path / "smaller", encoder_conf={**CONFIG["encoder_conf"], "linear_units": 20})
    (tmp_path / "smaller" / "config.yaml").rename("smaller.yaml")
    Path("espnet.yaml").write_text("model: espnet\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=f"^add_language: .*{message}"):
        add(tiny_model, data, tmp_path / "asr", **changes)
    assert not list(tmp_path.glob("asr/*.*"))


def test_options_without_which_nothing_works(tiny_model, french, tmp_path, capsys):
    with pytest.raises(SystemExit):
        add(tiny_model, french, tmp_path / "asr", language=None)
    assert "language" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["config.yaml", "model.pth"])
def test_a_model_is_not_overwritten(tiny_model, french, tmp_path, there):
    (tmp_path / "asr").mkdir()
    (tmp_path / "asr" / there).write_text("a model")
    with pytest.raises(SystemExit, match=f"^add_language: .*{there} exists already; remove it or choose another"):
        add(tiny_model, french, tmp_path / "asr")
    assert [path.name for path in (tmp_path / "asr").iterdir()] == [there]


def test_a_model_with_a_decoder_is_refused(french, tmp_path):
    decoder = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    changes = {"decoder": "transformer", "decoder_conf": decoder, "model_conf": {"ctc_weight": 0.5}}
    model = write_model(tmp_path / "hybrid", **changes)
    with pytest.raises(SystemExit, match="^add_language: languages can be added to models trained with CTC only"):
        add(model, french, tmp_path / "asr")


def test_a_router_that_cannot_take_in_a_language(french, tmp_path, monkeypatch):
    monkeypatch.setitem(router_choices.classes, "other", NamelessRouter)
    encoder_conf = {**CONFIG["encoder_conf"], "router": "other", "router_conf": {}}
    config = write_training_config(tmp_path / "other", encoder_conf=encoder_conf)
    torch.save(build_asr_model(yaml.safe_load(config.read_text())).state_dict(), tmp_path / "model.pth")
    with pytest.raises(SystemExit, match="^add_language: NamelessRouter has no linear layer `output`; give it a add_l"):
        add(ModelFiles(config, tmp_path / "model.pth"), french, tmp_path / "asr")
