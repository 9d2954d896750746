"""What the benchmark of long audio counts, and that it runs."""

import long_audio
import numpy as np
import pytest
import soundfile
import torch
from long_audio import Setting
from tiny import RATE, speech_of, write_model


def test_a_recording_and_what_is_said_in_it(monkeypatch):
    monkeypatch.setattr(long_audio, "extent", lambda wave, fs: (0.1, len(wave) / fs - 0.1))
    waves = [torch.ones(RATE), torch.ones(2 * RATE)]
    recording, said = long_audio.join(waves, ["de", "en"], RATE, 0.0, (0.3, 1.0), long_audio.random.Random(0))
    assert recording.sum() == 3 * RATE
    assert [one.language for one in said] == ["de", "en"]
    for one in said:
        assert recording[round(one.start * RATE) : round(one.end * RATE)].all()
    assert (said[0].start, said[0].end) == pytest.approx((0.1, 0.9))
    assert 1.4 <= said[1].start <= 2.1


def test_utterances_alone_with_pauses_around_them(data):
    recordings = long_audio.Recordings(data, RATE, loudness=0.0, around=2.0)
    waves, saids = recordings.alone("de")
    for wave, [said] in zip(waves, saids, strict=True):
        assert len(wave) == 5.5 * RATE
        assert not wave[: 2 * RATE].any() and not wave[-2 * RATE :].any()
        assert (said.start, said.end, said.language) == (pytest.approx(2.0, abs=0.1), pytest.approx(3.5, abs=0.1), "de")


def test_recordings_of_some_utterances(data):
    for sentences, seconds in ((None, [6.0]), (3, [4.5, 1.5]), (1, [1.5] * 4)):
        recordings = long_audio.Recordings(data, RATE, loudness=0.0, pauses=(0.2, 0.2), sentences=sentences)
        waves, saids = recordings.joined("mixed")
        assert [len(wave) / RATE for wave in waves] == pytest.approx([s + 0.2 * round(s / 1.5) for s in seconds])
        assert [len(said) for said in saids] == [round(s / 1.5) for s in seconds]
        assert [one.language for said in saids for one in said] == [
            recordings.languages[u] for u in recordings.utterances["mixed"]
        ]


@pytest.fixture
def data(tmp_path):
    tables = {"wav.scp": "", "text": "", "utt2lang": ""}
    for n, language in enumerate(("de", "en", "de", "en")):
        soundfile.write(tmp_path / f"{n}.wav", speech_of(1.5, seed=n), RATE, subtype="FLOAT")
        for table, value in (("wav.scp", tmp_path / f"{n}.wav"), ("text", "a b c"), ("utt2lang", language)):
            tables[table] += f"utt{n} {value}\n"
    for table, lines in tables.items():
        (tmp_path / table).write_text(lines, encoding="utf-8")
    return tmp_path


@pytest.fixture
def model(tmp_path):
    files = write_model(tmp_path / "model")
    return str(files.config.parent)


def test_all_settings_are_rows(data, model, capsys):
    options = ["--chunk_seconds", "2", "--language_smoothing", "frame", "viterbi", "--language_switch_cost", "1", "5"]
    long_audio.main(["--model", model, "--data_dir", str(data), *options])
    head, *rows = capsys.readouterr().out.splitlines()
    assert all(f"{name}: WER" in head for name in ("de", "en", "mixed"))
    smoothing = (["frame"], ["viterbi", "1"], ["viterbi", "5"])
    expected = [["none", "alone", "viterbi", "5"], ["silero", "alone", "viterbi", "5"]]
    expected += [[vad, "2", *way] for vad in ("none", "silero") for way in smoothing]
    assert [row.split()[: len(start)] for row, start in zip(rows, expected, strict=True)] == expected


def test_a_number_of_sentences(data, model):
    with pytest.raises(SystemExit, match="--sentences must be at least 1, not 0"):
        long_audio.main(["--model", model, "--data_dir", str(data), "--sentences", "0"])


def test_unknown_recordings_are_named(data, model):
    with pytest.raises(SystemExit, match="long_audio: .* has no recordings between, fr; it has de, en, mixed"):
        long_audio.main(["--model", model, "--data_dir", str(data), "--recordings", "de", "between", "fr"])


def test_recordings_in_which_the_language_changes_stay_as_they_are(data, model, capsys):
    timelines = ['[[0.1, 0.7, "de", "a b"], [0.9, 1.4, "en", "c"]]', '[[0.1, 0.7, "de", "a b"], [0.7, 1.4, "en", "c"]]']
    lines = (f"utt{n} {timelines[n % 2]}\n" for n in range(4))
    (data / "timeline").write_text("".join(lines), encoding="utf-8")
    recordings = long_audio.ChangingRecordings(data, RATE)
    assert recordings.utterances == {"between": ["utt0", "utt2"], "within": ["utt1", "utt3"]}
    noisy = long_audio.ChangingRecordings(data, RATE, "noise")
    assert noisy.heard(0, "utt0").equal(noisy.heard(0, "utt0"))
    assert not noisy.heard(0, "utt0").equal(recordings.heard(0, "utt0"))
    long_audio.main(["--model", model, "--data_dir", str(data), "--chunk_seconds", "2", "8"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert "between: WER" in head and "within: WER" in head and "mixed" not in head
    assert [row.split()[:2] for row in rows] == [["none", "2"], ["none", "8"], ["silero", "2"], ["silero", "8"]]


def test_a_long_file_is_made_of_the_mixed_recording(data, monkeypatch, capsys):
    heard = []

    def note(function, model, file, setting, threads):
        heard.append((soundfile.info(file).duration, setting))
        return 1.0, 2.0, 2**20

    monkeypatch.setattr(long_audio, "in_a_process", note)
    recordings = long_audio.Recordings(data, RATE, 0.01)
    args = long_audio.parse_args(["--model", "m", "--data_dir", str(data), "--hours", "0.01", "--chunk_seconds", "8"])
    long_audio.measure_hours(args, recordings)
    assert heard == [(36.0, Setting("none", 8.0)), (36.0, Setting("silero", 8.0))]
    assert "0.05556" in capsys.readouterr().out
    assert np.isfinite(recordings.joined("mixed")[0][0].numpy()).all()
