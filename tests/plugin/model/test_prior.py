"""What is known of the languages: hard and soft lists, lists that change over time, escape, smoothing."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe import LanguagePrior
from espnet_blrmoe.model.prior import SWITCH_COST, LanguageChoice, smooth

LANGUAGES = ["en", "de", "es", "zh-CN"]


@given(st.lists(st.sets(st.sampled_from(LANGUAGES), min_size=1), min_size=1, max_size=4))
def test_prior_excludes_exactly_the_languages_that_are_not_allowed(allowed):
    prior = LanguagePrior.allow([sorted(codes) for codes in allowed], LANGUAGES)
    expected = [[0.0 if language in codes else -math.inf for language in LANGUAGES] for codes in allowed]
    assert prior.log_weights.squeeze(1).tolist() == expected
    only = prior.only_language()
    if all(len(codes) == 1 for codes in allowed):
        assert only.squeeze(1).tolist() == [LANGUAGES.index(*codes) for codes in allowed]
    else:
        assert only is None


@st.composite
def batches_of_logits(draw, longest: int = 9) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """(B, T, 4) logits, (B, T) valid, lengths."""
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=3))
    valid = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    logits = 3 * torch.randn(*valid.shape, len(LANGUAGES), generator=generator)
    return logits, valid, lengths


@given(batches_of_logits(), st.floats(0, 20))
def test_a_penalty_is_taken_off_the_other_languages(batch, penalty):
    logits, valid, lengths = batch
    prior = LanguagePrior.allow(["en,es"] * len(lengths), LANGUAGES, penalty=penalty)
    expected = logits - penalty * torch.tensor([0.0, 1.0, 0.0, 1.0])
    torch.testing.assert_close(LanguageChoice(prior).weigh(logits, valid).log_softmax(-1), expected.log_softmax(-1))
    assert prior.only_language() is None


@given(batches_of_logits(), st.sampled_from([3, 5, None]))
def test_smoothing_averages_over_the_frames_of_the_utterance_alone(batch, window):
    logits, valid, lengths = batch
    smoothed = smooth(logits.masked_fill(~valid.unsqueeze(-1), 1e4), valid, window)
    for b, length in enumerate(lengths):
        for t in range(length):
            reach = length if window is None else window // 2
            around = logits[b, max(0, t - reach) : min(length, t + reach + 1)]
            torch.testing.assert_close(smoothed[b, t], around.mean(0), rtol=1e-4, atol=1e-3)


@given(batches_of_logits(), st.floats(0.05, 0.95))
def test_utterances_escape_a_list_that_excludes_what_they_sound_like(batch, escape):
    logits, valid, lengths = batch
    lists = [["en"], ["de", "zh-CN"], LANGUAGES][: len(lengths)]
    choice = LanguageChoice(LanguagePrior.allow(lists, LANGUAGES), escape=escape)
    applied = choice.weigh(logits, valid)
    assert choice.only_language() is None  # the router has to be asked
    for b, (codes, length) in enumerate(zip(lists, lengths)):
        probs = logits[b, :length].softmax(-1).mean(0)
        excluded = sum(float(p) for p, language in zip(probs, LANGUAGES) if language not in codes)
        if abs(excluded - escape) < 1e-3:
            continue
        finite = applied[b].isfinite().all(0).tolist()
        assert finite == [excluded > escape or language in codes for language in LANGUAGES]


@given(batches_of_logits(), st.floats(0.05, 0.95))
def test_smoothing_does_not_change_who_escapes(batch, escape):
    logits, valid, lengths = batch
    frame, utterance = (
        LanguageChoice(LanguagePrior.allow(["en"], LANGUAGES), window, escape).weigh(logits, valid).isfinite().all(-1)
        for window in (1, None)
    )
    assert frame[valid].equal(utterance[valid])


@given(batches_of_logits())
def test_one_window_over_the_utterance_gives_it_one_language(batch):
    logits, valid, lengths = batch
    applied = LanguageChoice(window=None).weigh(logits, valid)
    for b, length in enumerate(lengths):
        choices = applied[b, :length].argmax(-1).unique().tolist()
        assert choices == [int(logits[b, :length].log_softmax(-1).mean(0).argmax())]


def quality(sequence: Sequence[int], log_probs: list[list[float]], switch_cost: float) -> float:
    """Of the languages of one utterance: what Viterbi's algorithm makes as high as possible."""
    switches = sum(one != following for one, following in itertools.pairwise(sequence))
    return sum(frame[language] for frame, language in zip(log_probs, sequence)) - switch_cost * switches


@given(batches_of_logits(longest=5), st.sampled_from([0.0, 0.5, 3.0, 100.0]), st.sampled_from(["en 2:de,es", "en,es"]))
def test_languages_with_a_cost_of_switches_are_the_best_of_all_sequences(batch, switch_cost, allowed):
    logits, valid, lengths = batch
    times = torch.arange(logits.size(1)).unsqueeze(0)
    for prior in (None, LanguagePrior.allow([allowed], LANGUAGES, times=times)):
        choice = LanguageChoice(prior, switch_cost=switch_cost)
        weighed = choice.weigh(logits, valid)
        chosen = choice.choose(weighed.masked_fill(~valid.unsqueeze(-1), math.nan), valid)
        for own, sequence, length in zip(weighed.log_softmax(-1).tolist(), chosen.tolist(), lengths):
            every = itertools.product(range(len(LANGUAGES)), repeat=length)
            best = max(quality(one, own, switch_cost) for one in every)
            assert quality(sequence[:length], own, switch_cost) == pytest.approx(best, abs=1e-4)


@given(batches_of_logits())
def test_a_switch_that_costs_nothing_smooths_nothing_and_one_that_costs_much_does_not_happen(batch):
    logits, valid, lengths = batch
    free, dear = (LanguageChoice(switch_cost=cost).choose(logits, valid) for cost in (0.0, 1e6))
    assert free[valid].equal(LanguageChoice().choose(logits, valid)[valid])
    for own, sequence, length in zip(logits.log_softmax(-1), dear, lengths):
        assert sequence[:length].unique().tolist() == [int(own[:length].sum(0).argmax())]


def test_smoothing_as_users_describe_it():
    assert LanguageChoice.smoothed("frame", 0.04) == LanguageChoice()
    assert LanguageChoice.smoothed("utterance", 0.04, escape=0.9) == LanguageChoice(window=None, escape=0.9)
    assert LanguageChoice.smoothed("200", 0.04) == LanguageChoice(window=5)
    assert LanguageChoice.smoothed("viterbi", 0.04) == LanguageChoice(switch_cost=SWITCH_COST)
    assert LanguageChoice.smoothed("viterbi", 0.04, 3.0, 0.9) == LanguageChoice(switch_cost=3.0, escape=0.9)
    with pytest.raises(ValueError, match="the cost of a language switch needs language smoothing viterbi"):
        LanguageChoice.smoothed("200", 0.04, 3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": -1.0}, "language penalty must be a number of nats, 0 or more, not -1.0"),
        ({"penalty": math.nan}, "language penalty must be"),
    ],
)
def test_prior_refuses_a_penalty_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LanguagePrior.allow(["en"], LANGUAGES, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"escape": 1.5}, "escape threshold is a probability between 0 and 1, not 1.5"),
        ({"window": 4}, "smoothing window must be an odd number of frames, not 4"),
        ({"switch_cost": -1.0}, "cost of a language switch is a number of nats, 0 or more, not -1.0"),
        ({"switch_cost": math.inf}, "cost of a language switch is a number of nats, 0 or more, not inf"),
    ],
)
def test_choice_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LanguageChoice(**options)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_weights_that_are_not_weights_are_refused(weight):
    with pytest.raises(ValueError, match="log-weights must be numbers or minus infinity"):
        LanguagePrior(torch.tensor([[[0.0, weight]]]))


def test_one_string_is_not_a_list_of_lists():
    with pytest.raises(ValueError, match=r"write \['en,de'\] for the whole batch"):
        LanguagePrior.allow("en,de", LANGUAGES)


def test_a_prior_that_excludes_everything_is_refused():
    with pytest.raises(ValueError, match="excludes every language"):
        LanguagePrior(torch.full((2, 1, 4), -math.inf))


def test_prior_reads_lists_as_users_write_them():
    prior = LanguagePrior.allow(["en, zh-CN"], LANGUAGES)
    assert prior.log_weights.isfinite().tolist() == [[[True, False, False, True]]]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "the list of languages is empty"),
        (" , ", "the list of languages is empty"),
        (["en", "fr"], "unknown language 'fr'; this model knows en, de, es, zh-CN"),
        ("de,en,de", "language 'de' is listed twice in 'de,en,de'"),
    ],
)
def test_prior_refuses_a_bad_list(codes, message):
    with pytest.raises(ValueError, match=message):
        LanguagePrior.allow([codes], LANGUAGES)


def test_a_list_may_change_over_time():
    times = torch.tensor([[0.0, 1.9, 2.0, 30.0]])
    prior = LanguagePrior.allow(["en,de 2:es", "2:zh-CN 12.5:en"], LANGUAGES, times=times)
    allowed = [[[LANGUAGES[n] for n in frame.nonzero()] for frame in own] for own in prior.log_weights.isfinite()]
    assert allowed[0] == [["en", "de"], ["en", "de"], ["es"], ["es"]]
    assert allowed[1] == [LANGUAGES, LANGUAGES, ["zh-CN"], ["en"]]
    assert prior.only_language() is None
    assert LanguagePrior.allow(["en 2:es"], LANGUAGES, times=times).only_language().tolist() == [[0, 0, 2, 2]]


@given(batches_of_logits(), st.lists(st.sampled_from(LANGUAGES), min_size=12, max_size=12), st.sampled_from([1, 3]))
def test_a_prior_of_every_frame_weighs_every_frame(batch, codes, window):
    """One list a frame, longer than the batch: frame by frame what a list for all frames gives."""
    logits, valid, lengths = batch
    given_lists = " ".join(f"{second}:{code}" for second, code in enumerate(codes))
    prior = LanguagePrior.allow([given_lists], LANGUAGES, penalty=3.0, times=torch.arange(12.0).unsqueeze(0))
    weighed = LanguageChoice(prior, window).weigh(logits, valid)
    for t, code in enumerate(codes[: logits.size(1)]):
        throughout = LanguageChoice(LanguagePrior.allow([code], LANGUAGES, penalty=3.0), window)
        assert weighed[:, t].equal(throughout.weigh(logits, valid)[:, t])


def test_a_list_that_changes_needs_times():
    with pytest.raises(ValueError, match="changes over time needs the times of the frames"):
        LanguagePrior.allow(["en 2:es"], LANGUAGES)


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"must broadcast to \(B, T, E\), not be \(4,\)"):
        LanguagePrior(torch.zeros(4))
