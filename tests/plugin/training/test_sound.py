"""Stretches of recordings as ESPnet's data type `sound`."""

import numpy as np
import pytest
import soundfile
from espnet2.train.dataset import ESPnetDataset
from espnet2.train.iterable_dataset import IterableESPnetDataset

import espnet_blrmoe  # noqa: F401 (registers)
from espnet_blrmoe import audio


@pytest.fixture
def recording(tmp_path):
    """16-bit samples 0, 1, 2, ... as a wav file."""
    path = tmp_path / "rec.wav"
    soundfile.write(path, np.arange(1000, dtype=np.int16), 16000)
    return path


@pytest.mark.parametrize("data_set", [lambda tables: dict(iter_uniform(tables)), lambda tables: by_key(tables)],
                         ids=["iterable", "by utterance"])
def test_both_data_sets_of_espnet_read_stretches(tmp_path, recording, data_set):
    (tmp_path / "wav.scp").write_text(f"a {recording}[10:12]\nb {recording}[0:999]\nc {recording}\n")
    speech = data_set([(str(tmp_path / "wav.scp"), "speech", "sound")])
    assert (2**15 * speech["a"]).tolist() == [10, 11, 12]
    np.testing.assert_array_equal(speech["b"], speech["c"])


def iter_uniform(tables):
    """Utterances in the order of the tables, as statistics and decoding read them."""
    return ((key, data["speech"]) for key, data in IterableESPnetDataset(tables))


def by_key(tables):
    """Utterances in any order, as training reads them."""
    data_set = ESPnetDataset(tables)
    return {key: data_set[key][1]["speech"] for key in data_set}


def test_recognition_reads_stretches(recording):
    wave = audio.load(f"{recording}[10:12]", 16000)
    assert (2**15 * wave).tolist() == [10, 11, 12]


@pytest.mark.parametrize("stretch, message", [("[990:1010]", "cut off: it has 10 of the 21 samples"),
                                              ("[1000:1010]", "rec.wav has no sample 1000: it has 1000"),
                                              ("[2000:2010]", "rec.wav has no sample 2000: it has 1000"),
                                              ("[20:10]", "rec.wav.20:10. is a stretch that ends before it begins")])
def test_a_stretch_that_the_recording_has_not(recording, stretch, message):
    with pytest.raises(ValueError, match=message):
        audio.load(f"{recording}{stretch}", 16000)
