"""Audio-language pairs for the router, gathered from several data directories."""

import numpy as np
import pytest
import router_pairs
import soundfile
from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import read_table
from shared.write_data_dir import write_data_dir


def make(folder, languages, first=0, samples=None):
    """A data directory with one short clip for each of the languages."""
    folder.mkdir(parents=True)
    utterances = []
    for n, language in enumerate(languages, start=first):
        audio = folder / f"{n}.wav"
        soundfile.write(audio, 0.1 * np.random.default_rng(n).standard_normal(800 + n), 16000)
        pair = Utterance(f"utt{n:02d}", str(audio), language, f"spk{n}", "studio", "secret", samples=samples)
        utterances.append(pair)
    target = folder / "data"
    write_data_dir(target, utterances)
    return target


def test_gathers_folders_and_knows_lengths_and_categories(tmp_path):
    one = make(tmp_path / "one", ["de", "en"], samples=750)
    two = make(tmp_path / "two", ["en", "fr"], first=1)  # utt01 again; and no utt2num_samples
    router_pairs.main([str(one), str(two), str(tmp_path / "pairs")])
    pairs = read_data_dir(tmp_path / "pairs")
    assert [(u.id, u.language) for u in pairs] == [("utt00", "de"), ("utt01", "en"), ("utt02", "fr")]
    assert read_table(tmp_path / "pairs" / "utt2num_samples") == {"utt00": "750", "utt01": "750", "utt02": "802"}
    assert read_table(tmp_path / "pairs" / "category2utt") == {"de": "utt00", "en": "utt01", "fr": "utt02"}


def test_few_of_every_language_and_fewer_of_the_same(tmp_path):
    folder = make(tmp_path / "one", ["de", "en"] * 10)

    def chosen(number, seed=0):
        options = ["--utterances", str(number), "--seed", str(seed), str(folder), str(tmp_path / "pairs")]
        router_pairs.main(options)
        pairs = read_data_dir(tmp_path / "pairs")
        assert sorted(u.language for u in pairs) == ["de"] * number + ["en"] * number
        return {u.id for u in pairs}

    assert chosen(2) < chosen(5) and chosen(5) != chosen(5, seed=1)


def test_too_few_pairs_or_none(tmp_path):
    folder = make(tmp_path / "one", ["de", "en", "en"])
    with pytest.raises(SystemExit, match="--utterances 2: language de has only 1 audio-language pairs"):
        router_pairs.main(["--utterances", "2", str(folder), str(tmp_path / "pairs")])
    with pytest.raises(SystemExit, match="nowhere/wav.scp does not exist"):
        router_pairs.main([str(tmp_path / "nowhere"), str(tmp_path / "pairs")])
    (tmp_path / "one" / "0.wav").write_bytes(b"RIFF")
    with pytest.raises(SystemExit, match="wav.scp: .*remove the line"):
        router_pairs.main([str(folder), str(tmp_path / "pairs")])
    assert not (tmp_path / "pairs").exists()
