"""Trainings of models in which languages share an expert: from nothing, of the router, of a language that is added."""

import re

import pytest
import torch
from added_language import OLD_TOKENS, SPEECHES, add, config_of, of_experts, write_texts
from test_training import EPOCHS, options_of
from tiny import CONFIG, LANGUAGES, fine_tuning_options, write_data_dir, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_train, router_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import load_asr_model
from espnet_blrmoe.files.weights import read_weights

FAR = {"far": ["en", "zh-CN"]}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory) -> ModelFiles:
    encoder_conf = {**CONFIG["encoder_conf"], "experts": FAR}
    return write_model(tmp_path_factory.mktemp("grouped") / "asr", encoder_conf=encoder_conf)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data_dir(tmp_path_factory.mktemp("data"), [LANGUAGES[n % 3] for n in range(8)])
    (folder / "text").write_text("".join(f"utt{n} {'abc'[n % 3 :]}\n" for n in range(8)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("freeze_param", [[], ["shared"]])
def test_a_training(data, tmp_path, freeze_param):
    changes = {"encoder_conf": {**CONFIG["encoder_conf"], "experts": FAR}, "freeze_param": freeze_param}
    asr_train.main(options_of(data, tmp_path / "asr", **changes))
    first, last = (read_weights(tmp_path / "asr" / f"{epoch}epoch.pth") for epoch in (1, EPOCHS))
    moved = {name for name, value in last.items() if not value.equal(first[name])}
    assert {len(last[name]) for name in last if of_experts(name)} == {2}
    assert {name for name in last if of_experts(name) or ".router." in name} <= moved
    assert ("ctc.ctc_lo.weight" in moved) != bool(freeze_param)
    model = load_asr_model(ModelFiles.in_folder(tmp_path / "asr"))
    assert str(model.encoder.groups) == "far (en, zh-CN), de"


def test_groups_that_do_not_fit_end_in_one_sentence(data, tmp_path):
    changes = {"encoder_conf": {**CONFIG["encoder_conf"], "experts": {"far": ["en", "fr"]}}}
    with pytest.raises(SystemExit) as ended:
        asr_train.main(options_of(data, tmp_path / "asr", **changes))
    message = "asr_train: error: encoder_conf: experts: 'far': unknown language 'fr'; this model knows en, de, zh-CN"
    assert str(ended.value) == message


@pytest.mark.parametrize("new", [{}, {"encoder_conf": "router=linear"}])
def test_the_router_is_fine_tuned(grouped, data, tmp_path, new):
    inputs = "wav.scp,speech,sound", "utt2lang,lid,text"
    router_train.main(fine_tuning_options(grouped, data, tmp_path / "router", inputs, **new))
    before, after = read_weights(grouped.weights), read_weights(tmp_path / "router/model.pth")
    assert all(after[name].equal(value) for name, value in before.items() if ".router." not in name)
    assert config_of(ModelFiles.in_folder(tmp_path / "router"))["encoder_conf"]["experts"] == FAR


@pytest.mark.parametrize("like", [None, "zh-CN"])
def test_a_language_is_added_with_an_expert_of_its_own(grouped, french, tmp_path, like):
    added = add(grouped, french, tmp_path / "asr", like=like)
    before, after = read_weights(grouped.weights), read_weights(added.weights)
    for name in filter(of_experts, before):
        assert after[name][:2].equal(before[name])
        assert len(after[name]) == 3 and not any(after[name][2].equal(row) for row in before[name])
    assert config_of(added)["encoder_conf"]["experts"] == FAR


@pytest.mark.parametrize("group", ["far", "de"])
def test_a_language_joins_a_group_whose_expert_stays(grouped, french, tmp_path, group, capsys):
    added = add(grouped, french, tmp_path / "asr", group=group, like="de")
    assert "4 languages (en, de, zh-CN, fr), 9 tokens" in capsys.readouterr().out
    before, after = read_weights(grouped.weights), read_weights(added.weights)
    for name, value in before.items():
        if name.startswith(("ctc.", "encoder.router.output.")):
            assert after[name][: len(value)].equal(value) and len(after[name]) > len(value)
        elif name != "encoder.language_codes":
            assert after[name].equal(value)
    router = after["encoder.router.output.weight"]
    assert router[3].equal(router[1])
    members = {"far": {"far": ["en", "zh-CN", "fr"]}, "de": {**FAR, "de": ["de", "fr"]}}
    assert config_of(added)["encoder_conf"]["experts"] == members[group]
    old, new = (Speech2Text(model.config, model.weights, LANGUAGES, beam_size=1) for model in (grouped, added))
    assert [result.text for result in new.batch(SPEECHES)] == [result.text for result in old.batch(SPEECHES)]
    trained = read_weights(tmp_path / "asr/training/valid.loss.best.pth")
    learned = next(value for name, value in trained.items() if name.endswith("ctc_lo.parametrizations.weight.original"))
    assert after["ctc.ctc_lo.weight"][len(OLD_TOKENS) :].equal(learned)


def test_where_nothing_is_new_nothing_is_trained(grouped, tmp_path):
    data = write_texts(tmp_path / "data", "fr")
    (data / "text").write_text("".join(f"utt{n} a b\n" for n in range(4)), encoding="utf-8")
    added = add(grouped, data, tmp_path / "asr", group="far")
    assert {path.name for path in (tmp_path / "asr").iterdir()} == {"config.yaml", "model.pth"}
    model, old = load_asr_model(added), read_weights(grouped.weights)
    assert str(model.encoder.groups) == "far (en, zh-CN, fr), de"
    assert config_of(added)["token_list"] == OLD_TOKENS
    weights = model.state_dict()
    assert all(weights[name].equal(old[name]) for name in filter(of_experts, old))
    router = model.encoder.router.output.weight
    assert torch.equal(router[:3], old["encoder.router.output.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": "near"}, "no expert is called 'near'; the model's are far (en, zh-CN), de"),
        ({"language": "far"}, "a group is called 'far' already; join it with --group far"),
    ],
)
def test_mistakes_leave_no_model_behind(grouped, french, tmp_path, changes, message):
    with pytest.raises(SystemExit, match=f"^add_language: {re.escape(message)}$"):
        add(grouped, french, tmp_path / "asr", **changes)
    assert not list(tmp_path.glob("asr/*.*"))
