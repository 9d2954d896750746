"""Recordings are cut at short pauses, too, if the language changes there; else they stay whole."""

import itertools

import numpy as np
import pytest
import soundfile
import torch
from recognition import assert_same, expect_results
from tiny import CONFIG, RATE, speech_of, write_model

from espnet_blrmoe import AbsRouter, Speech2Text, Transcript
from espnet_blrmoe.bin import asr_inference, prune_experts
from espnet_blrmoe.files.model_files import ModelFiles
from espnet_blrmoe.inference import pauses
from espnet_blrmoe.inference.pauses import SHORTEST_PART, at_pauses
from espnet_blrmoe.inference.pieces import CHANGE_COST, Piece

MELS = CONFIG["frontend_conf"]["n_mels"]


class BrightnessRouter(AbsRouter):
    """Hears German in bright voices, English in others, and one of both in all it is given: as routers do that read
    blocks with attention."""

    def __init__(self, input_size: int, num_languages: int):
        super().__init__()
        self.output = torch.nn.Linear(1, num_languages)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        low, high = x.unflatten(-1, (MELS, -1)).mean(dim=-1)[..., [2, -2]].unbind(dim=-1)
        brightness = ((high - low) * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
        german = (2 * brightness + 5).clamp(-5, 5).expand(valid.shape)
        return torch.stack([-german, german, torch.full(valid.shape, -9.0)], dim=-1)


@pytest.fixture(autouse=True)
def sentences_with_long_pauses(monkeypatch):
    """What is said here is silent for half a second at times, and stays a sentence."""
    monkeypatch.setattr(pauses, "SENTENCE_GAP", 1.0)


def english(seconds: float, seed: int) -> np.ndarray:
    return speech_of(seconds, seed)


def german(seconds: float, seed: int) -> np.ndarray:
    """Speech with its spectrum, mirrored, above it."""
    speech = speech_of(seconds, seed)
    return speech + speech * (-1.0) ** np.arange(len(speech), dtype=np.float32)


def pause(seconds: float, loudness: float = 1e-4) -> np.ndarray:
    return (loudness * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def spoken(transcript: Transcript) -> list[tuple[str, float, float]]:
    """Language, start and end of the chunks with speech, which have no gaps between them but pauses."""
    for one, following in itertools.pairwise(transcript.chunks):
        assert one.end == following.start
    return [(chunk.language, chunk.start, chunk.end) for chunk in transcript.chunks if chunk.language]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelFiles:
    encoder_conf = {"router": f"{__name__}.BrightnessRouter", "router_conf": {}, "router_input": "features"}
    return write_model(tmp_path_factory.mktemp("brightness"), encoder_conf={**CONFIG["encoder_conf"], **encoder_conf})


@pytest.fixture(scope="module")
def recogniser(model) -> Speech2Text:
    return Speech2Text(model.config, model.weights)


MIXED = np.concatenate([german(2.0, 5), pause(0.3), english(2.0, 4), pause(0.3), english(1.5, 8)])


# ------------------------------------------------------------------------------------------------ cut where it changes


@pytest.mark.parametrize("loudness", [0.0, 1e-4])
@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.8])
def test_a_pause_at_which_the_language_changes_is_a_cut(model, recogniser, seconds, loudness):
    wave = np.concatenate([german(2.0, 5), pause(seconds, loudness), english(2.0, 4)])
    transcript = recogniser(wave)
    (first, start, cut), (second, again, end) = spoken(transcript)
    assert (first, second) == ("de", "en")
    assert start == 0.0 and end > len(wave) / RATE - 0.7
    assert 1.7 < cut <= again < 2.3 + seconds  # the voices begin and end quietly
    assert [span.language for span in transcript.timeline] == ["de", "en"]
    whole = Speech2Text(model.config, model.weights, vad="none")
    alone = [whole(wave[round(a * RATE) : round(b * RATE)]) for a, b in ((start, cut), (again, end))]
    assert transcript.text == " ".join(one.text for one in alone)
    for word in transcript.words:
        assert start <= word.start < word.end <= cut or again - 1e-3 <= word.start < word.end <= end


def test_what_is_in_one_language_stays_together(recogniser):
    assert [language for language, *_ in spoken(recogniser(MIXED))] == ["de", "en"]
    assert spoken(recogniser(MIXED))[1][1:] == (pytest.approx(2.2, abs=0.15), 6.1)


@pytest.mark.parametrize("say", [english, german])
def test_a_sentence_in_one_language_stays_whole_whatever_its_pauses(model, recogniser, say):
    wave = np.concatenate([say(1.5, 5), pause(0.15), say(1.0, 8), pause(0.6), say(1.5, 9)])
    transcript = recogniser(wave)
    assert len(transcript.chunks) == 1
    assert transcript == Speech2Text(model.config, model.weights, vad="none")(wave)


def test_a_chunk_of_a_long_recording_is_cut_too(recogniser):
    wave = np.concatenate([english(4.0, 9), pause(1.2), german(2.0, 5), pause(0.15), english(2.0, 4)])
    languages = [language for language, *_ in spoken(recogniser(wave))]
    assert [language for language, _ in itertools.groupby(languages)] == ["en", "de", "en"]


def test_what_is_too_short_to_have_a_language_goes_with_its_neighbour(recogniser):
    wave = np.concatenate([english(2.0, 4), pause(0.15), german(0.3, 5), pause(0.15), english(1.5, 8)])
    assert [language for language, *_ in spoken(recogniser(wave))] == ["en"]


def test_a_batch_is_cut_as_its_recordings_are(recogniser):
    waves = [MIXED, english(1.0, 8), np.concatenate([english(1.0, 4), pause(0.2), german(1.0, 5)])]
    for lists in ([None] * 3, ["de,en", "en", "en,zh-CN"]):
        for transcript, wave, own in zip(recogniser.batch(waves, lists if lists[0] else None), waves, lists):
            assert_same(transcript, recogniser(wave, own))
            assert spoken(transcript) == spoken(recogniser(wave, own))


@pytest.mark.parametrize(
    "options", [{"languages": "de"}, {"vad": "none"}, {"language_smoothing": "utterance"}], ids=str
)
def test_nothing_is_heard_in_parts_where_no_change_can_be(model, monkeypatch, options):
    recogniser = Speech2Text(model.config, model.weights, **options)

    def route(*arguments):
        raise AssertionError("parts are heard")

    monkeypatch.setattr(recogniser.asr_model, "route", route)
    assert len(recogniser(MIXED).chunks) == 1


def test_nothing_is_heard_in_parts_by_a_model_of_one_language(tiny_model, tmp_path, monkeypatch):
    prune_experts.main(["--model", str(tiny_model.config.parent), "--languages", "en", "--output_dir", str(tmp_path)])
    recogniser = Speech2Text.from_pretrained(tmp_path)
    monkeypatch.setattr(recogniser.asr_model, "route", None)
    assert len(recogniser(MIXED).chunks) == 1


def test_languages_that_are_not_allowed_do_not_cut(recogniser):
    assert len(recogniser(MIXED, "en,zh-CN").chunks) == 1


def test_a_list_that_changes_within_a_part_leaves_the_other_changes(recogniser):
    wave = np.concatenate([english(1.5, 8), pause(0.3), MIXED])
    (_, start, cut), (language, *_) = spoken(recogniser(wave, "zh-CN 0.7:de,en"))
    assert (start, language) == (0.0, "en") and 3.7 < cut < 4.2


def test_decoding_programs_cut_alike(model, recogniser, tmp_path):
    waves = [MIXED, english(1.0, 8), np.concatenate([english(1.0, 4), pause(0.2), german(1.0, 5)])]
    for n, wave in enumerate(waves):
        soundfile.write(tmp_path / f"utt{n}.wav", wave, RATE, subtype="FLOAT")
    table = "".join(f"utt{n} {tmp_path}/utt{n}.wav\n" for n in range(len(waves)))
    (tmp_path / "wav.scp").write_text(table, encoding="utf-8")
    asr_inference.main(["--model", str(model.config.parent), "--output_dir", str(tmp_path / "out"), "--batch_size", "2",
                        "--data_path_and_name_and_type", f"{tmp_path / 'wav.scp'},speech,sound"])
    expect_results(tmp_path / "out/1best_recog", recogniser, tmp_path, [None] * len(waves))


# ----------------------------------------------------------------------------------------------------------- the parts


def test_parts_lie_in_their_stretch_and_are_long_enough():
    several = 0
    for seed in range(6):
        draw = np.random.default_rng(seed)
        pieces = [[english(draw.uniform(0.1, 2.0), seed), pause(draw.uniform(0.02, 0.7))] for _ in range(8)]
        wave = torch.from_numpy(np.concatenate([part for pair in pieces for part in pair]))
        for longest in (1.5, 4.0, 30.0):
            for start, end, _, parts in at_pauses(wave, RATE, longest):
                assert len(parts) != 1
                assert [*parts] == sorted(parts)
                assert all(start <= a and b <= end and b - a >= SHORTEST_PART * RATE for a, b in parts)
                assert all(one[1] <= following[0] for one, following in itertools.pairwise(parts))
                several += len(parts) > 1
    assert several > 10


@pytest.mark.parametrize(("nats", "cuts"), [(CHANGE_COST - 1, 0), (CHANGE_COST + 1, 1)])
def test_a_change_needs_evidence(nats, cuts):
    piece = Piece(0, torch.arange(100.0), 50, 150, True, ((52, 90), (95, 120), (120, 149)))
    log_probs = torch.tensor([[0.0, -nats, -99.0], [-nats, 0.0, -99.0], [0.0, 0.0, -99.0]])
    pieces = piece.cut_at_changes({(0, start): own for (start, _), own in zip(piece.parts, log_probs)})
    expected = [(50, 150, True)] if not cuts else [(50, 90, True), (90, 95, False), (95, 150, True)]
    assert [(own.start, own.end, own.has_speech) for own in pieces] == expected
    assert torch.cat([own.wave for own in pieces]).equal(piece.wave)


def test_without_its_parts_being_heard_a_piece_is_whole():
    piece = Piece(3, torch.zeros(100), 50, 150, True, ((50, 90), (95, 150)))
    assert piece.cut_at_changes({}) == [piece]
