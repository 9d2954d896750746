"""A model with an added language: old results stay, and new tokens stay out of the others' way."""

import itertools

import pytest
import sentencepiece
import torch
import yaml
from added_language import OLD_TOKENS, SPEECHES, add, config_of, prune, write_texts
from tiny import LANGUAGES, build_model

from espnet_blrmoe import LanguagePrior, Speech2Text
from espnet_blrmoe.bin import prune_experts
from espnet_blrmoe.files.extending import extend_vocabulary
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.files.trained_model import build_asr_model, load_asr_model
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.model.experts import ExpertLinear
from espnet_blrmoe.model.prior import LanguageChoice


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


@pytest.mark.parametrize("added", [{"fr": ["a"]}, {"en": ["ç"]}])
def test_added_tokens_that_do_not_fit_the_model(tiny_model, added):
    with pytest.raises(ValueError, match="added_tokens of '(fr|en)': an unknown language or an unknown token"):
        build_asr_model({**config_of(tiny_model), "model_conf": {"ctc_weight": 1.0, "added_tokens": added}})


@pytest.fixture(scope="module", params=[False, True], ids=["unknown", "bytes"])
def bpe(request, tmp_path_factory) -> dict:
    """Options of a model of BPE pieces, made from texts with the letters a to f, with and without bytes for others."""
    folder = tmp_path_factory.mktemp("bpe")
    words = ["".join(letters) for letters in itertools.product("abcdef", repeat=3)]
    (folder / "text").write_text("\n".join(words), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "bpe"), vocab_size=30 + 256 * request.param,
        byte_fallback=request.param, model_type="bpe", minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    pieces = [processor.id_to_piece(n) for n in range(3, processor.get_piece_size())]
    tokens = ["<blank>", "<unk>", *pieces, "<sos/eos>"]
    return {"token_type": "bpe", "bpemodel": str(folder / "bpe.model"), "token_list": tokens}


def test_a_bpe_vocabulary_stays_as_it_is(tiny_model, bpe, caplog):
    config = {**config_of(tiny_model), **bpe}
    model = build_asr_model(config)
    assert extend_vocabulary(config, model, ["abc fed", "cab"]) == config
    assert not caplog.records or "unknown to the BPE model" not in caplog.text
    assert extend_vocabulary(config, model, ["abc fed cab fad bee aç"] + ["dead beef"] * 5) == config
    assert "1 of the texts' " in caplog.text and "unknown to the BPE model, which cannot learn more: " in caplog.text
    with pytest.raises(ValueError, match=r"^\d+ of the texts' \d+ characters are unknown to the BPE model.*train a"):
        extend_vocabulary(config, model, ["привет мир"])
