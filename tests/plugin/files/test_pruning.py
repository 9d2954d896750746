"""Physical pruning: a smaller model with the results of the whole one under a hard prior."""

import argparse
import io
import itertools

import pytest
import sentencepiece
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import CONFIG, LANGUAGES, NamelessRouter, build_model, speech_of, write_model, write_training_config

from espnet_blrmoe import LanguagePrior, Speech2Text, router_choices
from espnet_blrmoe.bin import prune_experts, router_train
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.model.encoder import BLRMoEEncoder

SUBSETS = [list(codes) for n in (1, 2, 3) for codes in itertools.combinations(LANGUAGES, n)]
SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0))]


def prune(model: ModelFiles, languages: list[str], folder, *options: str) -> ModelFiles:
    arguments = {**model.as_options(), "languages": ",".join(languages), "output_dir": folder}
    prune_experts.main([*(f"--{name}={value}" for name, value in arguments.items()), *options])
    return ModelFiles.in_folder(folder)


@pytest.mark.parametrize("languages", SUBSETS, ids=",".join)
def test_encoder_output_is_that_of_the_whole_encoder_bit_for_bit(tiny_model, languages):
    whole, pruned = build_model(tiny_model.config).eval().encoder, build_model(tiny_model.config).eval().encoder
    pruned.keep_languages(languages)
    x, lengths = 3 * torch.randn(2, 300, 20, generator=torch.Generator().manual_seed(0)), torch.tensor([300, 245])
    with torch.no_grad(), whole.route(prior=LanguagePrior.allow([languages], LANGUAGES)) as routings:
        expected = whole(x, lengths)[0]
    with torch.no_grad():
        assert pruned(x, lengths)[0].equal(expected)
    assert len(routings[0].language[routings[0].valid].unique()) == len(languages)  # the router was of several minds


def test_bit_for_bit_at_a_real_width():
    codes = [f"l{n}" for n in range(8)]
    options = {"output_size": 256, "num_shared_blocks": 1, "num_moe_blocks": 1, "input_layer": "dwconv2d"}
    torch.manual_seed(0)
    encoder = BLRMoEEncoder(80, languages=codes, router="linear", **options).eval()
    encoder.router.output.weight.data.mul_(10)
    x, lengths = torch.randn(2, 400, 80), torch.tensor([400, 300])
    with torch.no_grad():
        with encoder.route(prior=LanguagePrior.allow(["l1,l6,l3"], codes)) as routings:
            expected = encoder(x, lengths)[0]
        encoder.keep_languages(["l1", "l6", "l3"])
        assert encoder(x, lengths)[0].equal(expected)
    assert len(routings[0].language[routings[0].valid].unique()) == 3


class StubbornRouter(NamelessRouter):
    """Keeps all languages, whatever it is told."""

    def keep_languages(self, kept: list[int]) -> None:
        pass


@pytest.mark.parametrize(
    ("router", "message"),
    [(NamelessRouter, "NamelessRouter has no linear layer `output`"), (StubbornRouter, "does not fit the train")],
)
def test_a_router_that_cannot_be_pruned(router, message, tmp_path, monkeypatch):
    monkeypatch.setitem(router_choices.classes, "other", router)
    encoder_conf = {**CONFIG["encoder_conf"], "router": "other", "router_conf": {}}
    config = write_training_config(tmp_path / "asr", encoder_conf=encoder_conf)
    model = ASRTask.build_model(argparse.Namespace(**yaml.safe_load(config.read_text())))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    with pytest.raises(SystemExit, match=message):
        prune(ModelFiles(config, tmp_path / "model.pth"), ["en", "de"], tmp_path / "pruned")
    assert not list(tmp_path.glob("pruned/*"))
    prune(ModelFiles(config, tmp_path / "model.pth"), ["en"], tmp_path / "one")  # needs no router


@pytest.mark.parametrize("languages", SUBSETS, ids=",".join)
def test_a_pruned_model_gives_the_results_of_the_whole_one(tiny_model, tmp_path, languages):
    pruned = prune(tiny_model, languages, tmp_path / "pruned")
    results = Speech2Text(pruned.config, pruned.weights, beam_size=1).batch(SPEECHES)
    expected = Speech2Text(tiny_model.config, tiny_model.weights, languages, beam_size=1).batch(SPEECHES)
    for result, whole in zip(results, expected):
        assert (result.text, result.language, result.timeline) == (whole.text, whole.language, whole.timeline)
        assert result.language_probability == pytest.approx(whole.language_probability, abs=1e-5)
    weights = torch.load(pruned.weights, weights_only=True)
    assert any(name.startswith("encoder.router.") for name in weights) == (len(languages) > 1)
    assert pruned.weights.stat().st_size <= tiny_model.weights.stat().st_size


def test_tokens_that_the_languages_do_not_use_are_removed(tiny_model, tmp_path):
    (tmp_path / "text").write_text("utt0 a b\nutt1 c\nutt2 b\n", encoding="utf-8")
    (tmp_path / "utt2lang").write_text("utt0 en\nutt1 de\nutt2 zh-CN\n", encoding="utf-8")
    files = "--text", str(tmp_path / "text"), "--utt2lang", str(tmp_path / "utt2lang")
    pruned = prune(tiny_model, ["en", "zh-CN"], tmp_path / "pruned", *files)
    tokens = yaml.safe_load(pruned.config.read_text())["token_list"]
    assert tokens == ["<blank>", "<unk>", "a", "b", "<space>", "<sos/eos>"]
    whole, smaller = (torch.load(model.weights, weights_only=True) for model in (tiny_model, pruned))
    kept = [CONFIG["token_list"].index(token) for token in tokens]
    assert smaller["ctc.ctc_lo.weight"].equal(whole["ctc.ctc_lo.weight"][kept])
    assert set(Speech2Text(pruned.config, pruned.weights, beam_size=1)(SPEECHES[0]).text) <= set("ab <unk>")


def test_bytes_and_the_pieces_of_the_languages_stay(tmp_path):
    texts = {"en": ["abc abc", "cab"], "de": ["яжю юж"], "zh-CN": ["你好吗"]}
    rows = [(f"utt-{code}-{n}", code, text) for code, own in sorted(texts.items()) for n, text in enumerate(own)]
    (tmp_path / "text").write_text("".join(f"{key} {text}\n" for key, _, text in rows), encoding="utf-8")
    (tmp_path / "utt2lang").write_text("".join(f"{key} {code}\n" for key, code, _ in rows), encoding="utf-8")
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for _, _, text in rows]), model_writer=pieces, model_type="bpe", vocab_size=300,
        hard_vocab_limit=False, byte_fallback=True, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "bpe.model").write_bytes(pieces.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=pieces.getvalue())
    tokens = ["<blank>", "<unk>", *(processor.id_to_piece(n) for n in range(3, len(processor))), "<sos/eos>"]
    options = {"token_type": "bpe", "bpemodel": str(tmp_path / "bpe.model"), "token_list": tokens}
    model = write_model(tmp_path / "asr", **options)
    files = "--text", str(tmp_path / "text"), "--utt2lang", str(tmp_path / "utt2lang")
    pruned = prune(model, ["en", "zh-CN"], tmp_path / "pruned", *files)
    kept = yaml.safe_load(pruned.config.read_text())["token_list"]
    assert {f"<0x{byte:02X}>" for byte in range(256)} < set(kept) < set(tokens)
    for text in [*texts["en"], *texts["zh-CN"], "ñ", "한"]:
        assert set(processor.encode_as_pieces(text)) <= set(kept)
    assert not any("ж" in token for token in kept)
    assert isinstance(Speech2Text(pruned.config, pruned.weights, beam_size=1)(SPEECHES[0]).text, str)


def test_a_pruned_model_cannot_be_widened_by_mistake(tiny_model, tmp_path):
    pruned = prune(tiny_model, ["en"], tmp_path / "pruned")
    with pytest.raises(ValueError, match="does not fit the training configuration"):
        Speech2Text(tiny_model.config, pruned.weights)
    with pytest.raises(ValueError, match="unknown language 'de'; this model knows en"):
        Speech2Text(pruned.config, pruned.weights, languages=["de"])


def test_a_router_of_one_language_is_not_trained(tiny_model, tmp_path):
    pruned = prune(tiny_model, ["en"], tmp_path / "pruned")
    options = [f"--asr_train_config={pruned.config}", f"--asr_model_file={pruned.weights}", "--dry_run=true"]
    with pytest.raises(SystemExit, match="has one language, and so no router to train"):
        router_train.main([*options, f"--output_dir={tmp_path / 'router'}"])


@pytest.mark.parametrize(
    ("languages", "options", "message"),
    [
        (["fr"], (), "unknown language 'fr'; this model knows en, de, zh-CN"),
        ([], (), "the list of languages is empty"),
        (["en"], ("--asr_model_file=none.pth",), "none.pth does not exist"),
        (["en"], ("--asr_train_config=none.yaml",), "none.yaml does not exist"),
        (["de"], ("--text=text", "--utt2lang=utt2lang"), "text has no transcript in de"),
        (["en"], ("--text=text", "--utt2lang=empty"), "empty has no line for utterance utt0 of text; add its language"),
        (["en"], ("--text=text",), "--text and --utt2lang need each other"),
        (["en"], ("--text=twice", "--utt2lang=utt2lang"), "utt0 is duplicated"),
        (["en"], ("--text=gap", "--utt2lang=utt2lang"), "gap has an empty line; remove it"),
        (["en"], ("--asr_train_config=options.yaml",), "options.yaml has no frontend_conf; give"),
    ],
)
def test_mistakes_leave_nothing_behind(tiny_model, tmp_path, monkeypatch, languages, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("utt0 a b\n", encoding="utf-8")
    (tmp_path / "utt2lang").write_text("utt0 en\n", encoding="utf-8")
    (tmp_path / "twice").write_text("utt0 a\nutt0 b\n", encoding="utf-8")
    (tmp_path / "gap").write_text("utt0 a\n\n", encoding="utf-8")
    (tmp_path / "options.yaml").write_text("model: blr_moe\nencoder_conf: {}\n", encoding="utf-8")
    (tmp_path / "empty").write_text("utt1 en\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=f"^prune_experts: .*{message}"):
        prune(tiny_model, languages, tmp_path / "pruned", *options)
    assert not (tmp_path / "pruned").exists()


def test_a_model_is_not_overwritten(tiny_model, tmp_path):
    pruned = prune(tiny_model, ["en"], tmp_path / "pruned")
    before = pruned.weights.read_bytes()
    with pytest.raises(SystemExit, match="config.yaml exists already; remove it or choose another --output_dir"):
        prune(tiny_model, ["de"], tmp_path / "pruned")
    assert pruned.weights.read_bytes() == before


def test_an_output_folder_that_is_a_file(tiny_model, tmp_path):
    (tmp_path / "pruned").write_text("something")
    with pytest.raises(SystemExit, match="pruned is a file; choose another --output_dir"):
        prune(tiny_model, ["en"], tmp_path / "pruned")
    assert (tmp_path / "pruned").read_text() == "something"


def test_a_hybrid_model_loses_languages_but_no_tokens(tmp_path):
    decoder = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    changes = {"decoder": "transformer", "decoder_conf": decoder, "model_conf": {"ctc_weight": 0.5}}
    model = write_model(tmp_path / "hybrid", **changes)
    (tmp_path / "text").write_text("utt0 a b\n", encoding="utf-8")
    (tmp_path / "utt2lang").write_text("utt0 en\n", encoding="utf-8")
    files = "--text", str(tmp_path / "text"), "--utt2lang", str(tmp_path / "utt2lang")
    with pytest.raises(SystemExit, match="the vocabulary of a model with a decoder cannot be pruned"):
        prune(model, ["en"], tmp_path / "pruned", *files)
    pruned = prune(model, ["en", "de"], tmp_path / "smaller")
    results = [
        Speech2Text(asr.config, asr.weights, ["en", "de"], beam_size=2)(SPEECHES[1]) for asr in (model, pruned)
    ]
    assert results[0].text == results[1].text
