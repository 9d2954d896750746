"""Stretches of recordings as ESPnet's data type `sound`."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from espnet2.train import dataset, iterable_dataset
from espnet2.train.dataset import ESPnetDataset
from espnet2.train.iterable_dataset import IterableESPnetDataset
from sound_files import RATE, encoded, noise

from espnet_blrmoe import audio
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.sound import read_stretches

# Reads a table in a process that it spawns, in which a loader's workers read it.
SCRIPT = """
import sys

import torch
from espnet2.train.dataset import ESPnetDataset


def read(rank, table):
    data_set = ESPnetDataset([(table, "speech", "sound")])
    for _, data in torch.utils.data.DataLoader(data_set, batch_size=None, sampler=["a"], num_workers=1):
        print((2**15 * data["speech"]).tolist(), flush=True)


if __name__ == "__main__":
    read(0, sys.argv[1])
    torch.multiprocessing.spawn(read, args=(sys.argv[1],))
"""


@pytest.fixture(autouse=True)
def espnets_readers(monkeypatch):
    """ESPnet's readers, to which it goes back after the test."""
    monkeypatch.setitem(dataset.DATA_TYPES["sound"], "func", dataset.sound_loader)
    monkeypatch.setitem(iterable_dataset.DATA_TYPES, "sound", lambda path: soundfile.read(path)[0])


@pytest.fixture
def recording(tmp_path):
    """16-bit samples 0, 1, 2, ... as a wav file."""
    path = tmp_path / "rec.wav"
    soundfile.write(path, np.arange(1000, dtype=np.int16), 16000)
    return path


@pytest.mark.parametrize("data_set", [lambda tables: dict(iter_uniform(tables)), lambda tables: by_key(tables)],
                         ids=["iterable", "by utterance"])
def test_both_data_sets_of_espnet_read_stretches(tmp_path, recording, data_set):
    read_stretches()
    read_stretches()  # again is harmless
    (tmp_path / "wav.scp").write_text(f"a {recording}[10:12]\nb {recording}[0:999]\nc {recording}\n")
    speech = data_set([(str(tmp_path / "wav.scp"), "speech", "sound")])
    assert (2**15 * speech["a"]).tolist() == [10, 11, 12]
    np.testing.assert_array_equal(speech["b"], speech["c"])


@pytest.mark.parametrize("data_set", [lambda tables: dict(iter_uniform(tables)), lambda tables: by_key(tables)],
                         ids=["iterable", "by utterance"])
def test_both_data_sets_of_espnet_read_as_recognition_does(tmp_path, data_set):
    speech = noise()
    (tmp_path / "chained.ogg").write_bytes(2 * encoded("ogg", speech))
    (tmp_path / "inverted.wav").write_bytes(encoded("float wav", np.stack([speech, -speech], axis=1)))
    files = {name: str(tmp_path / name) for name in ("chained.ogg", "inverted.wav")}
    (tmp_path / "wav.scp").write_text("".join(f"{name} {file}\n" for name, file in files.items()))
    read_stretches()
    read = data_set([(str(tmp_path / "wav.scp"), "speech", "sound")])
    for name, file in files.items():
        assert len(read[name]) == len(speech) * (2 if name == "chained.ogg" else 1)
        np.testing.assert_array_equal(read[name], audio.load(file, RATE))


def iter_uniform(tables):
    """Utterances in the order of the tables, as statistics and decoding read them."""
    return ((key, data["speech"]) for key, data in IterableESPnetDataset(tables))


def by_key(tables):
    """Utterances in any order, as training reads them."""
    data_set = ESPnetDataset(tables)
    return {key: data_set[key][1]["speech"] for key in data_set}


def test_every_process_of_a_launched_script_reads_stretches(tmp_path, recording):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wav.scp").write_text(f"a {recording}[10:12]\n")
    command = [sys.executable, "-m", "espnet_blrmoe.run", "script.py", "wav.scp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[10.0, 11.0, 12.0]\n" * 2, done.stderr


def test_a_training_reads_stretches_in_each_of_its_processes(monkeypatch):
    monkeypatch.setattr(BLRMoETask.__mro__[1], "main_worker", lambda args: None)
    BLRMoETask.main_worker(None)  # which ESPnet calls in every process
    assert dataset.DATA_TYPES["sound"]["func"].__module__ == "espnet_blrmoe.training.sound"


def test_the_import_alone_does_not_change_espnets_readers():
    script = "import espnet_blrmoe, espnet2.tasks.asr; from espnet2.train.dataset import DATA_TYPES"
    command = [sys.executable, "-c", f"{script}; print(DATA_TYPES['sound']['func'].__module__)"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "espnet2.train.dataset\n"


def test_a_recording_that_is_missing_stays_missing():
    read_stretches()
    assert iterable_dataset.DATA_TYPES["sound"](None) is None  # ESPnet 202611's


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
