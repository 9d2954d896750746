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
    with pytest.raises(SystemExit, match="wav.scp: utterance utt00: .*remove the line"):
        router_pairs.main([str(folder), str(tmp_path / "pairs")])
    assert not (tmp_path / "pairs").exists()


def with_segments(folder, audio, **lines):
    """A Kaldi folder whose utterances are stretches of one recording, "start end" in seconds."""
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text(f"rec {audio}\n")
    (folder / "segments").write_text("".join(f"{key} rec {span}\n" for key, span in lines.items()))
    (folder / "utt2lang").write_text("".join(f"{key} de\n" for key in lines))
    return folder


def test_stretches_of_recordings(tmp_path):
    audio = tmp_path / "talk one.flac"
    soundfile.write(audio, 0.1 * np.random.default_rng(0).standard_normal(16000), 8000)
    spans = {"a": "0.5 1.25", "b": "1 -1", "c": "0 -1", "d": "0.75 2.4"}  # overlapping; ending after the recording
    folder = with_segments(tmp_path / "with segments", audio, **spans)
    router_pairs.main([f"{folder} {make(tmp_path / 'one', ['en'])}", str(tmp_path / "pairs")])
    stretches = {"a": "[4000:9999]", "b": "[8000:15999]", "c": "", "d": "[6000:15999]"}
    pairs = {key: f"{audio}{stretch}" for key, stretch in stretches.items()}
    assert read_table(tmp_path / "pairs/wav.scp") == {**pairs, "utt00": str(tmp_path / "one/0.wav")}
    samples = {"a": "6000", "b": "8000", "c": "16000", "d": "10000", "utt00": "800"}
    assert read_table(tmp_path / "pairs/utt2num_samples") == samples
    assert not (tmp_path / "pairs/segments").exists()

    for name in ("segments", "utt2lang"):  # what stage 3 would have left of it, without its lengths
        (folder / name).unlink()
    (folder / "wav.scp").write_text("".join(f"{key} {path}\n" for key, path in pairs.items()))
    (folder / "utt2lang").write_text("".join(f"{key} de\n" for key in pairs))
    router_pairs.main([str(folder), str(tmp_path / "pairs")])
    assert read_table(tmp_path / "pairs/utt2num_samples") == {key: samples[key] for key in pairs}


@pytest.mark.parametrize("span", ["0.5 3", "2 3", "0.5 0.50001"])
def test_stretches_that_are_not_there(tmp_path, span):
    soundfile.write(tmp_path / "talk.wav", np.zeros(16000), 8000)
    folder = with_segments(tmp_path / "kaldi", tmp_path / "talk.wav", a="0 1", b=span)
    with pytest.raises(SystemExit, match="segments: utterance b: .*talk.wav has no stretch from .* it has 2.00 s"):
        router_pairs.main([str(folder), str(tmp_path / "pairs")])
    assert not (tmp_path / "pairs").exists()
