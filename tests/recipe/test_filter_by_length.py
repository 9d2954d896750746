import filter_by_length
import numpy as np
import pytest
import soundfile
from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import UserError, read_table
from shared.write_data_dir import write_data_dir


@pytest.fixture
def source(tmp_path):
    """Clips of 0.05, 1, 2 and 30 s, and one of 1 s without words."""
    rows = {"a-short": (800, "un", "fr"), "b-ok": (16000, "deux", "fr"), "c-ok": (32000, "dwa", "pl"),
            "d-long": (480000, "trzy", "pl"), "e-silent": (16000, "", "fr")}
    write_data_dir(tmp_path / "org", [Utterance(key, f"{key}.wav", language, key[0], "studio", text, samples=samples)
                                      for key, (samples, text, language) in rows.items()])
    return tmp_path / "org"


def test_what_stays_and_what_goes(source, capsys):
    target = source.parent / "train"
    filter_by_length.main(["--min_wav_duration", "0.1", "--max_wav_duration", "20", str(source), str(target)])
    assert [(u.id, u.audio, u.text) for u in read_data_dir(target)] == [
        ("b-ok", "b-ok.wav", "deux"), ("c-ok", "c-ok.wav", "dwa")]
    assert read_table(target / "utt2num_samples") == {"b-ok": "16000", "c-ok": "32000"}
    assert read_table(target / "skipped") == {
        "a-short": "shorter than 0.1 s", "d-long": "longer than 20.0 s", "e-silent": "empty transcript"}
    output = capsys.readouterr().out
    assert "2 utterances, 3 removed (1 shorter than 0.1 s, 1 longer than 20.0 s, 1 empty transcript)" in output
    assert [line.split() for line in output.splitlines()[1:]] == [
        ["language", "utterances", "hours"], ["fr", "1", "0.00"], ["pl", "1", "0.00"], ["all", "2", "0.00"]]


def test_hours_are_counted_at_the_sampling_rate(source, capsys):
    (source / "utt2num_samples").write_text("a-short 1\nb-ok 43200000\nc-ok 1\nd-long 1\ne-silent 1\n")
    filter_by_length.main(["--fs", "8000", "--max_wav_duration", "9999", str(source), str(source.parent / "train")])
    assert capsys.readouterr().out.splitlines()[2].split() == ["fr", "1", "1.50"]


def test_nothing_left(source):
    with pytest.raises(UserError, match="no utterance is left .4 shorter than 25.0 s, 1 longer"):
        filter_by_length.main(["--min_wav_duration", "25", "--max_wav_duration", "26",
                               str(source), str(source.parent / "train")])


def test_before_stage_3(source):
    (source / "utt2num_samples").unlink()
    with pytest.raises(UserError, match="utt2num_samples does not exist: run the stage that makes it first"):
        filter_by_length.main([str(source), str(source.parent / "train")])


def test_stretches_of_recordings_that_did_not_go_through_stage_3(tmp_path):
    soundfile.write(tmp_path / "talk.wav", np.zeros(48000), 16000)
    spans = {"a": (0.5, 2.0), "b": (1.0, -1.0), "c": (0.5, 9.0)}
    write_data_dir(tmp_path / "org", [
        Utterance(key, str(tmp_path / "talk.wav"), "fr", "anna", "radio", "un", *span, samples=20000)
        for key, span in spans.items()])
    filter_by_length.main([str(tmp_path / "org"), str(tmp_path / "train")])
    assert read_table(tmp_path / "train/wav.scp") == {
        "a": f"{tmp_path}/talk.wav[8000:31999]", "b": f"{tmp_path}/talk.wav[16000:47999]"}
    assert not (tmp_path / "train/segments").exists()
    assert read_table(tmp_path / "train/skipped")["c"].startswith("no such stretch: ")
