"""When recognised words begin, against what the synthesiser says, and how often words of a confidence are right.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/word_times.py --model exp/asr --sentences 2

makes sentences of the demo anew, --sentences of each of the model's languages from the set --set, and recognises each.
Right is a word that is aligned with the same word in the text; times are those of the right ones. A language without a
grammar of its own speaks numbers.
"""

import argparse
import sys
from pathlib import Path

import jiwer
import numpy as np

from espnet_blrmoe import Speech2Text, Word
from espnet_blrmoe.tables import text_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "egs2/blr_moe_masr/asr1/local"))
from corpora.espeak import TEST_SENTENCES, TRAIN_HOURS  # noqa: E402
from corpora.espeak.recordings import MARGIN, RATE, Recording, plan, sizes, speak  # noqa: E402
from corpora.espeak.synthesis import synthesise_with_times  # noqa: E402

BINS = 10


def right_words(text: str, words: tuple[Word, ...]) -> dict[int, int]:
    """Positions of the recognised words that are right -> those of the same words in the text."""
    if not words:
        return {}
    (alignment,) = jiwer.process_words(text, " ".join(word.text for word in words)).alignments
    return {
        part.hyp_start_idx + n: part.ref_start_idx + n
        for part in alignment
        if part.type == "equal"
        for n in range(part.hyp_end_idx - part.hyp_start_idx)
    }


def recognised(speech2text: Speech2Text, recording: Recording) -> tuple[list[float], list[tuple[float, bool]]]:
    """How many seconds too late each right word begins; and of every word its confidence, and whether it is right."""
    r = recording
    starts = synthesise_with_times(r.text, r.voice, r.variant, r.speed, r.pitch)[1]
    words = speech2text(speak(r), rate=RATE).words
    right = right_words(r.text, words)
    late = [words[own].start - MARGIN - starts[said] for own, said in right.items()]
    return [seconds for seconds in late if not np.isnan(seconds)], [
        (word.confidence, n in right) for n, word in enumerate(words)
    ]


def calibration(results: np.ndarray) -> str:
    """A table of the words' (confidence, right), (words, 2), and the expected calibration error."""
    number = np.minimum((BINS * results[:, 0]).astype(int), BINS - 1)
    means = {n: results[number == n] for n in range(BINS) if (number == n).any()}
    rows = [(f"{n / BINS:.1f}", f"{len(own):,}", *(f"{100 * mean:.1f}" for mean in own.mean(axis=0)))
            for n, own in means.items()]
    error = sum(len(own) * abs(np.subtract(*own.mean(axis=0))) for own in means.values()) / len(results)
    table = text_table(("confidence from", "words", "mean confidence, %", "right, %"), rows)
    return f"{table}\nexpected calibration error: {100 * error:.1f} %"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--sentences", type=int, default=50)
    parser.add_argument("--set", default="valid", choices=("valid", "test_in", "test_out"))
    args = parser.parse_args(argv)
    speech2text = Speech2Text.from_pretrained(args.model)
    languages = list(speech2text.languages)
    recordings = plan(languages, sizes(TRAIN_HOURS, TEST_SENTENCES, len(languages)), seed=0)[args.set]
    rows, results = [], []
    for language in languages:
        own = [r for r in recordings if r.language == language][: args.sentences]
        found = [recognised(speech2text, recording) for recording in own]
        late = 1000 * np.array([seconds for sentence, _ in found for seconds in sentence])
        results += [word for _, sentence in found for word in sentence]
        if len(late):
            rows.append((language, f"{len(late):,}", f"{np.median(np.abs(late)):.0f}",
                         f"{np.percentile(np.abs(late), 90):.0f}", f"{np.median(late):+.0f}"))
    print(text_table(("language", "right words", "start off by: median, ms", "90 %", "median late"), rows))
    print(calibration(np.array(results)) if results else "no word is recognised")


if __name__ == "__main__":
    main()
