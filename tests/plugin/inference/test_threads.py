"""Threads that share one Speech2Text, each with languages of its own."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiny import LANGUAGES, speech_of

from espnet_blrmoe import Speech2Text, Transcript
from espnet_blrmoe.files.model_files import ModelFiles

SPEECHES = [speech_of(seconds, seed) for seed, seconds in enumerate((1.3, 0.5, 2.0, 0.9))]
LISTS = [None, *LANGUAGES, *map(list, itertools.combinations(LANGUAGES, 2)), "en 0.4:de"]


def essence(transcript: Transcript) -> tuple:
    return transcript.text, transcript.language, transcript.language_probability, transcript.timeline


@pytest.mark.parametrize(("beam_size", "requests"), [(1, 1000), (2, 60)])
def test_every_thread_gets_the_result_of_its_own_list(tiny_model: ModelFiles, beam_size: int, requests: int):
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=beam_size)
    every = list(itertools.product(range(len(SPEECHES)), range(len(LISTS))))
    expected = {(s, n): essence(speech2text(SPEECHES[s], LISTS[n])) for s, n in every}
    assert len(set(expected.values())) > len(SPEECHES) * 4  # else lists would not matter
    asked = random.Random(0).choices(every, k=requests)
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda one: essence(speech2text(SPEECHES[one[0]], LISTS[one[1]])), asked))
    assert [result for one, result in zip(asked, results) if result != expected[one]] == []
