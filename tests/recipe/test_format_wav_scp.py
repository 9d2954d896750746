import re
import subprocess
import sys
from pathlib import Path

import format_audio
import format_wav_scp
import numpy as np
import perturb_data_dir_speed
import pytest
import soundfile
from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import UserError, read_table
from shared.write_data_dir import write_data_dir

from espnet_blrmoe.recordings.recording import Recording

SECONDS = 0.5


def tone(rate, hertz=440.0):
    """Half a second of a sine, float32 (samples,)."""
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(SECONDS * rate)) / rate).astype("float32")


def pitch(samples, rate):
    """Strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


def data_dir(folder, clips):
    """A data directory over audio files {id: path}."""
    write_data_dir(folder, [Utterance(key, str(path), "fr", "anna", "studio", f"texte {key}")
                            for key, path in clips.items()])
    return folder


def run(*arguments):
    format_wav_scp.main([str(argument) for argument in arguments])


@pytest.fixture
def any_share_may_be_unusable(monkeypatch):
    monkeypatch.setattr(format_wav_scp, "MAX_SKIPPED", 1.0)


def test_a_language_most_of_whose_audio_is_unusable_ends_the_stage(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(16000), 16000)
    (tmp_path / "bad.wav").write_text("version https://git-lfs.github.com/spec/v1")
    source = data_dir(tmp_path / "train", {"1": tmp_path / "good.wav", **{n: tmp_path / "bad.wav" for n in "23"}})
    with pytest.raises(UserError, match="2 of 3 clips in 'fr' are unusable, see .*skipped: unpack the corpus again"):
        run(source, tmp_path / "org" / "train")
    assert not (tmp_path / "org" / "train").exists()
    assert set(read_table(tmp_path / "org" / "logs" / "train" / "skipped")) == {"2", "3"}


@pytest.mark.usefixtures("any_share_may_be_unusable")
def test_bad_clips_are_skipped_and_listed(tmp_path, capsys):
    silence, broken = np.zeros(8000, "float32"), tone(16000)
    broken[5] = np.nan
    soundfile.write(tmp_path / "good.mp3", tone(48000), 48000)
    soundfile.write(tmp_path / "silent.wav", silence, 16000)
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", silence[:0], 16000)
    (tmp_path / "noise.mp3").write_bytes(b"this is no audio" * 50)
    (tmp_path / "nothing.mp3").touch()
    soundfile.write(tmp_path / "half.wav", tone(16000), 16000)
    (tmp_path / "half.mp3").write_bytes((tmp_path / "good.mp3").read_bytes())
    for half in (tmp_path / "half.mp3", tmp_path / "half.wav"):
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    names = ("good.mp3", "silent.wav", "nan.wav", "empty.wav", "noise.mp3", "nothing.mp3", "half.mp3", "half.wav",
             "missing.mp3")
    source = data_dir(tmp_path / "train", {name: tmp_path / name for name in names})
    target = tmp_path / "org" / "train"
    run(source, target)

    (left,) = read_data_dir(target)
    assert (left.id, left.text, left.language, left.domain) == ("good.mp3", "texte good.mp3", "fr", "studio")
    assert read_table(target / "spk2utt") == {"anna": "good.mp3"}
    skipped = {key: value.partition(f": {tmp_path / key} ") for key, value in read_table(target / "skipped").items()}
    assert {key: reason for key, (reason, _, _) in skipped.items()} == {
        "silent.wav": "silent",
        "nan.wav": "not numbers",
        "empty.wav": "empty",
        "noise.mp3": "unreadable",
        "nothing.mp3": "empty",
        "half.mp3": "cut off",
        "half.wav": "cut off",
        "missing.mp3": "missing",
    }
    assert skipped["silent.wav"][2] == "is silent: below -70 dB of full scale"
    assert skipped["half.wav"][2].startswith("is cut off: it has 7,978 of the 16,000 bytes of audio that it announces")
    output = capsys.readouterr().out
    assert re.search(rf"1 clips, 0.00 hours, in .*; 8 unusable, listed in {target / 'skipped'}", output)
    assert len(list(target.glob("data/*/*/*"))) == 1, "nothing is left of unusable clips"


def test_what_a_header_says_of_the_length_is_not_believed(tmp_path):
    """The second half of what is read here is silently lost by soundfile, or a part of it."""
    half = tone(16000)
    for name in ("chained.ogg", "glued.mp3", "glued.flac"):
        soundfile.write(tmp_path / name, half, 16000)
        (tmp_path / name).write_bytes(2 * (tmp_path / name).read_bytes())
    soundfile.write(tmp_path / "piped.wav", np.tile(half, 2), 16000)
    wav = (tmp_path / "piped.wav").read_bytes()
    (tmp_path / "piped.wav").write_bytes(wav[:40] + (2_000_000_000).to_bytes(4, "little") + wav[44:])
    names = ("chained.ogg", "glued.mp3", "glued.flac", "piped.wav")
    run(data_dir(tmp_path / "train", {name: tmp_path / name for name in names}), tmp_path / "out")
    assert set(read_table(tmp_path / "out" / "utt2num_samples").values()) == {"16000"}
    for path in read_table(tmp_path / "out" / "wav.scp").values():
        samples, rate = soundfile.read(path)  # with a header that tells the truth
        assert (len(samples), rate) == (16000, 16000) and pitch(samples, rate) == pytest.approx(440, abs=4)


def test_channels_that_cancel_each_other(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(16000), -tone(16000)], axis=1), 16000)
    run("--nj", 1, data_dir(tmp_path / "train", {"a": tmp_path / "a.wav"}), tmp_path / "org" / "train")
    samples, _ = soundfile.read(read_table(tmp_path / "org" / "train" / "wav.scp")["a"])
    np.testing.assert_allclose(samples, tone(16000), atol=1e-3)
    log = (tmp_path / "org" / "logs" / "train" / "format_audio.1.log").read_text()
    assert f"{tmp_path / 'a.wav'}: of its 2 channels only 1 is used" in log


def test_stretches_of_one_ogg_file_are_what_is_there(tmp_path):
    """libsndfile misplaces all but the first that it is asked for."""
    talk = 0.1 * np.random.default_rng(0).standard_normal(16000 * 20)
    soundfile.write(tmp_path / "talk.ogg", talk, 16000)
    decoded, _ = soundfile.read(tmp_path / "talk.ogg")
    spans = {f"a{n}": (start, start + 1.5) for n, start in enumerate((0.5, 2.0, 3.0, 9.0, 18.5))}
    run(segments(tmp_path / "train", tmp_path / "talk.ogg", spans), tmp_path / "out")
    for key, path in read_table(tmp_path / "out" / "wav.scp").items():
        start, end = (round(16000 * second) for second in spans[key])
        np.testing.assert_allclose(soundfile.read(path)[0], decoded[start:end], atol=1e-4)


@pytest.mark.parametrize("audio_format, subtype", [("wav", "PCM_16"), ("flac", "PCM_16")])
def test_written_audio(tmp_path, monkeypatch, audio_format, subtype):
    monkeypatch.chdir(tmp_path)
    clips = {f"anna-{i}": tmp_path / f"{i}.wav" for i in range(3)}
    for i, path in enumerate(clips.values()):
        soundfile.write(path, tone(22050, 300 + 100 * i), 22050)
    data_dir(tmp_path / "train", clips)
    for _ in range(2):  # a stage can be run again
        run("--nj", 2, "--fs", 8000, "--audio_format", audio_format, "train", "dump/train")
    paths = read_table("dump/train/wav.scp")
    assert [Path(path).name for path in paths.values()] == [f"{key}.{audio_format}" for key in clips]
    assert all(path.startswith("dump/train/data/format.") for path in paths.values())
    for i, (key, path) in enumerate(paths.items()):
        samples, rate = soundfile.read(path)
        assert rate == 8000 and soundfile.info(path).subtype == subtype
        assert pitch(samples, rate) == pytest.approx(300 + 100 * i, abs=4)
        assert read_table("dump/train/utt2num_samples")[key] == str(len(samples))
    assert not [*Path("dump").glob("*.unfinished"), *Path("dump/train").glob("jobs.*")]


def test_loud_audio_is_clipped_not_wrapped(tmp_path):
    stereo = np.stack([10 * tone(16000)] * 2, axis=1)
    soundfile.write(tmp_path / "loud.wav", stereo, 16000, subtype="FLOAT")
    run(data_dir(tmp_path / "train", {"loud": tmp_path / "loud.wav"}), tmp_path / "out")
    samples, _ = soundfile.read(read_table(tmp_path / "out" / "wav.scp")["loud"])
    assert np.all(np.sign(samples) * np.sign(tone(16000)) >= 0)


def test_speed_perturbation_of_a_data_directory(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    source = data_dir(tmp_path / "train", {"anna-a": tmp_path / "a.wav"})
    perturb_data_dir_speed.main(["--factors", "0.8 1.0", str(source), str(tmp_path / "train_sp")])
    run(tmp_path / "train_sp", tmp_path / "out")
    slow, own = sorted(read_data_dir(tmp_path / "out"), key=lambda u: u.speaker, reverse=True)
    assert (own.id, own.speaker, slow.id, slow.speaker) == ("anna-a", "anna", "sp0.8-anna-a", "sp0.8-anna")
    assert (slow.text, slow.language) == (own.text, own.language)
    lengths = read_table(tmp_path / "out" / "utt2num_samples")
    assert int(lengths[slow.id]) == int(lengths[own.id]) / 0.8
    assert own.audio == str(tmp_path / "a.wav"), "what is played as it is is not copied"
    assert not (tmp_path / "out" / "utt2speed").exists(), "formatting again would change the speed again"


@pytest.mark.parametrize("factors", ["0 1.0", "", "fast", "nan 1.0", "1.0 inf"])
def test_bad_speeds(tmp_path, capsys, factors):
    with pytest.raises(SystemExit):
        perturb_data_dir_speed.main(["--factors", factors, str(tmp_path / "train"), str(tmp_path / "train_sp")])
    assert "argument --factors" in capsys.readouterr().err


def test_no_usable_clip_leaves_the_earlier_result(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(44100), 44100)
    source = data_dir(tmp_path / "train", {"a": tmp_path / "a.wav"})
    run(source, tmp_path / "out")
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(UserError, match="out: no utterance is left .1 empty; the first: a empty: .*a.wav"):
        run(source, tmp_path / "out")
    assert Path(read_table(tmp_path / "out" / "wav.scp")["a"]).is_file()
    assert not (tmp_path / "out.unfinished").exists()


def test_stage_before_the_one_it_needs(tmp_path):
    with pytest.raises(UserError, match="run the stage that makes it first"):
        run(tmp_path / "train", tmp_path / "out")


def test_utterance_without_a_language(tmp_path):
    source = data_dir(tmp_path / "train", {"a": tmp_path / "a.wav", "b": tmp_path / "b.wav"})
    (source / "utt2lang").write_text("a fr\n")
    with pytest.raises(UserError, match="utt2lang has no line for utterance b"):
        run(source, tmp_path / "out")


def test_never_replaces_its_own_input_or_a_foreign_folder(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(44100), 44100)
    source = data_dir(tmp_path / "train", {"a": tmp_path / "a.wav"})
    run(source, tmp_path / "out")
    with pytest.raises(UserError, match="holds the audio that is read"):
        run(tmp_path / "out", tmp_path / "out")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis").touch()
    with pytest.raises(UserError, match="is not a data directory"):
        run(source, tmp_path / "documents")
    assert Path(read_table(tmp_path / "out" / "wav.scp")["a"]).is_file()
    assert (tmp_path / "documents" / "thesis").is_file()


def test_what_espnet_can_read_stays_where_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    soundfile.write(tmp_path / "b.flac", tone(16000), 16000)
    soundfile.write(tmp_path / "c.wav", np.stack([tone(16000)] * 2, axis=1), 16000)
    soundfile.write(tmp_path / "d.wav", tone(8000), 8000)
    names = ("a.wav", "b.flac", "c.wav", "d.wav")
    run(data_dir(tmp_path / "train", {name: tmp_path / name for name in names}), tmp_path / "out")
    paths = read_table(tmp_path / "out" / "wav.scp")
    assert [path for path in paths.values() if "/out/" not in path] == [str(tmp_path / name) for name in names[:2]]
    assert set(read_table(tmp_path / "out" / "utt2num_samples").values()) == {"8000"}


@pytest.fixture
def talk(tmp_path):
    """A recording of 4 s with another tone every second."""
    samples = np.concatenate([tone(16000, hertz) for hertz in (300, 300, 500, 500, 700, 700, 900, 900)])
    soundfile.write(tmp_path / "talk.wav", samples, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "talk.mp3", samples, 16000)
    return samples


def segments(folder, audio, spans):
    """A data directory over stretches of one recording {id: (start, end)}."""
    write_data_dir(folder, [Utterance(key, str(audio), "fr", "anna", "radio", "texte", *span)
                            for key, span in spans.items()])
    return folder


def test_stretches_of_a_recording_are_not_copied(tmp_path, talk):
    source = segments(tmp_path / "train", tmp_path / "talk.wav", {"b": (0.25, 0.75), "a": (2.0, 3.0), "c": (3.5, 4.4)})
    assert len((source / "wav.scp").read_text().splitlines()) == 1, "one recording"
    assert (source / "segments").read_text().splitlines()[0].split()[2:] == ["2.000000", "3.000000"]
    run("--nj", 1, source, tmp_path / "out")
    path = tmp_path / "talk.wav"
    assert read_table(tmp_path / "out" / "wav.scp") == {
        "a": f"{path}[32000:47999]", "b": f"{path}[4000:11999]", "c": f"{path}[56000:63999]"}
    assert read_table(tmp_path / "out" / "utt2num_samples") == {"a": "16000", "b": "8000", "c": "8000"}
    assert not (tmp_path / "out" / "segments").exists()


def test_stretches_that_must_be_converted_are_cut_out(tmp_path, talk):
    source = segments(tmp_path / "train", tmp_path / "talk.mp3", {"late": (3.1, 3.9), "early": (0.1, 0.9)})
    run("--fs", 8000, source, tmp_path / "out")
    for key, hertz in (("early", 300), ("late", 900)):
        samples, rate = soundfile.read(read_table(tmp_path / "out" / "wav.scp")[key])
        assert (len(samples), rate) == (6400, 8000) and pitch(samples, rate) == pytest.approx(hertz, abs=4)


def test_what_it_wrote_can_be_formatted_again(tmp_path, talk):
    run(segments(tmp_path / "train", tmp_path / "talk.wav", {"a": (2.0, 3.0), "b": (0.25, -1)}), tmp_path / "out")
    assert read_table(tmp_path / "out/wav.scp")["b"] == f"{tmp_path / 'talk.wav'}[4000:63999]"
    run("--fs", 8000, tmp_path / "out", tmp_path / "again")
    for key, hertz, samples in (("a", 700, 8000), ("b", 300, 30000)):
        written, rate = soundfile.read(read_table(tmp_path / "again/wav.scp")[key])
        assert (len(written), rate) == (samples, 8000) and pitch(written[:2000], rate) == pytest.approx(hertz, abs=4)


def test_names_that_shells_and_run_pl_take_for_something_else(tmp_path, monkeypatch):
    folder = tmp_path / "JOB 1 it's \"[1:2]\" $HOME & (ü)*"
    (clone := tmp_path / "it's a clone").symlink_to(format_wav_scp.LOCAL)
    monkeypatch.setattr(format_wav_scp, "LOCAL", clone)
    names = ["JOB.wav", "talk[1:2].wav", "a  b's.wav", "$x & \"y\".wav", "*.wav", "ü日本.wav", "a;b|c.wav"]
    (folder / "clips").mkdir(parents=True)
    for name in names:
        soundfile.write(folder / "clips" / name, tone(8000), 8000)
    clips = {f"u{n}": folder / "clips" / name for n, name in enumerate(names)}
    for fs, places in ((8000, "clips"), (16000, "out JOB")):
        run("--fs", fs, data_dir(folder / "train", clips), folder / "out JOB")
        paths = read_table(folder / "out JOB" / "wav.scp")
        assert len(paths) == len(names)
        for path in map(Path, paths.values()):
            assert path.is_relative_to(folder / places) and soundfile.info(path).samplerate == fs


@pytest.mark.usefixtures("any_share_may_be_unusable")
def test_stretches_that_are_not_there(tmp_path, talk):
    talk[16000:24000] = 0
    soundfile.write(tmp_path / "talk.wav", talk, 16000)
    spans = {"good": (0, 1), "silent": (1.0, 1.4), "late": (5.0, 6.0), "over": (3.0, 4.6)}
    run(segments(tmp_path / "train", tmp_path / "talk.wav", spans), tmp_path / "out")
    assert list(read_table(tmp_path / "out" / "wav.scp")) == ["good"]
    reasons = {key: reason.split(":")[0] for key, reason in read_table(tmp_path / "out" / "skipped").items()}
    assert reasons == {"silent": "silent", "late": "no such stretch", "over": "no such stretch"}


def test_every_recording_is_opened_once(tmp_path, talk, monkeypatch):
    opened = []
    monkeypatch.setattr(format_audio, "Recording", lambda path: opened.append(path) or Recording(path))
    speeds = (0.9, 1.0, 1.1)
    audio = str(tmp_path / "talk.wav")
    utterances = [Utterance(f"{n}-{speed}", audio, "fr", "anna", "radio", None, n, n + 1, speed=speed)
                  for n in range(4) for speed in speeds]
    writer = format_audio.ClipWriter(tmp_path / "clips", tmp_path / "clips", "wav", 16000)
    done = list(format_audio.format_audio(utterances, writer))
    assert opened == [audio]
    assert [round(16000 / u.samples, 1) for u in done] == list(speeds) * 4


def test_a_full_disk_leaves_the_earlier_result(tmp_path, capfd):
    soundfile.write(tmp_path / "a.wav", tone(44100), 44100)
    source = data_dir(tmp_path / "train", {"a": tmp_path / "a.wav"})
    run(source, tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # no file can be larger, as if the disk were full
sys.path.insert(0, {str(Path(format_wav_scp.__file__).parent)!r})
import format_wav_scp
format_wav_scp.main([{str(source)!r}, {str(tmp_path / "out")!r}])
"""
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "cannot be written: File too large" in failed.stderr and "Traceback" not in failed.stderr
    assert sorted(tmp_path.rglob("*")) == before
