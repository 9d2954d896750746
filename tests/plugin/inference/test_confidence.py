"""Confidences of words: calibrated, told right from wrong, and scored."""

import numpy as np
import pytest
import torch
from recognition import SPEECHES
from tiny import one_sentence
from torchmetrics.functional.classification import binary_calibration_error

from espnet_blrmoe import Speech2Text, Word
from espnet_blrmoe.files.yaml_files import read_mapping, write_mapping
from espnet_blrmoe.inference.confidence import Calibration, calibration_error, reliability, right_words


def drawn(true: Calibration, words: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of words that are right as often as a calibration says."""
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(4, 1, words)
    return probabilities, generator.random(words) < true.of_all(probabilities)


def test_a_fit_finds_what_the_words_were_drawn_with():
    true = Calibration(slope=0.7, offset=1.2)
    fitted = Calibration.fitted(*drawn(true, 20_000))
    assert (fitted.slope, fitted.offset) == pytest.approx((true.slope, true.offset), abs=0.1)


def test_calibrated_confidences_are_as_right_as_they_say():
    probabilities, right = drawn(Calibration(0.7, 1.2), 2000)
    fitted = Calibration.fitted(probabilities, right)
    others, others_right = drawn(Calibration(0.7, 1.2), 2000, seed=1)
    before, after = (calibration_error(reliability(own, others_right)) for own in (others, fitted.of_all(others)))
    assert after < 0.03 < 0.08 < before


def test_words_that_nothing_can_be_fitted_to():
    probabilities = np.linspace(0, 1, 20)
    for right in (np.ones(20, bool), np.zeros(20, bool), probabilities < 0.5):
        assert Calibration.fitted(probabilities, right) is None


def test_without_calibration_probabilities_stay():
    assert [Calibration().of(p) for p in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
    assert Calibration.of_config({}) == Calibration()


def test_confidences_rise_with_the_probability_and_stay_below_one():
    calibration = Calibration(0.5, 1.0)
    confidences = [calibration.of(p) for p in (1e-9, 0.1, 0.5, 0.9, 1.0)]
    assert confidences == sorted(confidences) and 0 < confidences[0] and confidences[-1] < 1
    assert calibration.of(0.0) == 0.0  # a text that the CTC cannot align
    assert calibration.of(0.5) == pytest.approx(1 / (1 + np.exp(-1)))


def test_the_error_is_that_of_torchmetrics():
    confidences, right = drawn(Calibration(2, 0), 500)
    expected = binary_calibration_error(torch.from_numpy(confidences), torch.from_numpy(right).long(), n_bins=10)
    assert calibration_error(reliability(confidences, right)) == pytest.approx(float(expected), abs=1e-6)
    assert sum(own["words"] for own in reliability(confidences, right)) == 500


@pytest.mark.parametrize(
    ("text", "words", "right"),
    [
        ("der hund bellt", ["der", "hund", "bellt"], [True] * 3),
        ("der hund bellt", ["der", "bunt", "bellt"], [True, False, True]),
        ("der hund", [], []),
        ("", ["der"], [False]),
        ("我用python", ["我用", "python"], [True, True]),
        ("我用python", ["我永", "python"], [False, True]),
    ],
)
def test_right_words(text, words, right):
    assert right_words(text, [Word(0.0, 1.0, word, 0.5, "de") for word in words]) == right


def test_recognition_takes_the_models_calibration(tiny_model, tmp_path, speech2text):
    calibration = Calibration(0.5, 1.0)
    config = tmp_path / "config.yaml"
    write_mapping(config, read_mapping(tiny_model.config) | calibration.as_options())
    own, plain = Speech2Text(config, tiny_model.weights)(SPEECHES[2]), speech2text(SPEECHES[2])
    assert own.text == plain.text and own.words
    for word, before in zip(own.words, plain.words, strict=True):
        assert word.confidence == pytest.approx(calibration.of(before.confidence))


@pytest.mark.parametrize(
    "given", [1.0, {}, {"slope": 1.0}, {"slope": "1", "offset": 0}, {"slope": 0, "offset": 0},
              {"slope": -1.0, "offset": 0}, {"slope": float("nan"), "offset": 0}, {"slope": True, "offset": 0}, [1, 2]]
)  # fmt: skip
def test_calibrations_that_are_none(given):
    sentence = one_sentence(Calibration.of_config, {"word_confidence": given})
    assert sentence.startswith("word_confidence must be a positive slope and an offset")
