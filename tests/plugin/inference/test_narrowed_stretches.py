"""By how much what the network takes for speech is narrowed to what is loud in it."""

import numpy as np
import pytest
import torch
from tiny import RATE, speech_of

from espnet_blrmoe.inference import pauses
from espnet_blrmoe.inference.pauses import LATE, MARGIN, at_pauses

START, END, SECONDS = 1.0, 4.0, 6.0  # of what the network takes for speech, and of the recording


@pytest.mark.parametrize("quiet", [0.2, 0.5, 1.0])
def test_a_stretch_is_narrowed_to_what_is_loud_but_not_by_more_than_the_network_may_err(monkeypatch, quiet):
    def heard(block: torch.Tensor, fs: int) -> list[tuple[int, int]]:
        return [(round(START * fs), round(END * fs))] if len(block) == SECONDS * fs else []

    monkeypatch.setattr(pauses, "speech_stretches", heard)
    wave = np.random.default_rng(0).normal(scale=3e-4, size=round(SECONDS * RATE)).astype(np.float32)
    first, last = (round(seconds * RATE) for seconds in (START + quiet, END - quiet))
    wave[first:last] += speech_of((last - first) / RATE, seed=0)
    [found] = [stretch for stretch in at_pauses(torch.from_numpy(wave), RATE, 4.0) if stretch.has_speech]
    assert found.start / RATE == pytest.approx(START + min(quiet, LATE) - MARGIN, abs=0.03)
    assert found.end / RATE == pytest.approx(END - min(quiet - MARGIN, LATE), abs=0.03)
