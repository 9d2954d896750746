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
    write_data_dir,
    write_model,
    write_training_config,
)

<<<<<<< HEAD
from espnet_blrmoe import AbsRouter, LanguagePrior, Speech2Text, router_choices
from espnet_blrmoe.bin import add_language, prune_experts, router_train
from espnet_blrmoe.files.extending import extend_vocabulary
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import build_asr_model, load_asr_model
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.model.experts import ExpertLinear
from espnet_blrmoe.model.prior import LanguageChoice
=======
from espnet_blrmoe import Speech2Text, router_choices
from espnet_blrmoe.bin import router_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import build_asr_model, load_asr_model
from espnet_blrmoe.files.weights import read_weights
>>>>>>> h3
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
            assert module.training == (f"{name}.".startswith(with_experts) or name in ("", "asr_model")), name
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


def test_utterances_of_another_language_are_refused(conformer, tmp_path):
    data = write_texts(tmp_path / "data", "fr")
    labels = *INPUTS, "utt2lang,lid,text"
    add(conformer, data, tmp_path / "asr", labels, max_epoch=1)
    (data / "utt2lang").write_text("utt0 fr\nutt1 fr\nutt2 de\nutt3 fr\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="^add_language: utterance utt2 has language 'de' .*; give utterances in 'fr'"):
        add(conformer, data, tmp_path / "other", labels)
    assert not list((tmp_path / "other").glob("*.*"))


def test_the_same_command_gives_the_same_model(conformer, french, tmp_path):
    models = [add(conformer, french, tmp_path / str(n), max_epoch=1) for n in range(2)]
    first, second = (read_weights(model.weights) for model in models)
    assert all(value.equal(second[name]) for name, value in first.items())


<<<<<<< HEAD
# ------------------------------------------------------------------------------------------------- the larger model


def test_the_configuration_is_the_old_one_with_the_language_and_its_tokens(conformer, extended):
    old, new = config_of(conformer), config_of(extended)
    assert new["encoder_conf"]["languages"] == [*LANGUAGES, "fr"]
    assert new["token_list"] == [*OLD_TOKENS, "ç", "é"]
    assert new["model_conf"] == {**old["model_conf"], "added_tokens": {"fr": ["ç", "é"]}}
    new["encoder_conf"]["languages"].pop()
    assert {**new, "token_list": old["token_list"], "model_conf": old["model_conf"]} == old


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 3, "nbest": 3}], ids=["best-path", "beam-search"])
@pytest.mark.parametrize("languages", [["en"], ["de", "zh-CN"], list(LANGUAGES)], ids=",".join)
def test_old_languages_results_under_a_hard_prior_are_unchanged(conformer, extended, languages, options):
    old, new = (Speech2Text(model.config, model.weights, languages, **options) for model in (conformer, extended))
    lengths = torch.tensor([len(speech) for speech in SPEECHES])
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(speech) for speech in SPEECHES], batch_first=True)
    with torch.no_grad():
        choices = [LanguageChoice(LanguagePrior.allow([languages], own.languages)) for own in (old, new)]
        encoded = [own.asr_model.encode_with_routing(speech, lengths, c)[0] for own, c in zip((old, new), choices)]
    assert encoded[1].equal(encoded[0])
    singly = [new(speech) for speech in SPEECHES]
    for results in (new.batch(SPEECHES), singly):
        for result, expected in zip(results, old.batch(SPEECHES)):
            assert (result.text, result.language, result.timeline) == (
                expected.text, expected.language, expected.timeline
            )  # fmt: skip
            assert result.language_probability == pytest.approx(expected.language_probability, abs=1e-5)
            ids, scores = zip(*((ids, float(best.score)) for *_, ids, best in result.hypotheses))
            expected_ids, expected_scores = zip(*((ids, float(best.score)) for *_, ids, best in expected.hypotheses))
            assert ids == expected_ids
            assert scores == pytest.approx(expected_scores, rel=1e-4)
    assert any(result.text for result in singly)


@pytest.mark.parametrize("beam_size", [1, 2])
def test_new_tokens_where_their_language_is_possible(extended, beam_size):
    speech2text = Speech2Text(extended.config, extended.weights, beam_size=beam_size)
    texts = [t.text for t in speech2text.batch([SPEECHES[1]] * 4, [["fr"], ["en"], ["de", "fr"], ["de", "en"]])]
    assert [bool(set(text) & set("çé")) for text in texts] == [True, False, True, False]
    assert set("çé") & set(speech2text(SPEECHES[1]).text)
    soft = Speech2Text(extended.config, extended.weights, ["en"], language_penalty=5.0, beam_size=beam_size)
    assert set("çé") & set(soft(SPEECHES[1]).text)


def test_a_list_that_an_utterance_escapes_excludes_no_tokens(extended):
    escaped, kept = (
        Speech2Text(extended.config, extended.weights, ["en", "de"], language_escape=threshold, beam_size=1)
        for threshold in (1e-9, 1 - 1e-9)
    )
    assert set("çé") & set(escaped(SPEECHES[1]).text)
    assert not set("çé") & set(kept(SPEECHES[1]).text)


def test_pruning_the_language_away_gives_the_old_model_back(conformer, extended, tmp_path):
    pruned = prune(extended, ",".join(LANGUAGES), tmp_path / "pruned")
    before, after = read_weights(conformer.weights), read_weights(pruned.weights)
    assert before.keys() == after.keys()
    assert all(after[name].equal(value) for name, value in before.items() if name != "encoder.language_codes")
    config = config_of(pruned)
    assert config["model_conf"].pop("added_tokens") == {}
    assert config == config_of(conformer)


@pytest.mark.parametrize("languages", ["fr", "de,fr", "en,de"])
def test_a_pruned_model_gives_the_results_of_the_whole_one(extended, tmp_path, languages):
    pruned = prune(extended, languages, tmp_path / "pruned")
    results = Speech2Text(pruned.config, pruned.weights, beam_size=1).batch(SPEECHES)
    expected = Speech2Text(extended.config, extended.weights, languages, beam_size=1).batch(SPEECHES)
    assert [(r.text, r.language, r.timeline) for r in results] == [(r.text, r.language, r.timeline) for r in expected]


def test_pruning_the_vocabulary_keeps_what_the_language_uses(extended, tmp_path):
    (tmp_path / "text").write_text("utt0 aç\n", encoding="utf-8")
    (tmp_path / "utt2lang").write_text("utt0 fr\n", encoding="utf-8")
    options = {**extended.as_options(), "languages": "fr"}
    files = {"text": tmp_path / "text", "utt2lang": tmp_path / "utt2lang", "output_dir": tmp_path / "pruned"}
    prune_experts.main([f"--{name}={value}" for name, value in (options | files).items()])
    config = yaml.safe_load((tmp_path / "pruned" / "config.yaml").read_text(encoding="utf-8"))
    assert config["token_list"] == ["<blank>", "<unk>", "a", "<sos/eos>", "ç"]
    assert config["model_conf"]["added_tokens"] == {"fr": ["ç"]}
    load_asr_model(ModelFiles.in_folder(tmp_path / "pruned"))


def test_a_second_language_shares_tokens_with_the_first(extended, tmp_path):
    both = add(extended, write_texts(tmp_path / "data", "it"), tmp_path / "asr", language="it", like="fr")
    config = config_of(both)
    assert config["encoder_conf"]["languages"] == [*LANGUAGES, "fr", "it"]
    assert config["token_list"] == [*OLD_TOKENS, "ç", "é", "è"]
    assert config["model_conf"]["added_tokens"] == {"fr": ["ç", "é"], "it": ["ç", "è"]}
    weights = read_weights(both.weights)
    weights["ctc.ctc_lo.bias"][-1] += 100.0  # è before all others
    torch.save(weights, both.weights)
    old, new = (Speech2Text(model.config, model.weights, beam_size=1) for model in (extended, both))
    for languages in (["en", "de"], ["fr"], ["fr", "zh-CN"]):
        for speech in SPEECHES:
            assert new(speech, languages).text == old(speech, languages).text
    assert set(new(SPEECHES[0], ["it"]).text) == {"è"}
    pruned = prune(both, "en,it", tmp_path / "pruned")
    config = config_of(pruned)
    assert config["token_list"] == [*OLD_TOKENS, "ç", "è"]
    assert config["model_conf"]["added_tokens"] == {"it": ["ç", "è"]}
    assert Speech2Text(pruned.config, pruned.weights, beam_size=1)(SPEECHES[0], "it").text


def test_a_one_language_model_gets_a_router(conformer, french, tmp_path):
    english = prune(conformer, "en", tmp_path / "en")
    two = add(english, french, tmp_path / "asr", like="en")
    model = load_asr_model(two)
    assert model.languages == ("en", "fr")
    assert model.encoder.router.output.out_features == 2
    old, new = (Speech2Text(own.config, own.weights, ["en"], beam_size=1) for own in (english, two))
    assert [result.text for result in new.batch(SPEECHES)] == [result.text for result in old.batch(SPEECHES)]


def test_the_encoder_forgets_what_it_was_given_bit_for_bit(tiny_model):
    encoder = build_model(tiny_model.config).encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.add_language("fr", like="zh-CN")
    packed = [module for module in encoder.modules() if isinstance(module, ExpertLinear)]
    assert packed and all(module.weight[3].equal(module.weight[2]) for module in packed)
    encoder.add_language("it")
    assert encoder.languages == (*LANGUAGES, "fr", "it")
    assert not any(module.weight[4].equal(expert) for module in packed for expert in module.weight[:4])
    encoder.keep_languages(LANGUAGES)
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(after[name].equal(value) for name, value in before.items())


# ------------------------------------------------------------------------------------------------- and then the router


=======
>>>>>>> h3
def test_a_trained_router_detects_the_new_language_and_the_old_ones(tiny_model, tmp_path):
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
    with pytest.raises(SystemExit, match="^add_language: languages can be added to models trained with CTC alone"):
        add(model, french, tmp_path / "asr")


def test_a_router_that_cannot_take_in_a_language(french, tmp_path, monkeypatch):
    monkeypatch.setitem(router_choices.classes, "other", NamelessRouter)
    encoder_conf = {**CONFIG["encoder_conf"], "router": "other", "router_conf": {}}
    config = write_training_config(tmp_path / "other", encoder_conf=encoder_conf)
    torch.save(build_asr_model(yaml.safe_load(config.read_text())).state_dict(), tmp_path / "model.pth")
    with pytest.raises(SystemExit, match="^add_language: NamelessRouter has no linear layer `output`; give it a add_l"):
        add(ModelFiles(config, tmp_path / "model.pth"), french, tmp_path / "asr")
