"""Audio of data directories: read any format, resample, write all clips of a set in parallel.

Unusable clips are skipped, counted and listed in the table `skipped` of the new data directory, with the reason.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from data_dir import Skipped, UserError, Utterance, replacing, write_tables
from tqdm import tqdm

SILENCE = -70  # dB below full scale; the step of 16-bit audio is at -90
CLIPS_PER_FOLDER = 1000
Load = Callable[[], tuple[np.ndarray, int]]  # gives float32 samples of shape (samples,) and their rate in Hz


class UnusableAudio(Exception):
    """A clip that cannot be used; says why."""


def read_audio(path: str | Path, rate: int | None = None, speed: float = 1.0) -> tuple[np.ndarray, int]:
    """Read a clip (wav, flac, ogg, opus, mp3), mixed down to one channel.

    Args:
        path: audio file.
        rate: resample to this rate in Hz; None keeps the file's own.
        speed: play so many times faster, with the pitch, like `sox speed`.

    Returns:
        float32 (samples,) and their rate in Hz.

    Raises:
        UnusableAudio: the file is missing, unreadable or cut off, or has no samples, only silence, or NaN. An mp3 file
            that says nothing of its length is not known to be cut off.
    """
    if not Path(path).is_file():
        raise UnusableAudio("no such file")
    try:
        with soundfile.SoundFile(path) as clip:
            announced, own_rate = clip.frames, clip.samplerate
            samples = clip.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UnusableAudio("unreadable: not audio, or damaged") from error
    if len(samples) < 0.9 * announced:  # mp3 headers are off by 1 % at most (1600 clips of Common Voice)
        raise UnusableAudio(f"cut off: {len(samples)} of {announced} samples")
    rate = rate or own_rate
    samples = soxr.resample(samples.mean(axis=1), own_rate * speed, rate)
    if not len(samples):
        raise UnusableAudio("empty: no samples")
    if not np.isfinite(samples).all():
        raise UnusableAudio("has samples that are infinite or not a number")
    if np.mean(samples**2) < 10 ** (SILENCE / 10):
        raise UnusableAudio(f"silent: below {SILENCE} dB of full scale")
    return samples, rate


def write_audio_data_dir(folder: str | Path, clips: list[tuple[Utterance, Load]], nj: int, audio_format: str) -> None:
    """Write a data directory with its audio, 16 bits a sample, and the tables `utt2num_samples` and `skipped`.

    Args:
        folder: replaced if it exists; the audio goes to its data/format.N/.
        clips: an utterance with the function that loads its audio (picklable: it is called in another process).
        nj: processes.
        audio_format: "wav" or "flac".

    Raises:
        UserError: no clip is usable.
    """
    folder = Path(folder)
    utterances = [utterance for utterance, _ in clips]
    places = [f"data/format.{1 + i // CLIPS_PER_FOLDER}/{u.id}.{audio_format}" for i, u in enumerate(utterances)]
    with replacing(folder) as unfinished:
        for place in {Path(place).parent for place in places}:
            (unfinished / place).mkdir(parents=True)
        jobs = [(load, unfinished / place) for (_, load), place in zip(clips, places)]
        with ProcessPoolExecutor(nj) as pool:
            results = list(tqdm(pool.map(_write_clip, jobs, chunksize=8), total=len(jobs), desc=str(folder),
                                unit="clip", disable=None, leave=False))
        written, skipped, seconds = [], [], 0.0
        for utterance, place, result in zip(utterances, places, results):
            if isinstance(result, str):
                skipped.append(Skipped(utterance.id, f"{result}: {utterance.audio}"))
            else:
                written.append(replace(utterance, audio=str(folder / place), samples=result[0], speed=None))
                seconds += result[0] / result[1]
        if not written:
            raise UserError(f"{folder}: none of {len(clips)} clips is usable; {skipped[0].reason}")
        write_tables(unfinished, [*skipped, *written])
    print(f"{folder}: {len(written)} clips, {seconds / 3600:.2f} hours"
          + f"; {len(skipped)} unusable, listed in {folder / 'skipped'}" * bool(skipped))


def _write_clip(job: tuple[Load, Path]) -> tuple[int, int] | str:
    """Write one clip; returns its samples and their rate in Hz, or why it is unusable."""
    load, path = job
    try:
        samples, rate = load()
    except UnusableAudio as reason:
        return str(reason)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return len(samples), rate
