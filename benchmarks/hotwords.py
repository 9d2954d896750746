"""How many more of the listed words are recognised with hotwords, how often they are heard wrongly, and the time.

    cd egs2/blr_moe_masr/asr1
    python ../../../benchmarks/hotwords.py --model exp/asr --data_dir dump/raw/valid --others dump/raw/train/text

decodes a data directory along the CTC's best path and with the beam search. Then it draws --words words of at least
--letters letters, among those that the best path missed at least once (--all: among those that were said), and as many
distractors among the words of --others that were not said, and decodes with all of them as hotwords, at each of
--weights and --beam_sizes; with --by_language, each only in the languages in which the two tables of texts have it,
which the tables utt2lang beside them say.
"""

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jiwer
import torch
from measuring import decoded, machine, read_data_dir

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.inference.hotwords import DEFAULT_WEIGHT
from espnet_blrmoe.inference.speech2text import TEXT_BEAM_SIZE
from espnet_blrmoe.tables import read_table, text_table
from espnet_blrmoe.writing import split_words

HEAD = ("", "recall, %", "false insertions, % of words", "WER, %", "processor time, s")


def aligned_words(texts: Sequence[str], heard: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The words that were said, those that were heard right, and those that were heard where others were said."""
    said, right, wrong = [], [], []
    output = jiwer.process_words(list(texts), list(heard))
    for reference, hypothesis, chunks in zip(output.references, output.hypotheses, output.alignments):
        said += reference
        for chunk in chunks:
            (right if chunk.type == "equal" else wrong).extend(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx])
    return said, right, wrong


def drawn(args: argparse.Namespace, texts: Sequence[str], heard: Sequence[str]) -> tuple[set[str], set[str]]:
    """Words of the texts, and distractors."""
    said, right, _ = (Counter(words) for words in aligned_words(texts, heard))
    candidates = (said if args.all else said - right).keys()
    unsaid = {word for text in read_table(args.others).values() for word in split_words(text)} - said.keys()
    draw = random.Random(args.seed)
    long = [sorted(word for word in words if len(word) >= args.letters) for words in (candidates, unsaid)]
    words, others = (set(draw.sample(words, min(args.words, len(words)))) for words in long)
    return words, others


def with_languages(words: set[str], tables: Sequence[Path]) -> list[str]:
    """The hotwords with the languages in which texts, Kaldi's tables with utt2lang beside them, have them in front."""
    spoken: dict[str, set[str]] = {word: set() for word in sorted(words)}
    for table in tables:
        languages = read_table(table.with_name("utt2lang"))
        for utterance, text in read_table(table).items():
            for word in words.intersection(split_words(text)):
                spoken[word].add(languages[utterance])
    return [f"{','.join(sorted(languages))}={word}" for word, languages in spoken.items()]


def row(name: str, texts: Sequence[str], heard: Sequence[str], listed: set[str], seconds: float) -> tuple[str, ...]:
    """A row of the table; `listed` are the hotwords."""
    said, right, wrong = aligned_words(texts, heard)
    of_listed, found, false = (sum(word in listed for word in words) for words in (said, right, wrong))
    shares = f"{100 * found / of_listed:.1f}", f"{100 * false / len(said):.2f}", f"{100 * jiwer.wer(texts, heard):.1f}"
    return name, *shares, f"{seconds:.0f}"


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a model that was trained with CTC only")
    parser.add_argument("--data_dir", type=Path, required=True, help="with wav.scp and text")
    parser.add_argument("--others", type=Path, required=True, help="Kaldi's table of other texts, for distractors")
    parser.add_argument("--words", type=int, default=50)
    parser.add_argument("--letters", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="draw among all words, not only those that were missed")
    parser.add_argument("--by_language", action="store_true", help="list each word for its languages only")
    parser.add_argument("--weights", type=float, nargs="+", default=[DEFAULT_WEIGHT], help="nats")
    parser.add_argument("--beam_sizes", type=int, nargs="+", default=[TEXT_BEAM_SIZE])
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(cmd: list[str] | None = None) -> None:
    args = get_parser().parse_args(cmd)
    torch.set_num_threads(1)
    files, said = (list(table.values()) for table in read_data_dir(args.data_dir, "text"))
    texts = [" ".join(split_words(text)) for text in said]
    heard, seconds = decoded(Speech2Text.from_pretrained(args.model, beam_size=1), files)
    words, others = drawn(args, texts, heard)
    listed = words | others
    phrases = with_languages(listed, (args.data_dir / "text", args.others)) if args.by_language else listed
    rows = [row("best path", texts, heard, listed, seconds)]
    for beam_size in args.beam_sizes:
        speech2text = Speech2Text.from_pretrained(args.model, beam_size=beam_size)
        found = decoded(speech2text, files)
        rows.append(row(f"beam {beam_size}", texts, found[0], listed, found[1]))
        for weight in args.weights:
            found = decoded(speech2text, files, hotwords=dict.fromkeys(phrases, weight))
            rows.append(row(f"beam {beam_size}, weight {weight:g}", texts, found[0], listed, found[1]))
    print(f"{len(words)} words and {len(others)} distractors; {machine('cpu')}")
    print(text_table(HEAD, rows))


if __name__ == "__main__":
    main()
