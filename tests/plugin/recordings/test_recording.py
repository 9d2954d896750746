"""Recordings in any format: read whole or in stretches, resampled, and what is cut off."""

import numpy as np
import pytest
import soundfile

from espnet_blrmoe.recordings import UnusableAudio, open_audio, read_samples, resample

SECONDS = 0.5


def tone(rate, hertz=440.0):
    """float32 (samples,)."""
    seconds = np.arange(int(SECONDS * rate), dtype=np.float32) / rate
    return np.float32(0.3) * np.sin(np.float32(2 * np.pi * hertz) * seconds)


def pitch(samples, rate):
    """Hz, by the zero crossings in the middle half."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return np.count_nonzero(np.diff(np.signbit(middle))) / 2 * rate / len(middle)


def read(path, rate=None, speed=1.0):
    """A clip at `rate` or its own."""
    with open_audio(path) as recording:
        samples = read_samples(recording)
        return resample(samples, recording.samplerate * speed, rate or recording.samplerate)


@pytest.mark.parametrize("ending, rate", [("wav", 8000), ("flac", 16000), ("ogg", 44100), ("opus", 48000),
                                          ("mp3", 48000)])
def test_reads_every_format(tmp_path, ending, rate):
    options = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    soundfile.write(tmp_path / f"clip.{ending}", tone(rate), rate, **options)
    samples = read(tmp_path / f"clip.{ending}", 16000)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) == pytest.approx(SECONDS * 16000, rel=0.02)
    assert pitch(samples, 16000) == pytest.approx(440, abs=4)


def test_stereo_is_averaged(tmp_path):
    left = tone(16000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, 0 * left], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "stereo.wav"), left / 2, atol=1e-6)


def test_speed_changes_length_and_pitch(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(16000), 16000)
    samples = read(tmp_path / "clip.wav", 16000, speed=1.25)
    assert len(samples) == SECONDS * 16000 / 1.25
    assert pitch(samples, 16000) == pytest.approx(550, abs=4)


@pytest.mark.parametrize("ending, subtype", [("ogg", "VORBIS"), ("opus", "OPUS")])
def test_ogg_files_that_are_cut_off(tmp_path, ending, subtype):
    noise = 0.1 * np.random.default_rng(0).standard_normal(15 * 16000)
    clip = tmp_path / f"clip.{ending}"
    soundfile.write(clip, noise, 16000, format="OGG", subtype=subtype)
    assert len(read(clip)) == pytest.approx(len(noise), abs=200)
    content = clip.read_bytes()
    for share in (0.5, 0.9, 0.999):
        clip.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UnusableAudio, match="cut off: its last page is not whole"):
            read(clip)


def test_wav_from_a_pipe_is_whole(tmp_path):
    soundfile.write(tmp_path / "piped.wav", tone(16000), 16000)
    wav = bytearray((tmp_path / "piped.wav").read_bytes())
    wav[4:8] = wav[40:44] = b"\xff" * 4  # as programs say that cannot go back to the header
    (tmp_path / "piped.wav").write_bytes(wav)
    assert len(read(tmp_path / "piped.wav")) == SECONDS * 16000


def test_a_stretch_is_what_the_whole_has_there(tmp_path):
    soundfile.write(tmp_path / "clip.flac", tone(16000), 16000)
    with open_audio(tmp_path / "clip.flac") as recording:
        whole = read_samples(recording)
        assert np.array_equal(read_samples(recording, 1000, 3000), whole[1000:3000])
        assert np.array_equal(read_samples(recording, 7000), whole[7000:])
        with pytest.raises(UnusableAudio, match="clip.flac has no sample 8000: it has 8000, counted from 0"):
            read_samples(recording, 8000, 8100)


def test_missing_file_reason(tmp_path):
    with pytest.raises(UnusableAudio, match="nowhere.wav does not exist"):
        open_audio(tmp_path / "nowhere.wav")
