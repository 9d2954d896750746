"""Recordings are cut at their pauses, which are not recognised; all times stay those of the recording."""

import itertools

import numpy as np
import pytest
import torch
from recognition import BEAM_SEARCH, BEST_PATH
from tiny import LANGUAGES, RATE, speech_of

from espnet_blrmoe import Speech2Text, audio
from espnet_blrmoe.inference import pauses
from espnet_blrmoe.inference.pauses import MARGIN, Stretch, at_pauses

FIRST, SECOND = speech_of(2.0, seed=0), speech_of(3.0, seed=20)
STARTS, ENDS = (1.0, 4.0), (3.0, 7.0)  # of FIRST and SECOND, with a pause of a second before, between and behind
CHUNK_SECONDS = 4.0


def pause(seconds: float, loudness: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return (loudness * FIRST.std() * noise).astype(np.float32)


def recording(loudness: float = 0.0) -> np.ndarray:
    """Both speeches; a loudness of 0 makes pauses of zeros, one of 1 is that of the speech."""
    silence = pause(1.0, loudness)
    return np.concatenate([silence, FIRST, silence, SECOND, silence])


def spans(wave: np.ndarray, fs: int = RATE, longest: float = CHUNK_SECONDS) -> list[tuple[float, float]]:
    """Start and end, in seconds, of what at_pauses takes for speech."""
    stretches = at_pauses(torch.from_numpy(wave), fs, longest)
    assert_covered(stretches, len(wave))
    return [(stretch.start / fs, stretch.end / fs) for stretch in stretches if stretch.has_speech]


def assert_covered(stretches: list[Stretch], samples: int) -> None:
    assert stretches[0].start == 0 and stretches[-1].end == samples
    assert all(stretch.start < stretch.end for stretch in stretches)
    for one, following in itertools.pairwise(stretches):
        assert one.end == following.start
        assert one.has_speech or following.has_speech


@pytest.fixture(scope="module", params=[BEST_PATH, BEAM_SEARCH], ids=["best-path", "beam-search"])
def recogniser(request, tiny_model) -> Speech2Text:
    return Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, **request.param)


# ----------------------------------------------------------------------------------------------------------- the pauses


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_digital_silence_is_left_out_to_the_sample(rate):
    wave = audio.resample(torch.from_numpy(recording()), RATE, rate).numpy()
    found = spans(wave, rate)
    assert [start for start, _ in found] == pytest.approx(STARTS, abs=0.02)
    assert [end for _, end in found] == pytest.approx(ENDS, abs=0.02)


@pytest.mark.parametrize("loudness", [0.003, 0.03])
def test_noisy_pauses_leave_a_margin(loudness):
    found = spans(recording(loudness))
    for (start, end), first, last in zip(found, STARTS, ENDS, strict=True):
        assert first - MARGIN - 0.1 < start <= first - MARGIN / 2
        assert last <= end < last + MARGIN + 0.1


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.15])
def test_a_clip_keeps_what_is_too_short_for_a_pause_at_its_ends(seconds):
    silence = pause(seconds, 0.003)
    clip = np.concatenate([silence, FIRST, silence])
    assert spans(clip) == [(0.0, len(clip) / RATE)]


@pytest.mark.parametrize("loudness", [0.01, 1.0])
def test_quiet_and_loud_recordings_are_cut_alike(loudness):
    assert spans((loudness * recording()).astype(np.float32)) == pytest.approx(
        [pytest.approx(span, abs=0.03) for span in zip(STARTS, ENDS)]
    )


def test_speech_is_cut_where_it_is_too_long():
    long = np.concatenate([pause(1.0), speech_of(9.0, seed=3), pause(1.0)])
    found = spans(long)
    assert len(found) > 2
    assert all(end - start <= CHUNK_SECONDS for start, end in found)
    assert (found[0][0], found[-1][1]) == pytest.approx((1.0, 10.0), abs=0.05)
    assert all(one[1] == following[0] for one, following in itertools.pairwise(found))


@pytest.mark.parametrize("longest", [8.0, 30.0, float("inf")])
def test_short_recordings_are_cut_at_their_ends_and_at_long_pauses(longest):
    for seconds, parts in ((0.3, 1), (0.8, 2), (2.0, 2)):
        wave = np.concatenate([pause(1.0), FIRST, pause(seconds), SECOND, pause(1.0)])
        found = spans(wave[: round(8 * RATE)], longest=longest)
        assert len(found) == parts
        assert (found[0][0], found[-1][1]) == pytest.approx((1.0, min(6.0 + seconds, 8.0)), abs=0.02)


@pytest.mark.parametrize("loudness", [0.03, 0.01, 0.003])
def test_weak_sounds_of_a_quiet_recording_are_kept(loudness):
    """Speech that swells and fades is as long in a quiet recording as in a loud one."""
    swelling = FIRST * np.hanning(len(FIRST)).astype(np.float32)
    wave = np.concatenate([pause(1.0), swelling, pause(1.0)])
    [loud], [quiet] = spans(wave), spans(np.float32(loudness) * wave)
    assert quiet == pytest.approx(loud, abs=0.02)


def test_quiet_speech_after_a_pause_is_heard_beside_loud_speech():
    quiet = np.float32(0.01) * speech_of(4.0, seed=5)
    found = spans(np.concatenate([FIRST, pause(1.5), quiet, pause(1.5), SECOND]))
    assert any(start <= 4.5 and end >= 6.5 for start, end in found)


@pytest.mark.parametrize("loudness", [0.03, 0.01])
def test_a_quiet_voice_between_loud_ones_is_found_where_it_speaks(loudness):
    quiet = np.float32(loudness) * speech_of(4.0, seed=5)
    found = spans(np.concatenate([FIRST, pause(2.0), quiet, pause(2.0), SECOND]), longest=5.0)
    assert found == [pytest.approx(span, abs=0.05) for span in ((0.0, 2.0), (4.0, 8.0), (10.0, 13.0))]


def test_speech_longer_than_a_chunk_is_cut_at_its_widest_short_pauses():
    speeches, seconds = [speech_of(1.0, seed) for seed in (0, 20, 40, 60)], (0.15, 0.25, 0.12)
    parts = [part for one, gap in zip(speeches, (*seconds, 0.0)) for part in (one, pause(gap, 1e-3))]
    wave, middles = np.concatenate(parts), [one + sum(seconds[:n]) + seconds[n] / 2 for n, one in enumerate((1, 2, 3))]
    edges = {longest: [edge for span in spans(wave, longest=longest) for edge in span][1:-1] for longest in (1.5, 2.5)}
    for longest, cut_at in ((2.5, [middles[1]]), (1.5, middles)):
        ends, starts = edges[longest][::2], edges[longest][1::2]
        assert [(end + start) / 2 for end, start in zip(ends, starts)] == pytest.approx(cut_at, abs=0.08)
    assert 0.02 < edges[2.5][1] - edges[2.5][0] < 0.25  # the pause, but for what is kept around speech


@pytest.mark.parametrize("ends", [(10, 20, 30, 40), (1, 20, 39, 40), (2, 3, 21, 40)])
def test_of_pauses_that_are_alike_that_with_most_speech_on_either_side_is_the_widest(ends):
    parts = list(zip((0, *ends), ends))
    place = pauses._widest_pause(parts)
    assert abs(ends[place - 1] - 20) == min(abs(end - 20) for end in ends)
    assert pauses._widest_pause([*parts, (41, 50)]) == len(parts)


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.15])
def test_what_a_clip_has_at_its_ends_is_kept_up_to_digital_silence(seconds):
    room = pause(seconds, 0.003)
    clip = np.concatenate([room, FIRST, room])
    zeros = pause(1.0)
    [(start, end)] = spans(np.concatenate([zeros, clip, zeros]))
    assert (start, end) == (pytest.approx(1.0, abs=0.01), pytest.approx(1.0 + len(clip) / RATE, abs=0.01))


@pytest.mark.parametrize("seconds", [0.12, 0.18, 0.3])
def test_parts_have_no_digital_silence_at_their_ends(monkeypatch, seconds):
    monkeypatch.setattr(pauses, "SENTENCE_GAP", 1.0)
    wave = np.concatenate([FIRST, pause(seconds), SECOND])
    [stretch] = [own for own in at_pauses(torch.from_numpy(wave), RATE, 30.0) if own.has_speech]
    [(end, start)] = [(end, start) for (_, end), (start, _) in itertools.pairwise(stretch.parts)
                      if end - 800 < len(FIRST) < start + 800]
    assert end <= len(FIRST) + 2 and start >= len(FIRST) + seconds * RATE - 2


def test_no_pause_is_shorter_than_the_shortest():
    parts = [part for n in range(12) for part in (speech_of(0.8, n), pause(0.1 + 0.012 * n, 1e-3))]
    for longest in (1.0, 2.0, 5.0):
        stretches = at_pauses(torch.from_numpy(np.concatenate(parts)), RATE, longest)
        edges = [edge for stretch in stretches for part in stretch.parts or [stretch[:2]] for edge in part]
        gaps = [b - a for a, b in itertools.pairwise(edges)][1::2]
        assert all(gap == 0 or gap >= pauses.SHORTEST_PAUSE * RATE for gap in gaps)


@pytest.mark.parametrize("seed", range(4))
def test_zeros_anywhere(seed):
    draw = np.random.default_rng(seed)
    wave = np.concatenate([pause(0.2, 0.002), *(speech_of(draw.uniform(0.2, 1.5), n) for n in range(8))])
    for start, seconds in zip(draw.integers(0, len(wave), 12), draw.uniform(0.01, 0.6, 12)):
        wave[start : start + round(seconds * RATE)] = draw.choice([0.0, 0.1])
    for longest in (1.0, 3.0, 20.0):
        stretches = at_pauses(torch.from_numpy(wave), RATE, longest)
        assert_covered(stretches, len(wave))
        for stretch in stretches:
            assert all(start < end for start, end in stretch.parts)


def test_all_is_pause_where_nobody_speaks():
    assert spans(pause(70.0)) == spans(pause(70.0, loudness=0.1)) == []
    assert at_pauses(torch.zeros(5 * RATE), RATE, 4.0) == [Stretch(0, 5 * RATE, False)]


@pytest.mark.parametrize("samples", [1, 3, 100, 5000])
def test_very_short_sounds_are_speech(samples):
    wave = FIRST[:samples] + 0.1 * (np.arange(samples) % 2).astype(np.float32)
    if samples > 1:
        assert len(spans(wave)) == 1
    else:
        assert spans(wave) == []


def test_recordings_of_several_blocks_of_the_network(monkeypatch):
    parts = [part for n in range(12) for part in (speech_of(2.5, seed=30 + n), pause(1.0, 0.003))]
    for seconds in (30.0, 5.0):
        monkeypatch.setattr(pauses, "BLOCK_SECONDS", seconds)
        heard = np.zeros(12 * 35)  # tenths of a second
        for start, end in spans(np.concatenate(parts)):
            heard[round(10 * start) : round(10 * end)] = 1
        speech, silence = np.split(heard.reshape(12, 35), [25], axis=1)
        assert speech.mean() > 0.99
        assert silence.mean() < 0.7


def test_threads_hear_what_one_hears():
    wave = np.concatenate([part for n in range(40) for part in (speech_of(2.5, seed=n), pause(1.0, 0.003))])
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 4):
            torch.set_num_threads(number)
            found.append(spans(wave))
    finally:
        torch.set_num_threads(threads)
    assert len(found[0]) > 20
    assert found[0] == found[1]


# --------------------------------------------------------------------------------------------------- what is recognised


def test_speech_between_pauses_is_recognised_as_if_it_were_alone(tiny_model, recogniser):
    transcript = recogniser(recording())
    beam_size = 1 if recogniser._is_best_path else 2
    uncut = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=beam_size, ctc_weight=1.0, vad="none")
    stretches = at_pauses(torch.from_numpy(recording()), RATE, CHUNK_SECONDS)
    alone = [uncut(recording()[stretch.start : stretch.end]) for stretch in stretches if stretch.has_speech]
    spoken = [chunk for chunk in transcript.chunks if chunk.language]
    assert [chunk.text for chunk in spoken] == [one.text for one in alone]
    assert transcript.text == " ".join(one.text for one in alone if one.text) != ""
    assert [word.text for word in transcript.words] == [word.text for one in alone for word in one.words]
    for language in LANGUAGES:
        assert transcript.frames[language] == sum(one.frames[language] for one in alone)
    [(text, tokens, _, _)] = transcript.hypotheses
    assert " ".join("".join(tokens).replace("<space>", " ").split()) == text == transcript.text


def test_times_are_those_of_the_recording(recogniser):
    transcript = recogniser(recording())
    pieces = [(chunk.start, chunk.end) for chunk in transcript.chunks]
    assert [chunk.language is None for chunk in transcript.chunks] == [True, False, True, False, True]
    assert pieces == [pytest.approx(piece, abs=0.02) for piece in ((0, 1), (1, 3), (3, 4), (4, 7), (7, 8))]
    for seconds, parts in itertools.groupby(transcript.timeline, lambda span: span.start < 3.5):
        parts = list(parts)
        own = pieces[1] if seconds else pieces[3]
        assert parts[0].start == pytest.approx(own[0], abs=1e-3)
        assert own[1] - 0.1 < parts[-1].end <= own[1] + 1e-3
    for word in transcript.words:
        assert any(first - 1e-3 <= word.start < word.end <= last + 1e-3 for first, last in (pieces[1], pieces[3]))


def test_speech_between_silence_keeps_all_its_hypotheses(tiny_model):
    several = Speech2Text(tiny_model.config, tiny_model.weights, nbest=2, **BEAM_SEARCH)
    padded = several(np.concatenate([pause(1.0), FIRST, pause(1.0)]))
    assert len(padded.chunks) == 3
    assert len(padded.hypotheses) == 2


def test_lists_that_change_do_so_at_their_second_of_the_recording(recogniser):
    transcript = recogniser(recording(), "de 5:en")
    assert [span.language for span in transcript.timeline] == ["de", "de", "en"]
    assert transcript.timeline[-1].start == pytest.approx(5.0, abs=0.1)


def test_without_it_pauses_are_recognised_too(tiny_model):
    everywhere = Speech2Text(tiny_model.config, tiny_model.weights, chunk_seconds=CHUNK_SECONDS, vad="none")
    chunks = everywhere(recording()).chunks
    assert [(chunk.start, chunk.end) for chunk in chunks] == [
        (round(a / RATE, 3), round(b / RATE, 3))
        for a, b in audio.cut(torch.from_numpy(recording()), RATE, CHUNK_SECONDS)
    ]
    assert chunks[0].start == 0.0 and chunks[0].language


def test_another_way_to_cut(tiny_model):
    with pytest.raises(ValueError, match="vad must be silero or none, not 'webrtc'"):
        Speech2Text(tiny_model.config, tiny_model.weights, vad="webrtc")
