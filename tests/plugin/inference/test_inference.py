"""Recognition: allowed languages, batches, timelines, beam search, the command line, mistakes."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from tiny import (
    CONFIG,
    HOP,
    LANGUAGES,
    RATE,
    Hostile,
    build_model,
    speech_of,
    write_data_dir,
    write_training_config,
)

from espnet_blrmoe import Chunk, LanguagePrior, Speech2Text, Transcript, audio
from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.inference import speech2text as inference
from espnet_blrmoe.model.prior import LanguageChoice, window_of

BEST_PATH = {"beam_size": 1, "ctc_weight": 1.0}
BEAM_SEARCH = {"beam_size": 2, "ctc_weight": 1.0}
SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0, 0.9))]
SUBSETS = [list(codes) for n in (1, 2, 3) for codes in itertools.combinations(LANGUAGES, n)]


@pytest.fixture(scope="module")
def speech2text(tiny_model) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights, **BEST_PATH)


def assert_same(transcript: Transcript, other: Transcript) -> None:
    for attribute in ("text", "language", "timeline", "frames"):
        assert getattr(transcript, attribute) == getattr(other, attribute)
    assert transcript.language_probability == pytest.approx(other.language_probability, abs=1e-5)


# ------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("languages", SUBSETS, ids=",".join)
def test_no_other_language_than_the_allowed_ones_is_detected(tiny_model, speech2text, languages):
    restricted = Speech2Text(tiny_model.config, tiny_model.weights, languages=languages, **BEST_PATH)
    for speech in SPEECHES:
        transcript = restricted(speech)
        assert transcript.language in languages
        assert {span.language for span in transcript.timeline} <= set(languages)
        assert all(n == 0 for language, n in transcript.frames.items() if language not in languages)
        assert 1 / len(languages) - 1e-6 <= transcript.language_probability <= 1 + 1e-6
        assert_same(speech2text(speech, languages=",".join(languages)), transcript)
        if languages == list(LANGUAGES):
            assert_same(speech2text(speech), transcript)


def test_one_language_alone_is_certain(speech2text):
    for language in LANGUAGES:
        transcript = speech2text(SPEECHES[0], languages=language)
        assert transcript.language == language
        assert transcript.language_probability == 1.0
        assert [span.language for span in transcript.timeline] == [language]


def test_languages_of_a_call_override_those_of_the_instance(tiny_model):
    english = Speech2Text(tiny_model.config, tiny_model.weights, languages="en", **BEST_PATH)
    assert english(SPEECHES[0]).language == "en"
    assert english(SPEECHES[0], languages=["de"]).language == "de"
    assert [t.language for t in english.batch(SPEECHES[:2], [["zh-CN"], "de"])] == ["zh-CN", "de"]


@pytest.mark.parametrize("options", [BEST_PATH, BEAM_SEARCH], ids=["best-path", "beam-search"])
def test_a_batch_equals_its_utterances_one_by_one(tiny_model, options):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, **options)
    for languages in (None, [["en", "de"], ["zh-CN"], ["de", "zh-CN"], ["en"]]):
        batch = speech2text.batch(SPEECHES, languages)
        for transcript, speech, own in zip(batch, SPEECHES, languages or itertools.repeat(None)):
            assert_same(transcript, speech2text(speech, own))


@pytest.mark.parametrize("is_padded", [False, True], ids=["list", "padded"])
def test_espnets_batches_keep_to_the_languages_of_the_instance(tiny_model, is_padded):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, languages=["de"], **BEST_PATH)
    waves = [torch.from_numpy(speech) for speech in SPEECHES]
    lengths = [len(wave) for wave in waves]
    if is_padded:
        nbests = speech2text.batch_decode(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    else:
        nbests = speech2text.batch_decode(waves)
    expected = [transcript.text for transcript in speech2text.batch(waves)]
    assert [nbest[0][0] for nbest in nbests] == expected


def test_timeline_covers_the_utterance_without_gaps(speech2text):
    seconds_per_frame = 4 * HOP / RATE
    several = 0
    for speech in SPEECHES:
        transcript = speech2text(speech)
        spans = transcript.timeline
        assert spans[0].start == 0.0
        for span, following in itertools.pairwise(spans):
            assert span.end == following.start
            assert span.language != following.language
        # What is left at the end is too short for a frame: its window is 7 features of 128 samples, 64 apart.
        assert 0 <= len(speech) / RATE - spans[-1].end < (128 + 6 * HOP) / RATE
        for language, frames in transcript.frames.items():
            seconds = sum(span.end - span.start for span in spans if span.language == language)
            assert seconds == pytest.approx(frames * seconds_per_frame, abs=1e-3 * len(spans))
        assert sum(transcript.frames.values()) == round(spans[-1].end / seconds_per_frame)
        several += len(spans) > 1
    assert several


def test_best_path_is_the_most_probable_token_of_every_frame(speech2text):
    for speech in SPEECHES:
        encoder_out, _ = speech2text.asr_model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))
        best = [int(frame.argmax()) for frame in speech2text.asr_model.ctc.ctc_lo(encoder_out)[0]]
        kept = [token for n, token in enumerate(best) if token != 0 and (n == 0 or token != best[n - 1])]
        [(text, tokens, token_ids, _)] = speech2text(speech).hypotheses
        assert token_ids == kept
        assert tokens == [CONFIG["token_list"][token] for token in kept]
        assert text == " ".join("".join(" " if token == "<space>" else token for token in tokens).split())


def test_beam_search_finds_a_hypothesis_at_least_as_probable_as_the_best_path(tiny_model, speech2text):
    beam = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=5, nbest=3, ctc_weight=1.0)
    speech = SPEECHES[1]
    transcript = beam(speech)
    assert len(transcript.hypotheses) == 3
    assert transcript.text == transcript.hypotheses[0][0]
    encoder_out, lengths = speech2text.asr_model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))

    def log_probability(token_ids: list[int]) -> float:
        log_probs = speech2text.asr_model.ctc.log_softmax(encoder_out).transpose(0, 1)
        targets, target_lengths = torch.tensor([token_ids]), torch.tensor([len(token_ids)])
        return -torch.nn.functional.ctc_loss(log_probs, targets, lengths, target_lengths, reduction="sum").item()

    found, best_path = (log_probability(t.hypotheses[0][2]) for t in (transcript, speech2text(speech)))
    assert found >= best_path - 1e-4


def test_hybrid_model_is_decoded_with_beam_search(tmp_path):
    decoder_conf = {"attention_heads": 2, "linear_units": 24, "num_blocks": 1}
    config = write_training_config(
        tmp_path, model_conf={"ctc_weight": 0.3}, decoder="transformer", decoder_conf=decoder_conf
    )
    torch.save(build_model(config).state_dict(), tmp_path / "model.pth")
    speech2text = Speech2Text(config, tmp_path / "model.pth", beam_size=2, ctc_weight=0.3, maxlenratio=0.5)
    transcript = speech2text(SPEECHES[1], languages=["de", "en"])
    assert transcript.language in ("de", "en")
    assert transcript.hypotheses[0][3].scores.keys() >= {"decoder", "ctc"}


def test_audio_shorter_than_a_frame_is_padded(speech2text):
    transcript = speech2text(np.full(3, 0.1))
    assert sum(transcript.frames.values()) == 1


# ------------------------------------------------------------------------------------ files, sampling rates, long audio


def test_a_file_is_recognised_as_its_samples_are(speech2text, tmp_path):
    soundfile.write(tmp_path / "speech.wav", SPEECHES[0], RATE, subtype="FLOAT")
    expected = speech2text(SPEECHES[0])
    assert_same(speech2text(tmp_path / "speech.wav"), expected)
    assert_same(speech2text(str(tmp_path / "speech.wav")), expected)
    assert_same(speech2text(torch.from_numpy(SPEECHES[0]).unsqueeze(1).expand(-1, 2)), expected)
    for transcript in speech2text.batch([tmp_path / "speech.wav", SPEECHES[0]]):
        assert_same(transcript, expected)


@pytest.mark.parametrize("rate", [8000, 16000, 96000])
def test_audio_of_any_sampling_rate_is_brought_to_the_models(speech2text, tmp_path, rate):
    speech = audio.resample(torch.from_numpy(SPEECHES[0]), RATE, rate)
    expected = speech2text(audio.resample(speech, rate, RATE))
    assert_same(speech2text(speech, rate=rate), expected)
    soundfile.write(tmp_path / "stereo.wav", torch.stack([speech, speech], dim=1).numpy(), rate, subtype="FLOAT")
    assert_same(speech2text(tmp_path / "stereo.wav"), expected)


def test_without_a_timeline(speech2text):
    with_timeline, without = speech2text(SPEECHES[0]), speech2text(SPEECHES[0], return_timeline=False)
    assert without.timeline == ()
    assert (without.text, without.frames) == (with_timeline.text, with_timeline.frames)


def test_short_audio_is_one_chunk(speech2text):
    transcript = speech2text(SPEECHES[0])
    whole = Chunk(0.0, 1.3, transcript.text, transcript.language, transcript.language_probability)
    assert transcript.chunks == (whole,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        transcript.text = ""
    assert speech2text(np.full(3, 0.1)).chunks[0].end == 0.0  # of 3 samples, not of the silence that pads them


LONG = speech_of(9.3, seed=3)


CHUNK_SECONDS = 1.8  # with which cuts fall on whole milliseconds


def chunks_of(transcript: Transcript) -> list[np.ndarray]:
    return [LONG[round(chunk.start * RATE) : round(chunk.end * RATE)] for chunk in transcript.chunks]


@pytest.mark.parametrize("options", [BEST_PATH, BEAM_SEARCH], ids=["best-path", "beam-search"])
def test_long_audio_is_recognised_as_its_chunks_are(tiny_model, options):
    transcript = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **options)(LONG)
    whole = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=30, **options)
    assert len(whole(LONG).chunks) == 1
    pieces = [whole(chunk) for chunk in chunks_of(transcript)]
    assert len(pieces) > 5
    for chunk, piece in zip(transcript.chunks, pieces):
        assert chunk.end - chunk.start <= CHUNK_SECONDS
        assert (chunk.text, chunk.language) == (piece.text, piece.language)
        assert chunk.language_probability == pytest.approx(piece.language_probability, abs=1e-4)
    assert transcript.text == " ".join(piece.text for piece in pieces if piece.text)
    for language in LANGUAGES:
        assert transcript.frames[language] == sum(piece.frames[language] for piece in pieces)
    [(text, tokens, token_ids, hypothesis)] = transcript.hypotheses
    best = [piece.hypotheses[0] for piece in pieces]
    assert text == transcript.text
    assert tokens == [token for _, tokens, _, _ in best for token in tokens]
    assert token_ids == [token for _, _, ids, _ in best for token in ids]
    assert float(hypothesis.score) == pytest.approx(sum(float(h.score) for *_, h in best), rel=1e-4)


def test_chunks_and_timeline_of_long_audio_have_the_times_of_the_whole(tiny_model, speech2text):
    transcript = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **BEST_PATH)(LONG)
    assert (transcript.chunks[0].start, transcript.chunks[-1].end) == (0.0, len(LONG) / RATE)
    expected = []  # (start, language) wherever the language changes
    for chunk, samples in zip(transcript.chunks, chunks_of(transcript)):
        for span in speech2text(samples).timeline:
            if not expected or expected[-1][1] != span.language:
                expected.append((pytest.approx(chunk.start + span.start, abs=2e-3), span.language))
    assert len(expected) > len(transcript.chunks)
    assert [(span.start, span.language) for span in transcript.timeline] == expected
    for part in (transcript.chunks, transcript.timeline):
        assert all(one.end == following.start for one, following in itertools.pairwise(part))


@pytest.mark.parametrize("languages", [None, "en,de"])
def test_the_language_of_long_audio_is_the_most_probable_over_all_its_frames(tiny_model, speech2text, languages):
    chunked = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **BEST_PATH)
    transcript = chunked(LONG, languages)
    frames = []
    for chunk in chunks_of(transcript):
        speech, lengths = torch.from_numpy(chunk).unsqueeze(0), torch.tensor([len(chunk)])
        choice = LanguageChoice(LanguagePrior.allow([languages or LANGUAGES], LANGUAGES))
        frames.append(speech2text.asr_model.encode_with_routing(speech, lengths, choice)[2].log_probs[0].exp())
    mean = torch.cat(frames).mean(dim=0)
    assert transcript.language == LANGUAGES[int(mean.argmax())]
    assert transcript.language_probability == pytest.approx(float(mean.max()), abs=1e-5)
    assert transcript.language_probability not in {chunk.language_probability for chunk in transcript.chunks}


def test_long_utterances_of_a_batch_keep_their_own_languages(tiny_model):
    chunked = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **BEST_PATH)
    speeches, languages = [SPEECHES[0], LONG, SPEECHES[3]], [["en"], ["de", "zh-CN"], ["en", "de"]]
    for transcript, speech, own in zip(chunked.batch(speeches, languages), speeches, languages):
        assert_same(transcript, chunked(speech, own))
        assert {chunk.language for chunk in transcript.chunks} <= set(own)


def test_no_more_than_a_bounded_length_is_encoded_at_once(tiny_model, monkeypatch):
    chunked = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **BEST_PATH)
    expected = chunked(LONG)
    encoded = []
    encode = chunked.asr_model.encode_with_routing

    def encode_and_note(speech: torch.Tensor, *others) -> tuple:
        encoded.append(speech.shape)
        return encode(speech, *others)

    monkeypatch.setattr(chunked.asr_model, "encode_with_routing", encode_and_note)
    monkeypatch.setattr(inference, "BATCH_SECONDS", 4)
    assert_same(chunked(LONG), expected)
    assert len(encoded) > 1
    assert all(utterances * samples <= 4 * RATE for utterances, samples in encoded)


@pytest.mark.parametrize("seconds", [0, 0.5, -30, float("nan")])
def test_chunks_that_are_too_short(tiny_model, seconds):
    with pytest.raises(ValueError, match="chunk_seconds must be a number of seconds, 1 or more"):
        Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=seconds)


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("speech", "message"),
    [
        (np.zeros(0), "is empty; it must have at least one sample"),
        (np.zeros((0, 2)), "is empty; it must have at least one sample"),
        (np.zeros((2, 800)), r"shape \(2, 800\), more channels than samples; transpose it"),
        (np.zeros((80, 2, 1)), r"must be \(samples,\) or \(samples, channels\), got shape \(80, 2, 1\)"),
        (np.zeros(800, dtype=np.int16), "must be floating point"),
        (np.full(800, np.nan), "NaN or infinite"),
        (np.full(800, np.inf), "NaN or infinite"),
    ],
)
def test_unusable_audio(speech2text, speech, message):
    with pytest.raises(ValueError, match=message):
        speech2text.batch([SPEECHES[0], speech])


def test_a_file_that_cannot_be_used_is_named(speech2text, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    for path, message in ((tmp_path / "text.wav", "cannot be read as audio"), (tmp_path, "is a folder")):
        with pytest.raises(ValueError, match=f"^{path} {message}"):
            speech2text(path)


@pytest.mark.parametrize("languages", [[], "", ","])
def test_a_list_of_no_language(tiny_model, speech2text, languages):
    with pytest.raises(ValueError, match="the list of languages is empty"):
        Speech2Text(tiny_model.config, tiny_model.weights, languages=languages)
    with pytest.raises(ValueError, match="the list of languages is empty"):
        speech2text(SPEECHES[0], languages=languages)


def test_unknown_languages(tiny_model, speech2text):
    message = "unknown language 'fr'; this model knows en, de, zh-CN"
    with pytest.raises(ValueError, match=message):
        Speech2Text(tiny_model.config, tiny_model.weights, languages=["en", "fr"], **BEST_PATH)
    with pytest.raises(ValueError, match=message):
        speech2text(SPEECHES[0], languages="fr")


@pytest.mark.parametrize("lists", [[["en"]], [["en"], ["de"], ["de"]]])
def test_not_one_list_of_languages_per_utterance(speech2text, lists):
    with pytest.raises(ValueError, match=f"got {len(lists)} lists of languages for 2 utterances"):
        speech2text.batch(SPEECHES[:2], lists)


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory) -> ModelFiles:
    """A model of ESPnet's own."""
    folder = tmp_path_factory.mktemp("plain")
    encoder_conf = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    config = write_training_config(
        folder, encoder="transformer", encoder_conf=encoder_conf, model="espnet", preprocessor="default"
    )
    model = ASRTask.build_model_from_file(config)[0]
    torch.save(model.state_dict(), folder / "model.pth")
    return ModelFiles(config, folder / "model.pth")


def test_files_of_another_model(tiny_model, plain_model, tmp_path):
    with pytest.raises(ValueError, match="is not of a BLR-MoE model: .*; decode it with espnet2.bin.asr_inference"):
        Speech2Text(plain_model.config, tiny_model.weights)
    with pytest.raises(ValueError, match="does not fit the training configuration"):
        Speech2Text(tiny_model.config, plain_model.weights)
    with pytest.raises(ValueError, match="does not exist"):
        Speech2Text(tiny_model.config, tmp_path / "model.pth")
    for change in ({"languages": ["en", "de", "fr"]}, {"linear_units": 30}):
        config = write_training_config(tmp_path, encoder_conf={**CONFIG["encoder_conf"], **change})
        with pytest.raises(ValueError, match="does not fit the training configuration"):
            Speech2Text(config, tiny_model.weights)


@pytest.mark.parametrize("quantize", [False, True])
def test_a_hostile_checkpoint_is_not_executed(tiny_model, tmp_path, quantize):
    torch.save({"weight": Hostile(tmp_path / "made")}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="holds more than weights"):
        Speech2Text(tiny_model.config, tmp_path / "model.pth", quantize_asr_model=quantize)
    assert not (tmp_path / "made").exists()


def test_quantized_model(tiny_model):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, quantize_asr_model=True, **BEST_PATH)
    assert speech2text(SPEECHES[0], languages="de").language == "de"


# -------------------------------------------------------------------------------------------------------- command line


def read_table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {key: value for key, _, value in (line.partition(" ") for line in lines)}


@pytest.fixture
def recordings(tmp_path) -> Path:
    return write_data_dir(tmp_path / "data", ["en", "de", "zh-CN"])


@pytest.fixture
def decode(tiny_model, recordings, tmp_path):
    """Run the program in batches of two on the recordings; returns the folder of results."""

    def run(*options: str, model: ModelFiles = tiny_model, data: str | None = None) -> Path:
        arguments = {
            "output_dir": tmp_path / "decoded",
            "data_path_and_name_and_type": data or f"{recordings / 'wav.scp'},speech,sound",
            "asr_train_config": model.config,
            "asr_model_file": model.weights,
            "batch_size": 2,
            "num_workers": 0,
            "log_level": "WARNING",
            **BEST_PATH,
        }
        asr_inference.main([*(f"--{name}={value}" for name, value in arguments.items()), *options])
        return tmp_path / "decoded" / "1best_recog"

    return run


def expect_results(folder: Path, speech2text: Speech2Text, recordings: Path, allowed: list[str | None]) -> None:
    """The files hold what the recogniser finds in every recording."""
    names = ("text", "token", "score", "lang", "timeline", "expert_frames")
    tables = {name: read_table(folder / name) for name in names}
    for n, languages in enumerate(allowed):
        speech, _ = soundfile.read(recordings / f"utt{n}.wav")
        transcript = speech2text(speech, languages)
        row = {name: table[f"utt{n}"] for name, table in tables.items()}
        assert row["text"] == transcript.text
        assert row["token"] == " ".join(transcript.hypotheses[0][1])
        language, probability = row["lang"].split()
        assert language == transcript.language
        assert float(probability) == pytest.approx(transcript.language_probability, abs=1e-4)
        assert json.loads(row["timeline"]) == [[s.start, s.end, s.language] for s in transcript.timeline]
        assert row["expert_frames"] == " ".join(f"{code}:{frames}" for code, frames in transcript.frames.items())


def test_decoding(decode, speech2text, recordings):
    expect_results(decode(), speech2text, recordings, [None] * 3)


def test_decoding_with_one_list_of_languages(decode, speech2text, recordings):
    expect_results(decode("--languages", "en,zh-CN"), speech2text, recordings, ["en,zh-CN"] * 3)


def test_decoding_with_a_list_per_utterance(decode, speech2text, recordings, tmp_path):
    utt2langs = tmp_path / "utt2langs"
    utt2langs.write_text("utt2 de\nutt0 en,de\nutt1 zh-CN\n", encoding="utf-8")
    expect_results(decode("--utt2langs", str(utt2langs)), speech2text, recordings, ["en,de", "zh-CN", "de"])


def test_decoding_of_long_audio_of_two_channels(decode, speech2text, recordings):
    speech = speech_of(10.0, seed=5)
    soundfile.write(recordings / "utt1.wav", np.stack([speech, speech], axis=1), RATE, subtype="FLOAT")
    assert len(speech2text(recordings / "utt1.wav").chunks) == 2
    expect_results(decode(), speech2text, recordings, [None] * 3)


def test_a_text_is_one_line(speech2text, monkeypatch):
    monkeypatch.setattr(speech2text.tokenizer, "tokens2text", lambda tokens: "a\rb \n\u2028 c ")  # as byte fallback may
    assert speech2text(speech_of(1.0, seed=3)).text == "a b c"


def test_a_model_of_espnet_is_decoded_by_espnet(decode, plain_model):
    folder = decode("--batch_size", "2", "--beam_size", "2", model=plain_model)
    assert set(read_table(folder / "text")) == {"utt0", "utt1", "utt2"}
    for languages in ("en", ""):
        with pytest.raises(SystemExit, match="^asr_inference: --languages needs a BLR-MoE model"):
            decode("--languages", languages, model=plain_model)


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
    hard = read_table(decode("--languages", "de") / "text")
    assert hard != read_table(decode() / "text")
    assert hard == read_table(decode("--languages", "de", "--language_penalty", "1000") / "text")  # as good as excluded
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
def test_language_options_that_do_not_fit_each_other(decode, capsys, options, message):
    with pytest.raises(SystemExit):
        decode(*options)
    assert message in capsys.readouterr().err


def test_mistakes_in_the_language_options(decode):
    with pytest.raises(SystemExit, match="^asr_inference: language smoothing must be frame, utterance or millisec"):
        decode("--language_smoothing", "word")
    with pytest.raises(SystemExit, match="^asr_inference: the escape threshold is a probability"):
        decode("--languages", "en", "--language_escape", "2")


def test_a_beam_of_no_hypothesis(decode):
    with pytest.raises(SystemExit, match="^asr_inference: beam_size must be at least 1, not 0"):
        decode("--beam_size", "0")


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


def test_mistakes_on_the_command_line(decode, tmp_path, capsys):
    with pytest.raises(SystemExit, match="^asr_inference: unknown language 'fr'; this model knows en, de, zh-CN$"):
        decode("--languages", "fr")
    with pytest.raises(SystemExit, match="^asr_inference: .*model.pth does not exist"):
        decode("--asr_model_file", str(tmp_path / "model.pth"))
    with pytest.raises(SystemExit, match="^asr_inference: .*utt2wav does not exist; correct --data_path"):
        decode(data=f"{tmp_path / 'utt2wav'},speech,sound")
    with pytest.raises(SystemExit, match="^asr_inference: --data_path_and_name_and_type gives no speech"):
        decode(data=f"{tmp_path / 'utt2wav'},audio,sound")
    with pytest.raises(SystemExit):
        asr_inference.main(["--output_dir", str(tmp_path), "--data_path_and_name_and_type", "wav.scp,speech,sound"])
    assert "give --model FOLDER, or --asr_train_config FILE" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["decoded", "decoded/part"])
def test_an_output_folder_that_is_a_file(decode, tmp_path, place):
    (tmp_path / "decoded").write_text("something")
    with pytest.raises(SystemExit, match=f"^asr_inference: .*{tmp_path / place}"):
        decode("--output_dir", str(tmp_path / place))
    assert (tmp_path / "decoded").read_text() == "something"


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(("samples", "message"), [([], "is empty"), ([0.1, np.nan], "holds NaN")])
def test_unusable_audio_is_named_and_leaves_the_results_as_they_were(decode, recordings, samples, message, workers):
    before = {path.name: path.read_text() for path in decode().iterdir()}
    soundfile.write(recordings / "utt2.wav", np.array(samples, dtype=np.float32), RATE, subtype="FLOAT")
    with pytest.raises(SystemExit, match=f"^asr_inference: utterance utt2: .*utt2.wav {message}[^\n]*$"):
        decode("--languages", "en", "--batch_size", "1", "--num_workers", workers)
    folder = recordings.parent / "decoded"
    assert [path.name for path in folder.iterdir()] == ["1best_recog"]
    assert {path.name: path.read_text() for path in (folder / "1best_recog").iterdir()} == before


def test_decoding_of_other_sampling_rates(decode, speech2text, recordings):
    for n, rate in enumerate([8000, 44100]):
        soundfile.write(recordings / f"utt{n}.wav", speech_of(1.5, seed=n)[: int(1.2 * rate)], rate, subtype="FLOAT")
    tables = {name: read_table(decode() / name) for name in ("score", "expert_frames")}
    for n in range(3):
        transcript = speech2text(recordings / f"utt{n}.wav")
        assert float(tables["score"][f"utt{n}"]) == pytest.approx(float(transcript.hypotheses[0][3].score), rel=1e-4)
        frames = " ".join(f"{code}:{frames}" for code, frames in transcript.frames.items())
        assert tables["expert_frames"][f"utt{n}"] == frames


def test_decoding_of_chosen_utterances_and_of_arrays(decode, recordings, tmp_path):
    texts = read_table(decode() / "text")
    (tmp_path / "keys").write_text("utt2\nutt0\n")
    assert read_table(decode("--key_file", str(tmp_path / "keys")) / "text") == {n: texts[n] for n in ("utt2", "utt0")}
    np.save(tmp_path / "utt1.npy", soundfile.read(recordings / "utt1.wav")[0])
    (tmp_path / "npy.scp").write_text(f"utt1 {tmp_path / 'utt1.npy'}\n")
    decoded = decode(data=f"{tmp_path / 'npy.scp'},speech,npy")
    assert read_table(decoded / "text") == {"utt1": texts["utt1"]}


def test_the_volume_of_the_training(tiny_model, tmp_path):
    config = yaml.safe_load(tiny_model.config.read_text()) | {"speech_volume_normalize": 0.5}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    speech = speech_of(1.0, seed=3)
    as_trained = Speech2Text(tmp_path / "config.yaml", tiny_model.weights, **BEST_PATH)
    by_hand = Speech2Text(tiny_model.config, tiny_model.weights, **BEST_PATH)(0.5 * speech / np.abs(speech).max())
    assert as_trained(3 * speech).language_probability == pytest.approx(by_hand.language_probability, rel=1e-4)


def test_a_ctc_model_is_decoded_by_its_ctc_whatever_ctc_weight_says(tiny_model):
    plain = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3)
    explicit = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=3, ctc_weight=1.0)
    waveform = np.random.default_rng(0).normal(scale=0.1, size=8000).astype(np.float32)
    assert plain(waveform).text == explicit(waveform).text
    assert plain.beam_search.weights["ctc"] == 1.0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("utt0 {0}/none.wav\n", "utterance utt0: .*none.wav does not exist"),
        ("utt0 {0}/utt0.wav\nutt1 {0}/utt2lang\n", "utterance utt1: .*utt2lang cannot be read as audio"),
        ("utt0\n", "wav.scp has no audio for utterance utt0"),
        ("", "wav.scp has no utterance"),
        ("utt0 {0}/utt0.wav\n\n", "wav.scp has an empty line; remove it"),
        ("utt0 {0}/utt0.wav\nutt0 {0}/utt0.wav\n", "wav.scp.* utt0 is duplicated"),
    ],
)
def test_unreadable_audio_is_named(decode, recordings, lines, message):
    (recordings / "wav.scp").write_text(lines.format(recordings))
    with pytest.raises(SystemExit, match=f"^asr_inference: .*{message}"):
        decode()
