"""Word error rate and language of long audio by the length of its chunks.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/long_audio.py --model exp/asr --data_dir dump/raw/valid

Joins the utterances of a data directory (wav.scp, text, utt2lang) to recordings of some minutes, one of every language
and one of all languages mixed, in an order drawn from a seed, and recognises each at every --chunk_seconds. Between
them are pauses of 0.3 to 1 s: noise 40 dB below the speech, or zeros with --silent. Choose on a validation set.
`alone`: the utterances one by one.

WER: of the joined texts. right: share of the speech whose expert is that of its language. stretches: of one language
each, in the timeline.
"""

import argparse
import random
from pathlib import Path

import jiwer
import torch
from espnet2.fileio.read_text import read_2columns_text
from humanfriendly.tables import format_pretty_table
from tqdm import tqdm

from espnet_blrmoe import Speech2Text, audio
from espnet_blrmoe.inference.speech2text import Transcript

PAUSE_SECONDS = (0.3, 1.0)
PAUSE_DB = -40.0
ALONE = "alone"
MIXED = "mixed"


def join(waves: list[torch.Tensor], fs: int, loudness: float, draw: random.Random) -> tuple[torch.Tensor, list[float]]:
    """One recording (samples,), its pauses so loud against the speech, and the seconds at which each wave starts."""
    generator = torch.Generator().manual_seed(0)
    parts, starts, samples = [], [], 0
    for wave in waves:
        noise = torch.randn(int(draw.uniform(*PAUSE_SECONDS) * fs), generator=generator)
        pause = loudness * wave.square().mean().sqrt() * noise
        starts.append(samples / fs)
        parts += [wave, pause]
        samples += len(wave) + len(pause)
    return torch.cat(parts), starts


def right_seconds(transcript: Transcript, start: float, end: float, language: str) -> float:
    """Seconds from start to end that went to the expert of the language."""
    overlaps = (
        min(end, span.end) - max(start, span.start) for span in transcript.timeline if span.language == language
    )
    return sum(overlap for overlap in overlaps if overlap > 0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--chunk_seconds", type=float, nargs="+", default=[4, 6, 8, 12, 20, 30])
    parser.add_argument("--silent", action="store_true", help="pauses of zeros, as some programs write them")
    parser.add_argument("--language_smoothing", default="frame")
    parser.add_argument("--language_switch_cost", type=float)
    args = parser.parse_args(argv)
    options = {name: getattr(args, name) for name in ("language_smoothing", "language_switch_cost")}
    files, texts, languages = (read_2columns_text(args.data_dir / name) for name in ("wav.scp", "text", "utt2lang"))
    recordings = {code: [u for u in files if languages[u] == code] for code in sorted({*languages.values()})}
    recordings[MIXED] = random.Random(0).sample(sorted(files), len(files))
    loudness = 0.0 if args.silent else 10 ** (PAUSE_DB / 20)
    rows = []
    for chunk_seconds in tqdm([ALONE, *args.chunk_seconds], disable=None):
        longest = float("inf") if chunk_seconds == ALONE else chunk_seconds
        speech2text = Speech2Text.from_pretrained(args.model, beam_size=1, chunk_seconds=longest, **options)
        row = [str(chunk_seconds)]
        for name, utterances in recordings.items():
            waves = [audio.load(files[u], speech2text.fs) for u in utterances]
            seconds = [len(wave) / speech2text.fs for wave in waves]
            if chunk_seconds == ALONE:
                heard = speech2text.batch(waves)
                found = [transcript.text for transcript in heard]
                right = sum(right_seconds(t, 0, s, languages[u]) for t, s, u in zip(heard, seconds, utterances))
                stretches = sum(len(transcript.timeline) for transcript in heard)
            else:
                recording, starts = join(waves, speech2text.fs, loudness, random.Random(0))
                whole = speech2text(recording)
                found, stretches = [whole.text], len(whole.timeline)
                right = sum(right_seconds(whole, start, start + length, languages[u])
                            for start, length, u in zip(starts, seconds, utterances))
            said = " ".join(texts[u] for u in utterances)
            rates = f"{100 * jiwer.wer(said, ' '.join(found)):.1f} / {100 * right / sum(seconds):.1f}"
            row.append(f"{rates} / {stretches}")
        rows.append(row)
    head = ["chunk_seconds", *(f"{name}: WER, % / right, % / stretches" for name in recordings)]
    print(format_pretty_table(rows, head))


if __name__ == "__main__":
    main()
