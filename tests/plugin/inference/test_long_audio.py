"""Recognition of files, of any sampling rate and length."""

import dataclasses
import itertools

import numpy as np
import pytest
import soundfile
import torch
from recognition import BEAM_SEARCH, BEST_PATH, SPEECHES, assert_same
from tiny import (
    CONFIG,
    LANGUAGES,
    RATE,
    speech_of,
)

from espnet_blrmoe import Chunk, LanguagePrior, Speech2Text, Transcript, audio
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.inference import speech2text as inference
from espnet_blrmoe.model.prior import LanguageChoice


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


def test_transcripts_are_equal_without_their_hypotheses(speech2text):
    one, other, shorter = speech2text.batch([SPEECHES[0], SPEECHES[0], SPEECHES[0][: RATE // 2]])
    assert one == other != shorter
    assert one == dataclasses.replace(one, hypotheses=[])


def test_short_audio_is_one_chunk(speech2text):
    transcript = speech2text(SPEECHES[0])
    whole = Chunk(0.0, 1.3, transcript.text, transcript.language, transcript.language_probability)
    assert transcript.chunks == (whole,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        transcript.text = ""
    assert speech2text(np.array([0.1, -0.1, 0.1])).chunks[0].end == 0.0  # of 3 samples, without what pads them


LONG = speech_of(9.3, seed=3)


CHUNK_SECONDS = 1.8  # with which cuts fall on whole milliseconds


def in_chunks(model: ModelFiles, **options) -> Speech2Text:
    """A recogniser that cuts by length only; test_pauses.py has the other one."""
    return Speech2Text(model.config, model.weights, chunk_seconds=CHUNK_SECONDS, vad="none", **{**BEST_PATH, **options})


def chunks_of(transcript: Transcript) -> list[np.ndarray]:
    return [LONG[round(chunk.start * RATE) : round(chunk.end * RATE)] for chunk in transcript.chunks]


@pytest.mark.parametrize("options", [BEST_PATH, BEAM_SEARCH], ids=["best-path", "beam-search"])
def test_long_audio_is_recognised_as_its_chunks_are(tiny_model, options):
    transcript = in_chunks(tiny_model, **options)(LONG)
    whole = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=30, vad="none", **options)
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
    assert " ".join("".join(tokens).replace("<space>", " ").split()) == text
    assert [token for token in tokens if token != "<space>"] == [
        token for _, tokens, _, _ in best for token in tokens if token != "<space>"
    ]
    assert [CONFIG["token_list"][token] for token in token_ids] == tokens
    assert hypothesis.yseq.tolist()[1:-1] == token_ids
    assert float(hypothesis.score) == pytest.approx(sum(float(h.score) for *_, h in best), rel=1e-4)


def test_chunks_and_timeline_of_long_audio_have_the_times_of_the_whole(tiny_model):
    transcript = in_chunks(tiny_model)(LONG)
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, vad="none")
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
    chunked = in_chunks(tiny_model)
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
    chunked = in_chunks(tiny_model)
    speeches, languages = [SPEECHES[0], LONG, SPEECHES[3]], [["en"], ["de", "zh-CN"], ["en", "de"]]
    for transcript, speech, own in zip(chunked.batch(speeches, languages), speeches, languages):
        assert_same(transcript, chunked(speech, own))
        assert {chunk.language for chunk in transcript.chunks} <= set(own)


def test_no_more_than_a_bounded_length_is_encoded_at_once(tiny_model, monkeypatch):
    chunked = in_chunks(tiny_model)
    expected = chunked(LONG)
    encoded = []
    encode = chunked.asr_model.encode_with_routing

    def encode_and_note(speech: torch.Tensor, *others) -> tuple:
        encoded.append(speech.shape)
        return encode(speech, *others)

    monkeypatch.setattr(chunked.asr_model, "encode_with_routing", encode_and_note)
    monkeypatch.setattr(inference, "CPU_BATCH_SECONDS", 4)
    assert_same(chunked(LONG), expected)
    assert len(encoded) > 1
    assert all(utterances * samples <= 4 * RATE for utterances, samples in encoded)


@pytest.mark.parametrize("seconds", [0, 0.5, -30, float("nan")])
def test_chunks_that_are_too_short(tiny_model, seconds):
    with pytest.raises(ValueError, match="chunk_seconds must be a number of seconds, 1 or more"):
        Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=seconds)
