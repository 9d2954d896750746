"""The decoding program: results of data sets, lists of languages, mistakes."""

import argparse
import json

import numpy as np
import pytest
import soundfile
import torch
import yaml
from arpa_files import write_arpa
from espnet2.tasks.lm import LMTask
from recognition import expect_results, read_table
from tiny import (
    CONFIG,
    RATE,
    speech_of,
)

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.inference import checks
from espnet_blrmoe.model.prior import window_of


def test_decoding(decode, speech2text, recordings):
    expect_results(decode(), speech2text, recordings, [None] * 3)


def test_decoding_with_one_list_of_languages(decode, speech2text, recordings):
    expect_results(decode("--languages", "en,zh-CN"), speech2text, recordings, ["en,zh-CN"] * 3)


def test_decoding_with_a_list_per_utterance(decode, speech2text, recordings, tmp_path):
    utt2langs = tmp_path / "utt2langs"
    utt2langs.write_text("utt2 de\nutt0 en,de\nutt1 zh-CN\n", encoding="utf-8")
    expect_results(decode("--utt2langs", str(utt2langs)), speech2text, recordings, ["en,de", "zh-CN", "de"])


def test_decoding_with_lists_that_change_over_time(decode, speech2text, recordings, tmp_path):
    expect_results(decode("--languages", "en 0.3:de"), speech2text, recordings, ["en 0.3:de"] * 3)
    utt2langs = tmp_path / "utt2langs"
    utt2langs.write_text("utt2 de\nutt0 en,de 0.4:zh-CN\nutt1 zh-CN\n", encoding="utf-8")
    expect_results(decode("--utt2langs", str(utt2langs)), speech2text, recordings, ["en,de 0.4:zh-CN", "zh-CN", "de"])


def test_decoding_of_long_audio_of_two_channels(decode, tiny_model, recordings):
    speech = speech_of(40.0, seed=5)
    soundfile.write(recordings / "utt1.wav", np.stack([speech, speech], axis=1), RATE, subtype="FLOAT")
    in_chunks = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=30)
    assert len(in_chunks(recordings / "utt1.wav").chunks) > 1
    expect_results(decode(), in_chunks, recordings, [None] * 3)


def test_a_text_is_one_line(speech2text, monkeypatch):
    monkeypatch.setattr(speech2text.tokenizer, "tokens2text", lambda tokens: "a\rb \n\u2028 c ")  # as byte fallback may
    assert speech2text(speech_of(1.0, seed=3)).text == "a b c"


def test_a_model_of_espnet_is_decoded_by_espnet(decode, plain_model):
    folder = decode("--batch_size", "2", "--beam_size", "2", model=plain_model)
    assert set(read_table(folder / "text")) == {"utt0", "utt1", "utt2"}
    for languages in ("en", ""):
        with pytest.raises(SystemExit, match="^asr_inference: --languages needs a BLR-MoE model"):
            decode("--languages", languages, model=plain_model)


def test_decoding_with_hotwords(decode, tiny_model, recordings, tmp_path):
    file, config = tmp_path / "names.txt", tmp_path / "decode.yaml"
    file.write_text("BB:20\nc a\n", encoding="utf-8")
    config.write_text("hotwords: {bb: 20, c a: null}\n", encoding="utf-8")
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, hotwords=file)
    for options in (["--hotwords", "bb:20 c_a"], ["--hotwords_file", file], ["--config", config]):
        folder = decode(*map(str, options))
        expect_results(folder, speech2text, recordings, [None] * 3)
        assert "bb" in " ".join(read_table(folder / "text").values()).split()


def test_decoding_with_ngrams(decode, tiny_model, recordings, tmp_path):
    write_arpa(tmp_path / "ngram" / "de.arpa", {"bb": -0.5, "</s>": -1})
    folder = str(tmp_path / "ngram")
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, languages="de", ngram=folder)
    expect_results(decode("--languages", "de", "--ngram", folder), speech2text, recordings, [None] * 3)
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, languages="de", ngram=folder, ngram_weight=6.0)
    decoded = decode("--languages", "de", "--ngram", folder, "--ngram_weight", "6")
    expect_results(decoded, speech2text, recordings, [None] * 3)


def test_mistakes_in_the_ngrams(decode, plain_model, tmp_path):
    with pytest.raises(SystemExit, match="^asr_inference: ngram .*nowhere is not a folder"):
        decode("--ngram", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="^asr_inference: --ngram needs a BLR-MoE model"):
        decode("--ngram", str(tmp_path), model=plain_model)


def test_mistakes_in_the_hotwords(decode, plain_model, tmp_path):
    with pytest.raises(SystemExit, match="^asr_inference: hotword 'b:x': the weight must be a positive number"):
        decode("--hotwords", "a b:x")
    with pytest.raises(SystemExit, match="^asr_inference: the model's tokens cannot spell the hotword 'Xylo'"):
        decode("--hotwords", "a Xylo")
    with pytest.raises(SystemExit, match="^asr_inference: the file of hotwords .*names.txt cannot be read"):
        decode("--hotwords_file", str(tmp_path / "names.txt"))
    with pytest.raises(SystemExit, match="^asr_inference: give --hotwords or --hotwords_file, not both"):
        decode("--hotwords", "a", "--hotwords_file", "names.txt")
    with pytest.raises(SystemExit, match="^asr_inference: --hotwords needs a BLR-MoE model"):
        decode("--hotwords", "a", model=plain_model)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("utt0 en\nutt1 fr\nutt2 de\n", "unknown language 'fr'; this model knows en, de, zh-CN"),
        ("utt0 en\nutt1\nutt2 de\n", "utterance utt1: the list of languages is empty"),
        ("utt0 en\n\nutt1 de\nutt2 de\n", "has an empty line; remove it"),
        ("utt0 en\nutt2 de\n", "has no line for utterance utt1; add it"),
        ("utt0 en\nutt0 en\n", "utt0 is duplicated"),
        (None, "No such file"),
    ],
)
def test_a_bad_list_of_languages_per_utterance(decode, tmp_path, lines, message):
    path = tmp_path / "utt2langs"
    if lines is not None:
        path.write_text(lines, encoding="utf-8")
    with pytest.raises(SystemExit, match=f"^asr_inference: .*{path}.*{message}"):
        decode("--utt2langs", str(path))


def test_an_empty_name_of_the_lists_is_not_taken_for_no_lists(decode, tmp_path):
    with pytest.raises(SystemExit, match="^asr_inference: .*Is a directory"):
        decode("--utt2langs", "")
    assert not (tmp_path / "decoded").exists()


def test_decoding_with_a_soft_prior(decode, speech2text, recordings):
    hard = read_table(decode("--languages", "de") / "expert_frames")
    assert hard != read_table(decode() / "expert_frames")
    folder = decode("--languages", "de", "--language_penalty", "1000")  # as good as excluded
    assert hard == read_table(folder / "expert_frames")
    folder = decode("--languages", "de", "--language_penalty", "0")
    expect_results(folder, speech2text, recordings, [None] * 3)
    folder = decode("--languages", "de", "--language_escape", "1e-9")  # everybody escapes
    expect_results(folder, speech2text, recordings, [None] * 3)


def test_smoothing_over_the_utterance_gives_it_one_language(decode):
    timelines = read_table(decode() / "timeline")
    assert max(len(json.loads(timeline)) for timeline in timelines.values()) > 1
    timelines = read_table(decode("--language_smoothing", "utterance") / "timeline")
    assert [len(json.loads(timeline)) for timeline in timelines.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--languages", "en", "--utt2langs", "some"], "--utt2langs for each, not both"),
        (["--language_penalty", "3"], "need --languages or --utt2langs"),
        (["--language_escape", "0.5"], "need --languages or --utt2langs"),
    ],
)
def test_language_options_that_do_not_fit_each_other(decode, options, message):
    with pytest.raises(SystemExit, match=f"^asr_inference: .*{message}"):
        decode(*options)


def test_mistakes_in_the_language_options(decode):
    with pytest.raises(SystemExit, match="^asr_inference: language smoothing must be frame, utterance, vit"):
        decode("--language_smoothing", "word")
    with pytest.raises(SystemExit, match="^asr_inference: the escape threshold is a probability"):
        decode("--languages", "en", "--language_escape", "2")


def test_a_beam_of_no_hypothesis(decode):
    with pytest.raises(SystemExit, match="^asr_inference: beam_size must be at least 1, not 0"):
        decode("--beam_size", "0")


def test_options_of_a_beam_search_are_not_ignored(decode, tmp_path):
    lm = {"lm": "seq_rnn", "lm_conf": {"unit": 8}, "model_conf": {}, "init": None, "token_list": CONFIG["token_list"]}
    (tmp_path / "lm.yaml").write_text(yaml.safe_dump(lm), encoding="utf-8")
    torch.save(LMTask.build_model(argparse.Namespace(**lm)).state_dict(), tmp_path / "lm.pth")
    lm_file = ["--lm_train_config", str(tmp_path / "lm.yaml"), "--lm_file", str(tmp_path / "lm.pth")]
    for name, options in ((lm_file[-1], lm_file), ("2", ["--nbest", "2"]), ("0.5", ["--penalty", "0.5"])):
        option = options[-2].removeprefix("--")
        sentence = f"{option} {name} needs a beam search: give a beam_size of more than 1, for example 10"
        with pytest.raises(SystemExit, match=f"^asr_inference: {sentence}$"):
            decode(*options)
    assert decode(*lm_file, "--beam_size", "2")


@pytest.mark.parametrize("kind", ["tiny_model", "plain_model"])
def test_tokens_of_another_type_than_the_models(decode, kind, request):
    model = request.getfixturevalue(kind)
    assert set(read_table(decode("--token_type", "char", model=model) / "text")) == {"utt0", "utt1", "utt2"}
    with pytest.raises(SystemExit, match="^asr_inference: token_type bpe: the model's tokens are of the type char;"):
        decode("--token_type", "bpe", model=model)


@pytest.mark.parametrize("kind", ["tiny_model", "plain_model"])
def test_an_ngram_that_cannot_be_read_is_told_before_a_model_is_loaded(decode, kind, request, monkeypatch, tmp_path):
    ngram = tmp_path / "4gram.bin"
    unread = ModelFiles(request.getfixturevalue(kind).config, tmp_path / "not_looked_at.pth")
    unread.weights.write_text("no weights")
    missing = "needs kenlm, which is not installed: pip install ufal.kenlm"
    for kenlm, message in ((None, missing), (True, "does not exist")):
        monkeypatch.setattr(checks, "find_spec", lambda name, found=kenlm: found)
        with pytest.raises(SystemExit, match=f"^asr_inference: ngram_file {ngram} {message}$"):
            decode("--ngram_file", str(ngram), model=unread)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(decode):
    with pytest.raises(SystemExit, match="^asr_inference: cannot use device 'cuda'"):
        decode("--ngpu", "1")


@pytest.mark.parametrize(
    ("smoothing", "window"),
    [("frame", 1), ("utterance", None), (10, 1), ("40", 1), (120, 3), ("200.0", 5), (1000, 25)],
)
def test_windows_of_smoothing(smoothing, window):
    assert window_of(smoothing, 0.04) == window


def test_mistakes_on_the_command_line(decode, tmp_path):
    with pytest.raises(SystemExit, match="^asr_inference: unknown language 'fr'; this model knows en, de, zh-CN$"):
        decode("--languages", "fr")
    with pytest.raises(SystemExit, match="^asr_inference: .*model.pth does not exist"):
        decode("--asr_model_file", str(tmp_path / "model.pth"))
    with pytest.raises(SystemExit, match="^asr_inference: .*utt2wav does not exist; correct --data_path"):
        decode(data=f"{tmp_path / 'utt2wav'},speech,sound")
    with pytest.raises(SystemExit, match="^asr_inference: --data_path_and_name_and_type gives no speech"):
        decode(data=f"{tmp_path / 'utt2wav'},audio,sound")
    with pytest.raises(SystemExit, match="^asr_inference: give --model FOLDER, or --asr_train_config FILE"):
        asr_inference.main(["--output_dir", str(tmp_path), "--data_path_and_name_and_type", "wav.scp,speech,sound"])


@pytest.mark.parametrize("place", ["decoded", "decoded/part"])
def test_an_output_folder_that_is_a_file(decode, tmp_path, place):
    (tmp_path / "decoded").write_text("something")
    with pytest.raises(SystemExit, match=f"^asr_inference: {tmp_path}/decoded is a file; choose another --output_dir"):
        decode("--output_dir", str(tmp_path / place))
    assert (tmp_path / "decoded").read_text() == "something"
