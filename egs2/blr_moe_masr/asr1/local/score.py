"""Score every decoding of an ASR experiment (stages 13 and 18): WER, CER and language-identification accuracy.

    python local/score.py exp/asr_train --data dump/raw

reads exp/asr_train/<decode_tag>/<test_set>/{text,lang} for every decode tag that starts with `decode_`, compares
them with dump/raw/<test_set>, and writes

    exp/asr_train/<decode_tag>/<test_set>/score_{wer,cer,mer,lid}/result.txt   table and alignment of every utterance
    exp/asr_train/scores.json   all figures: pooled, by language, by domain, and what each step changed
    exp/asr_train/RESULTS.md    the same as tables, in ESPnet's format

Rules:
- Reference and hypothesis go through the same text normalisation, and letters that can be typed in two ways are one.
- Scripts written without spaces (Han, kana, Thai, Lao, Burmese, Khmer) count by character in the word error rate
  too. In the CER a space is a character, as in ESPnet.
- The mixed error rate (MER) of code-switching papers is one edit distance over characters of these scripts and of
  Hangul, each with its marks, and words of all others. It is left out where no reference has such characters.
- Language identification (LID) is scored like a one-word transcript, so its tables read like the others. It is
  left out where nothing is detected: without `lang`, or where `utt2langs` allowed every utterance only one language.
- An utterance in several languages has no one language: it is left out of LID and of scores by language. Where it is
  said what is spoken when (dump/raw/<test_set>/timeline), the recognised `timeline` is compared with that.
- An utterance without a hypothesis counts as completely deleted.
- Intervals are 95 % percentile bootstrap over utterances. Utterances of one speaker are not independent, so the
  true uncertainty is somewhat larger.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

import jiwer
import numpy as np
from shared.alignments import align_characters, align_mixed, align_words, has_characters
from shared.data_dir import Utterance
from shared.decodings import Decoding, find_decodings
from shared.diagnosis import Heard, diagnose, languages_of_words
from shared.resampling import RESAMPLES, SEED, draws, interval
from shared.score_tables import result_text, results_markdown, terminal_table
from shared.text_normalization import DIGITS
from shared.timelines import score_timelines
from shared.write_files import write_files

from espnet_blrmoe.program import start
from espnet_blrmoe.progress import progress_bar

# What the ending of a decode tag says was added to the decoding without that ending.
CHANGES = {r"(.+)_router": "router fine-tuning", r"(.+_router)_pruned": "pruning to one",
           r"(.+_router)_(?!pruned|ngram)(.+)": r"pruning to \2", r"(.+)_ngram": "word n-grams"}
NOTHING = jiwer.process_words("", "")  # an alignment that counts nowhere


def align(decoding: Decoding) -> dict[str, list[jiwer.WordOutput | jiwer.CharacterOutput]]:
    """Align every utterance of a decoding: measure -> one alignment per utterance."""
    ways = {"WER": align_words, "CER": align_characters}
    if any(has_characters(u.text) for u in decoding.references):
        ways["MER"] = align_mixed
    aligned = {measure: [] for measure in ways}
    name = f"{decoding.tag}/{decoding.test_set}"
    for u in progress_bar(decoding.references, desc=name, unit="utt", leave=False):
        hypothesis = decoding.hypotheses.get(u.id, "")
        for measure, way in ways.items():
            aligned[measure].append(way(u.text, hypothesis, u.language))
    if decoding.detected is not None:
        aligned["LID"] = [jiwer.process_words(u.language, decoding.detected.get(u.id, ""))
                          if u.has_one_language else NOTHING for u in decoding.references]
    return aligned


def count(aligned: dict[str, list]) -> np.ndarray:
    """(utterances, measures, 4): how many were correct, substituted, deleted, inserted."""
    return np.array([[(a.hits, a.substitutions, a.deletions, a.insertions) for a in alignments]
                     for alignments in zip(*aligned.values())])


def error_rate(counts: np.ndarray) -> np.ndarray:
    """Errors in % of the reference's length, for counts of shape (..., 4)."""
    correct, substituted, deleted, inserted = np.moveaxis(counts, -1, 0)
    return 100 * (substituted + deleted + inserted) / np.maximum(correct + substituted + deleted, 1)


def bootstrap(counts: np.ndarray) -> np.ndarray:
    """Error rates in % of RESAMPLES resamples of the utterances: (utterances, measures, 4) -> (RESAMPLES, measures).

    The seed is always the same: results on the same utterances are paired, so their differences mean something.
    """
    utterances = len(counts)
    flat = counts.reshape(utterances, -1).astype(float)
    sums = [np.bincount(drawn, minlength=utterances) @ flat for drawn in draws(utterances)]
    return error_rate(np.reshape(sums, (RESAMPLES, *counts.shape[1:])))


def groups(references: list[Utterance]) -> dict[tuple[str, str], list[int]]:
    """("all", "all"), then ("language", code) and ("domain", name) -> indices of the utterances.

    Utterances in several languages are not grouped by language.
    """
    found: dict[tuple[str, str], list[int]] = {("all", "all"): list(range(len(references)))}
    for by in ("language", "domain"):
        names = [getattr(u, by) if by == "domain" or u.has_one_language else "" for u in references]
        for group in sorted(set(names) - {""}):
            found[by, group] = [i for i, name in enumerate(names) if name == group]
    return found


def summarise(counts: np.ndarray, resampled: dict[str, np.ndarray]) -> dict[str, dict]:
    """One entry per measure, from counts (utterances, measures, 4) and the measures' resampled rates (RESAMPLES,)."""
    entries = {}
    for m, (measure, rates) in enumerate(resampled.items()):
        correct, substituted, deleted, inserted = counts[:, m].sum(axis=0).tolist()
        utterances = correct + substituted + deleted if measure == "LID" else len(counts)
        if not utterances:
            continue
        entries[measure] = {
            "Snt": utterances,
            "Wrd": correct + substituted + deleted,
            "Corr": correct, "Sub": substituted, "Del": deleted, "Ins": inserted,
            "Err": float(error_rate(counts[:, m].sum(axis=0))),
            "S.Err": float(100 * (counts[:, m, 1:].any(axis=1).sum() / utterances)),
            "interval": interval(rates),
        }
    return entries


def confusion(decoding: Decoding) -> dict[str, dict[str, int]]:
    """{true language: {detected language: utterances}}; utterances that were not decoded, and those in several
    languages, are left out."""
    known = [u for u in decoding.references if u.has_one_language]
    pairs = Counter((u.language, decoding.detected[u.id]) for u in known if u.id in decoding.detected)
    return {true: {detected: n for (other, detected), n in sorted(pairs.items()) if other == true}
            for true in sorted({u.language for u in known})}


def compare(resampled: dict[tuple, dict[str, np.ndarray]], entries: dict[tuple, dict]) -> list[dict]:
    """What each step changed: the difference to the decode tag without the step's ending, by group.

    Args:
        resampled: (decode tag, test set, by, group) -> measure -> resampled error rates (RESAMPLES,).
        entries: the same keys -> scores.
    """
    changes = []
    for (tag, *where), after in resampled.items():
        for ending, change in CHANGES.items():
            match = re.fullmatch(ending, tag)
            if match is None or (base := (match[1], *where)) not in resampled:
                continue
            changes.append({
                "change": match.expand(change), "before": base[0], "after": tag,
                **dict(zip(("test_set", "by", "group"), where)),
                **{measure: {"difference": entries[tag, *where][measure]["Err"] - entries[base][measure]["Err"],
                             "interval": interval(rates - resampled[base][measure])}
                   for measure, rates in after.items() if measure in resampled[base]},
            })
    return changes


def score(decodings: list[Decoding], data: Path) -> dict:
    """Score all decodings, and write `score_*/result.txt` beside each; UserError if there is no room for them.

    Args:
        decodings: of one experiment.
        data: folder of the data directories, whose transcripts say which words each language has.

    Returns:
        interval: how the intervals were made.
        scores: one entry per decoding, test set and group (`by`: all, language or domain; `group`: its name). Under
            each measure: Snt (utterances), Wrd (words, characters or languages of the reference), Corr, Sub, Del,
            Ins (counts), Err, S.Err and the 95 % interval of Err (%). LID accuracy is 100 - Err.
        confusions: per decoding and test set {true language: {detected language: utterances}}.
        timelines: per decoding of a test set in which the language changes, what `score_timelines` gives.
        changes: `after` minus `before` in percentage points of Err, with 95 % paired bootstrap intervals.
        diagnosis: what `diagnose` finds.
    """
    entries, resampled, confusions, timelines, heard = {}, {}, [], [], []
    languages_of = languages_of_words(decodings, data)
    for decoding in decodings:
        aligned = align(decoding)
        counts = count(aligned)
        names = {"decoding": decoding.tag, "test_set": decoding.test_set}
        for (by, group), indices in groups(decoding.references).items():
            key = (decoding.tag, decoding.test_set, by, group)
            resampled[key] = dict(zip(aligned, bootstrap(counts[indices]).T))
            entries[key] = {**names, "by": by, "group": group, **summarise(counts[indices], resampled[key])}
        if decoding.detected is not None:
            confusions.append({**names, "counts": confusion(decoding)})
        if not decoding.is_mixed:
            heard.append(Heard.of(decoding, aligned["WER"], languages_of))
        if decoding.recordings is not None:
            timelines.append({**names, **score_timelines(decoding.recordings)})
        own = [entry for key, entry in entries.items() if key[:2] == (decoding.tag, decoding.test_set)]
        write_files({decoding.folder / f"score_{measure.lower()}" / "result.txt":
                     result_text(own, measure, decoding.references, alignments)
                     for measure, alignments in aligned.items()})
    return {"interval": f"95 % bootstrap over utterances, {RESAMPLES:,} resamples, seed {SEED}",
            "scores": list(entries.values()), "confusions": confusions, "timelines": timelines,
            "changes": compare(resampled, entries), "diagnosis": diagnose(heard)}


def warn_of_missing(decoding: Decoding, data: Path) -> None:
    """Say on stderr how many utterances have no hypothesis."""
    missing = [u.id for u in decoding.references if u.id not in decoding.hypotheses]
    if missing:
        print(f"Warning: {decoding.folder / 'text'} lacks {len(missing)} of the {len(decoding.references)} utterances "
              f"of {data / decoding.test_set} (the first: {missing[0]}); they count as deleted", file=sys.stderr)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", type=Path, help="folder of the ASR experiment, with decode_*/<test_set>/text")
    parser.add_argument("--data", type=Path, default=Path("dump/raw"),
                        help="folder with the test sets' data directories (default: %(default)s)")
    parser.add_argument("--digits", choices=DIGITS, default="kept",
                        help="whether numbers are spelled before scoring (default: %(default)s)")
    args = parser.parse_args(argv)

    decodings = find_decodings(args.exp, args.data, args.digits)
    for decoding in decodings:
        warn_of_missing(decoding, args.data)
    results = {"digits": args.digits, **score(decodings, args.data)}
    write_files({args.exp / "scores.json": json.dumps(results, indent=1, ensure_ascii=False) + "\n",
                 args.exp / "RESULTS.md": results_markdown(results, args.exp)})
    print(terminal_table(results))
    utterances = sum(len(d.references) for d in decodings)
    print(f"Scored {utterances:,} hypotheses of {len(decodings)} decodings: {args.exp / 'RESULTS.md'}, "
          f"{args.exp / 'scores.json'}")


if __name__ == "__main__":
    start(main)
