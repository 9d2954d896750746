"""Trainings of a part of a trained model, the router or one more language, on joined utterances."""

import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from added_language import INPUTS, TEXTS, add, of_experts
from tiny import LANGUAGES, RATE, fine_tuning_options, speech_of, write_data_dir

from espnet_blrmoe.bin.router_train import main
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.languages import decode_label
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor
from espnet_blrmoe.training.router_task import RouterModel

JOINED = {"share": 0.7, "parts": [2, 3], "pause": [0.1, 0.3], "one_language": 0.0}
PAIRS = "wav.scp,speech,sound", "utt2lang,lid,text"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of three languages, twelve times as much of one as of the others."""
    return write_data_dir(tmp_path_factory.mktemp("data"), [*LANGUAGES, *["en"] * 11])


def fine_tune(model, data, output, **changes):
    """Fine-tune the router; its model's weights."""
    output.mkdir()
    main(fine_tuning_options(model, data, output / "router", PAIRS, **changes))
    return read_weights(output / "router/model.pth")


@pytest.fixture
def heard(monkeypatch):
    """The languages of each utterance that the router hears in training, in their order, and its samples."""
    seen = []
    original = RouterModel.forward

    def forward(self, speech, speech_lengths, lid, **rest):
        if self.training:
            labels = [decode_label(label) for label in lid.tolist()]
            seen.extend(zip(labels, speech_lengths.tolist()))
        return original(self, speech, speech_lengths, lid, **rest)

    monkeypatch.setattr(RouterModel, "forward", forward)
    return seen


def test_the_router_hears_joined_pairs_whose_languages_are_known_in_time(conformer, data, tmp_path, heard):
    before, after = read_weights(conformer.weights), fine_tune(conformer, data, tmp_path / "one", joined_conf=JOINED)
    for name, value in before.items():
        assert after[name].equal(value) != name.startswith("encoder.router."), name
    joined = [(labels, samples) for labels, samples in heard if len(labels) > 1]
    parts = sum(len(labels) for labels, _ in joined)
    assert 0.5 <= parts / sum(len(labels) for labels, _ in heard) <= 0.75
    for labels, samples in joined:
        pauses = [(after.start - before.end) * samples / RATE for before, after in zip(labels, labels[1:])]
        assert all(0.099 <= pause <= 0.301 for pause in pauses)
    assert any(len({stretch.language for stretch in labels}) > 1 for labels, _ in joined)


def test_it_can_be_repeated_in_a_process_that_reads_ahead(tiny_model, data, tmp_path):
    one, two = (fine_tune(tiny_model, data, tmp_path / name, joined_conf=JOINED, num_workers=1) for name in "ab")
    assert all(two[name].equal(value) for name, value in one.items())
    alone = fine_tune(tiny_model, data, tmp_path / "alone", num_workers=1)
    assert any(not alone[name].equal(value) for name, value in one.items())


def test_languages_are_heard_equally_long_beside_joining(tiny_model, data, tmp_path, heard):
    fine_tune(tiny_model, data, tmp_path / "one", joined_conf=JOINED, language_temperature="inf", max_epoch=4)
    seconds = Counter()
    for labels, samples in heard:
        for language, start, end in labels:
            seconds[language] += (end - start) * samples / RATE
    assert all(1 / 4 < amount / seconds.total() < 5 / 12 for amount in seconds.values())


def test_parts_are_stretches_of_utterances_in_any_length():
    audio = tuple(np.full(3 * RATE, level, dtype=np.float32) for level in (0.1, 0.2))
    cut = BLRMoEPreprocessor(train=True, fs=RATE, augmentation={"seconds": [0.5, 2.0]})
    lengths = []
    np.random.seed(0)
    for _ in range(20):
        heard = cut("one 0 two", {"speech": audio, "lid": ("en", "de")})
        one, two = decode_label(heard["lid"].tolist())
        np.testing.assert_array_equal(np.unique(heard["speech"]), np.float32([0.1, 0.2]))
        assert (one.language, one.start, two.language, two.end) == ("en", 0.0, "de", 1.0) and one.end == two.start
        lengths += [(stretch.end - stretch.start) * len(heard["speech"]) / RATE for stretch in (one, two)]
    assert 0.499 < min(lengths) < 0.8 and 1.7 < max(lengths) < 2.001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joined_conf": {"share": 0.3, "gap": 1}}, "joined_conf: .*unexpected keyword argument 'gap'"),
        ({"joined_conf": {"parts": [2, 3]}}, "joined_conf: .*missing 1 required .*'share'"),
        ({"joined_conf": {"share": 0.3, "pause": 1}}, r"joined_conf: pause must be two numbers of seconds, .* not 1"),
        ({"joined_conf": JOINED, "iterator_type": "category"}, "joined_conf need iterator_type: sequence, not categ"),
        ({"language_temperature": 0.5}, "language_temperature must be 1 or more, not 0.5"),
    ],
)
def test_mistakes_get_one_sentence(tiny_model, data, tmp_path, options, message):
    with pytest.raises(SystemExit) as stopped:
        fine_tune(tiny_model, data, tmp_path / "one", **options)
    assert re.match(f"router_train: .*{message}", str(stopped.value)) and "\n" not in str(stopped.value)
    assert not (tmp_path / "one/router").exists()


# ---------------------------------------------------------------------------------------------------- one more language


@pytest.fixture(scope="module")
def french(tmp_path_factory):
    """Recordings of a new language with transcripts; some long enough for what two texts say."""
    folder = write_data_dir(tmp_path_factory.mktemp("french"), ["fr"] * len(TEXTS["fr"]))
    for n in range(len(TEXTS["fr"])):
        soundfile.write(folder / f"utt{n}.wav", speech_of(1.0, n), RATE, subtype="FLOAT")
    for name, values in (("text", TEXTS["fr"]), ("utt2num_samples", [RATE] * len(TEXTS["fr"]))):
        (folder / name).write_text("".join(f"utt{n} {value}\n" for n, value in enumerate(values)), encoding="utf-8")
    return folder


def test_a_language_is_added_from_joined_utterances(conformer, french, tmp_path):
    inputs = (*INPUTS, "utt2lang,lid,text")
    weights = []
    for name, joining in (("alone", {}), ("joined", {"joined_conf": {"share": 1.0, "parts": [2, 2]}})):
        (tmp_path / name).mkdir()
        weights.append(read_weights(add(conformer, french, tmp_path / name / "larger", inputs, **joining).weights))
    alone, joined = weights
    assert any(not joined[name].equal(value) for name, value in alone.items() if of_experts(name))
    assert all(value.isfinite().all() for value in joined.values())


def test_joining_needs_the_languages(conformer, french, tmp_path):
    with pytest.raises(SystemExit, match="^add_language: .*joined_conf need the languages: .*utt2lang,lid,text"):
        add(conformer, french, tmp_path / "larger", joined_conf=JOINED)
