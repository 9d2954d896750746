import augment_data_dir
import numpy as np
import pytest
import soundfile
from conditions import CONDITIONS
from data_dir import Utterance, read_data_dir, write_data_dir

CLIPS = 12


@pytest.fixture
def source(tmp_path):
    """Short noise bursts of 16 kHz, as audio-language pairs."""
    (tmp_path / "clips").mkdir()
    rng = np.random.default_rng(0)
    utterances = [Utterance(f"anna-{i}", str(tmp_path / "clips" / f"{i}.wav"), "fr", "anna", "studio")
                  for i in range(CLIPS)]
    for u in utterances:
        soundfile.write(u.audio, 0.1 * rng.standard_normal(8000), 16000)
    write_data_dir(tmp_path / "pairs", utterances)
    return tmp_path / "pairs"


def augment(source, name, *options):
    target = source.parent / name
    augment_data_dir.main([*options, str(source), str(target)])
    return {u.id: (u.domain, soundfile.read(u.audio)[0]) for u in read_data_dir(target)}


def same(first, second):
    return all(first[key][0] == second[key][0] and np.array_equal(first[key][1], second[key][1]) for key in first)


def test_every_clip_once_under_one_condition(source):
    clips = augment(source, "augmented")
    assert len(clips) == CLIPS and {domain for domain, _ in clips.values()} <= set(CONDITIONS)
    for u in read_data_dir(source):
        domain, audio = clips[u.id]
        assert np.array_equal(audio, soundfile.read(u.audio)[0]) == (domain == "clean")
    assert not (source.parent / "augmented" / "text").exists()


def test_depends_on_the_seed_alone(source):
    clips = augment(source, "one", "--nj", "1")
    assert same(clips, augment(source, "two", "--nj", "2"))
    assert not same(clips, augment(source, "other", "--seed", "1"))


def test_chosen_conditions(source):
    domains = {domain for domain, _ in augment(source, "chosen", "--conditions", "clean telephone").values()}
    assert domains == {"clean", "telephone"}


def test_drawing_a_condition_says_nothing_about_its_parameters(monkeypatch):
    """With one generator for both, "noise" could never draw its last kind, say."""
    monkeypatch.setattr(augment_data_dir, "read_audio", lambda path: (np.zeros(1), 16000))
    monkeypatch.setattr(augment_data_dir, "degrade", lambda audio, rate, condition, rng: rng.random())
    drawn = [augment_data_dir.draw_condition(Utterance(str(i), "", "", "", ""), list(CONDITIONS), seed=0)
             for i in range(500)]
    parameters = [augment_data_dir.degraded(u, seed=0)[0] for u in drawn if u.domain == "noise"]
    assert np.histogram(parameters, bins=4, range=(0, 1))[0].min() > len(parameters) / 10


def test_unknown_condition_lists_the_known(source, capsys):
    with pytest.raises(SystemExit):
        augment(source, "augmented", "--conditions", "clean underwater")
    assert "no condition 'underwater', only clean, noise" in capsys.readouterr().err
