"""Recognition: allowed languages, batches, timelines, beam search, mistakes."""

import itertools

import numpy as np
import pytest
import torch
from recognition import BEAM_SEARCH, BEST_PATH, SPEECHES, SUBSETS, assert_same
from tiny import (
    CONFIG,
    HOP,
    LANGUAGES,
    RATE,
    Hostile,
    build_model,
    speech_of,
    write_training_config,
)

from espnet_blrmoe import Speech2Text, StreamingRecogniser
from espnet_blrmoe.audio import LARGEST_SAMPLE


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


def test_timeline_covers_the_utterance_without_gaps(tiny_model):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, vad="none")
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


def test_switches_that_cost_decide_on_the_experts_and_the_timeline(tiny_model, speech2text):
    speech = speech_of(4.0, seed=2)
    spans = []
    for cost in (0.0, 1.0, 1000.0):
        options = {"language_smoothing": "viterbi", "language_switch_cost": cost, **BEST_PATH}
        transcript = Speech2Text(tiny_model.config, tiny_model.weights, **options)(speech)
        seconds = dict.fromkeys(LANGUAGES, 0.0)
        for span in transcript.timeline:
            seconds[span.language] += span.end - span.start
        frames = {language: round(own / (4 * HOP / RATE)) for language, own in seconds.items()}
        assert frames == transcript.frames
        assert transcript.language_probability == pytest.approx(speech2text(speech).language_probability, abs=1e-5)
        spans.append(transcript.timeline)
    frame_by_frame = Speech2Text(tiny_model.config, tiny_model.weights, language_smoothing="frame")
    assert spans[0] == frame_by_frame(speech).timeline
    assert len(spans[0]) > len(spans[1]) >= len(spans[2]) == 1


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
    transcript = speech2text(np.array([0.1, -0.1, 0.1]))
    assert sum(transcript.frames.values()) == 1


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
        (np.full(800, -1e38), r"speech holds samples as large as 1e\+38; scale them to \[-1, 1\]"),
    ],
)
def test_unusable_audio(speech2text, speech, message):
    with pytest.raises(ValueError, match=message):
        speech2text.batch([SPEECHES[0], speech])


def test_audio_that_nobody_has_scaled(speech2text):
    transcript = speech2text(SPEECHES[0] * (LARGEST_SAMPLE / np.abs(SPEECHES[0]).max()))
    assert 0 < transcript.language_probability <= 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(tiny_model):
    for load in (Speech2Text.from_pretrained, StreamingRecogniser.from_pretrained):
        with pytest.raises(ValueError, match="^cannot use device 'cuda': "):
            load(tiny_model.config.parent, device="cuda")


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
