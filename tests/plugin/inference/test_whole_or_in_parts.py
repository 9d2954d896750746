"""What has short pauses is recognised whole, or part by part where the CTC is more certain of the parts."""

import itertools

import numpy as np
import pytest
import soundfile
import torch
from recognition import BEAM_SEARCH, BEST_PATH, assert_same, expect_results
from tiny import RATE, speech_of, write_model

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin import asr_inference
from espnet_blrmoe.inference import pauses
from espnet_blrmoe.inference.pauses import SHORTEST_PART, at_pauses
from espnet_blrmoe.inference.pieces import Piece


@pytest.fixture(autouse=True)
def sentences_with_long_pauses(monkeypatch):
    """What is said here is silent for half a second at times, and stays a sentence."""
    monkeypatch.setattr(pauses, "SENTENCE_GAP", 1.0)


def pause(seconds: float, loudness: float = 1e-4) -> np.ndarray:
    return (loudness * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def sentences(seed: int) -> np.ndarray:
    """Two or three sentences with short pauses between."""
    draw = np.random.default_rng(seed)
    pieces = [(speech_of(draw.uniform(0.8, 2.0), 10 * seed + n), pause(draw.uniform(0.12, 0.4))) for n in range(3)]
    return np.concatenate(list(itertools.chain(*pieces))[: -1 if seed % 2 else -3])


RECORDINGS = [sentences(seed) for seed in range(24)]


def certainty(transcript) -> float:
    """Nats of the CTC's best path, with which it was recognised."""
    return float(transcript.hypotheses[0][3].score)


@pytest.fixture(scope="module")
def recogniser(tiny_model) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights)


@pytest.fixture(scope="module")
def uncut(tiny_model) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights, vad="none")


# ------------------------------------------------------------------------------------------------------ whole or parts


@pytest.mark.parametrize("languages", [None, "de", "en,zh-CN"])
@pytest.mark.parametrize("options", [BEST_PATH, BEAM_SEARCH], ids=["best-path", "beam-search"])
def test_it_is_recognised_as_the_ctc_is_more_certain_of_it(tiny_model, uncut, options, languages):
    recogniser = Speech2Text(tiny_model.config, tiny_model.weights, **options)
    plain = Speech2Text(tiny_model.config, tiny_model.weights, vad="none", **options)
    in_parts = 0
    for wave in RECORDINGS[:12]:
        [stretch] = [own for own in at_pauses(torch.from_numpy(wave), RATE, 8.0) if own.has_speech]
        whole, heard = wave[stretch.start : stretch.end], [wave[start:end] for start, end in stretch.parts]
        certainty_of_parts = sum(certainty(uncut(part, languages)) for part in heard)
        if heard and certainty_of_parts > certainty(uncut(whole, languages)):
            expected = [plain(part, languages) for part in heard]
            in_parts += 1
        else:
            expected = [plain(whole, languages)]
        found = recogniser(wave, languages)
        spoken = [chunk for chunk in found.chunks if chunk.language]
        assert [chunk.text for chunk in spoken] == [one.text for one in expected]
        assert found.frames == {code: sum(one.frames[code] for one in expected) for code in found.frames}
    assert 2 < in_parts < 12


def test_times_are_those_of_the_recording(recogniser):
    several = 0
    for wave in RECORDINGS:
        transcript = recogniser(wave)
        assert transcript.chunks[0].start == 0.0
        assert transcript.chunks[-1].end == pytest.approx(len(wave) / RATE, abs=1e-3)
        for one, following in itertools.pairwise(transcript.chunks):
            assert one.end == following.start
            assert one.language or following.language
        spoken = [chunk for chunk in transcript.chunks if chunk.language]
        several += len(spoken) > 1
        for word in transcript.words:
            assert any(chunk.start - 1e-3 <= word.start < word.end <= chunk.end + 1e-3 for chunk in spoken)
    assert several > 5


def test_chunks_of_a_long_recording_are_recognised_so_too(recogniser):
    wave = np.concatenate([part for one in RECORDINGS[:6] for part in (one, pause(1.5))])
    spoken = [chunk for chunk in recogniser(wave).chunks if chunk.language]
    assert len(spoken) > sum(stretch.has_speech for stretch in at_pauses(torch.from_numpy(wave), RATE, 8.0))


def test_a_batch_is_recognised_as_its_recordings_are(recogniser):
    lists = ["de,en", "en", "en,zh-CN", "zh-CN 0.7:de,en"] * 6
    for transcript, wave, own in zip(recogniser.batch(RECORDINGS, lists), RECORDINGS, lists, strict=True):
        assert_same(transcript, recogniser(wave, own))


def test_decoding_programs_recognise_alike(tiny_model, recogniser, tmp_path):
    for n, wave in enumerate(RECORDINGS[:8]):
        soundfile.write(tmp_path / f"utt{n}.wav", wave, RATE, subtype="FLOAT")
    table = "".join(f"utt{n} {tmp_path}/utt{n}.wav\n" for n in range(8))
    (tmp_path / "wav.scp").write_text(table, encoding="utf-8")
    asr_inference.main(["--model", str(tiny_model.config.parent), "--output_dir", str(tmp_path / "out"),
                        "--batch_size", "3", "--data_path_and_name_and_type", f"{tmp_path / 'wav.scp'},speech,sound"])
    expect_results(tmp_path / "out/1best_recog", recogniser, tmp_path, [None] * 8)


@pytest.mark.parametrize("options", [{"vad": "none"}, {"language_smoothing": "utterance"}], ids=str)
def test_it_is_whole_without_regard_to_pauses_and_where_an_utterance_has_one_language(tiny_model, options):
    recogniser = Speech2Text(tiny_model.config, tiny_model.weights, **options)
    for wave in RECORDINGS[:12]:
        assert [bool(chunk.language) for chunk in recogniser(wave).chunks].count(True) == 1


def test_all_hypotheses_are_of_the_parts(tiny_model):
    recogniser = Speech2Text(tiny_model.config, tiny_model.weights, nbest=2, **BEAM_SEARCH)
    for wave in RECORDINGS[:12]:
        transcript = recogniser(wave)
        several = [bool(chunk.language) for chunk in transcript.chunks].count(True) > 1
        assert len(transcript.hypotheses) == (1 if several else 2)
        assert transcript.hypotheses[0][0] == transcript.text


def test_a_model_without_ctc_recognises_it_whole(tmp_path):
    decoder = {"decoder": "transformer", "decoder_conf": {"linear_units": 8, "num_blocks": 1, "attention_heads": 2}}
    files = write_model(tmp_path, model_conf={"ctc_weight": 0.0}, **decoder)
    attention = Speech2Text(files.config, files.weights, beam_size=1, ctc_weight=0.0, maxlenratio=0.3)
    assert [len(attention(wave).chunks) for wave in RECORDINGS[:4]] == [1] * 4


# ----------------------------------------------------------------------------------------------------------- the parts


def test_parts_lie_in_their_stretch_and_are_long_enough():
    several = 0
    for seed in range(6):
        draw = np.random.default_rng(seed)
        pieces = [[speech_of(draw.uniform(0.1, 2.0), seed), pause(draw.uniform(0.02, 0.7))] for _ in range(8)]
        wave = torch.from_numpy(np.concatenate([part for pair in pieces for part in pair]))
        for longest in (1.5, 4.0, 30.0):
            for start, end, has_speech, parts in at_pauses(wave, RATE, longest):
                assert len(parts) != 1
                assert not parts or (start, end) == (parts[0][0], parts[-1][1])
                assert all(b - a >= SHORTEST_PART * RATE for a, b in parts)
                assert all(one[1] <= following[0] for one, following in itertools.pairwise(parts))
                assert end - start <= longest * RATE or not has_speech
                several += len(parts) > 1
    assert several > 10


def test_a_piece_in_its_parts():
    piece = Piece(3, torch.arange(100.0), 50, 150, True, ((50, 90), (95, 120), (120, 150)))
    parts = piece.in_parts()
    expected = [(50, 90, True), (90, 95, False), (95, 120, True), (120, 150, True)]
    assert [(part.start, part.end, part.has_speech) for part in parts] == expected
    assert torch.cat([part.wave for part in parts]).equal(piece.wave)
    assert {part.utterance for part in parts} == {3}
    assert parts[0].in_parts() == []
