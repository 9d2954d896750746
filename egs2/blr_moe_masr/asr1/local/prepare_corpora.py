"""Stage 1: data directories from corpora as they are distributed.

    python local/prepare_corpora.py --corpus commonvoice=/data/cv-corpus-17.0 mls=/data/mls --langs de fr \\
        --out_of_domain fleurs=/data/fleurs --data_dir data

combines the training, validation and test sets of the corpora into data/{train,valid,test_in}, and the test sets of the
out-of-domain corpora, in the languages that are trained, into data/test_out. A corpus is NAME[:DOMAIN][=PATH]: its
label in utt2domain is NAME unless there is another, and its path is $NAME in capitals unless there is another. A corpus
that makes its own audio does so first; one that has an out-of-domain test or audio-language pairs adds them to
data/{test_out,router_train,router_valid}; with --test_mixed, data/test_mixed has recordings in two languages each.

Clips without a file, without words, in a script foreign to their language, or known to be too short or too long for
training are skipped, counted, and listed with the reason in the table `skipped` of each data directory. The audio is
first opened in stage 3. docs/corpora.md has the details.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # while the modules below are loaded, Ctrl-C needs no traceback: nothing has been begun
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)

from corpora import Clip
from shared.code_switching import UnknownMark, transcript_of
from shared.data_dir import MAX_SKIPPED, Skipped, Utterance
from shared.find_corpora import Corpus, find_corpus, names
from shared.kaldi_tables import UserError
from shared.path_lists import split_paths
from shared.scripts import foreign_script
from shared.shared_clips import shared_clips
from shared.text_normalization import DIGITS
from shared.write_data_dir import replacing, with_audio_outside, write_tables

from espnet_blrmoe.program import start
from espnet_blrmoe.progress import progress_bar

FURTHER_SETS = ("test_dev", "test_out", "test_mixed", "router_train", "router_valid")  # which a corpus need not have
ANY_DURATION = (0, float("inf"))
LONGEST_ID = 200  # bytes; the name of a file has at most 255


class Source(NamedTuple):
    """What is read of a corpus."""

    corpus: Corpus
    split: str
    languages: frozenset[str]


@dataclass(frozen=True)
class Rules:
    """What becomes of a transcript, and which clips are used.

    Attributes:
        digits: "kept" or "spelled".
        durations: shortest and longest one in seconds, for clips whose corpus says how long they are.
    """

    digits: str
    durations: tuple[float, float]


@dataclass
class Tally:
    """What became of the clips of a data set, by domain and language."""

    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_skipped: dict[tuple[str, str], Skipped] = field(default_factory=dict)

    def count(self, entry: Utterance | Skipped, domain: str, language: str) -> None:
        if isinstance(entry, Skipped):
            self.skipped[domain, language] += 1
            self.first_skipped.setdefault((domain, language), entry)
        else:
            self.kept[domain, language] += 1

    def check(self, place: Path) -> None:
        """Raise UserError if more of a language is skipped than accidents explain."""
        for (domain, language), skipped in self.skipped.items():
            clips = self.kept[domain, language] + skipped
            if skipped > MAX_SKIPPED * clips:
                first = self.first_skipped[domain, language]
                raise UserError(
                    f"{place}: {skipped:,} of {clips:,} clips of {domain} in '{language}' cannot be used, the first: "
                    f"{first.source}: {first.reason}; unpack the corpus again, or fix or remove these clips"
                )


def require_layout(corpora: list[Corpus], split: str) -> None:
    """Raise UserError for a folder that is of another layout."""
    for corpus in corpora:
        if not corpus.languages(split):
            raise UserError(f"{corpus.root} has no {split} set of {corpus.name}; there should be "
                            f"{corpus.module.LAYOUT}")


def require_languages(corpora: list[Corpus], chosen: frozenset[str]) -> None:
    """Raise UserError for a chosen language that no corpus has."""
    known = frozenset().union(*(corpus.languages("train") for corpus in corpora))
    if unknown := chosen - known:
        raise UserError(f"--langs: no training data in {', '.join(sorted(unknown))}; there are "
                        f"{', '.join(sorted(known))}")


def prepare(corpora: list[Corpus], out_of_domain: list[Corpus], chosen: frozenset[str], rules: Rules,
            data_dir: Path) -> None:
    """Write all data sets; they appear together, or not at all.

    Args:
        corpora: for training, validation and the in-domain test.
        out_of_domain: for the other test.
        chosen: languages; empty for all.
        rules: for training and validation; tests have any duration.
        data_dir: folder of the data sets.

    Raises:
        UserError: a tested language is not trained; or what corpora and tables complain of.
    """
    tests = replace(rules, durations=ANY_DURATION)
    further = {name: sources for name in FURTHER_SETS if (sources := of_their_own(corpora, name, chosen))}
    sets = dict.fromkeys(["train", "valid", "test_in", *further, *(["test_out"] if out_of_domain else [])])
    with ExitStack() as unfinished:
        folders = {name: unfinished.enter_context(replacing(data_dir / name)) for name in sets}

        def write(name: str, sources: list[Source], rules: Rules) -> frozenset[str]:
            return write_set(folders[name], data_dir / name, sources, rules)

        trained = write("train", in_domain(corpora, "train", chosen), rules)
        for name, split, own_rules in (("valid", "valid", rules), ("test_in", "test", tests)):
            languages = write(name, in_domain(corpora, split, chosen), own_rules)
            require_trained(data_dir / name, languages, trained)
        if out_of_domain:
            further["test_out"] = further.get("test_out", []) + with_trained_languages(out_of_domain, trained)
        for name, sources in further.items():
            require_trained(data_dir / name, write(name, sources, tests), trained)
        warn_of_shared_clips(folders, data_dir)
        # From here on it is quick; an interruption leaves no training set, so that no old one is taken for the new one.
        for stale in ("train", *FURTHER_SETS):
            shutil.rmtree(data_dir / stale, ignore_errors=True)


def in_domain(corpora: list[Corpus], split: str, chosen: frozenset[str]) -> list[Source]:
    """What is read of a split: the languages of the training set, which must have it, and others that turn up in it."""
    found = [(corpus, corpus.languages("train") | corpus.languages(split)) for corpus in corpora]
    return [Source(corpus, split, languages & chosen if chosen else languages) for corpus, languages in found]


def of_their_own(corpora: list[Corpus], split: str, chosen: frozenset[str]) -> list[Source]:
    """What is read of a split that a corpus need not have."""
    found = [(corpus, corpus.languages(split)) for corpus in corpora if corpus.languages(split)]
    return [Source(corpus, split, languages & chosen if chosen else languages) for corpus, languages in found]


def with_trained_languages(corpora: list[Corpus], trained: frozenset[str]) -> list[Source]:
    """What is read of out-of-domain corpora; says which languages are not.

    Raises:
        UserError: a corpus has none of the trained languages.
    """
    for corpus in corpora:
        found = corpus.languages("test")
        if not found & trained:
            raise UserError(f"{corpus.root} has tests in {', '.join(sorted(found))}, none in the trained languages "
                            f"{', '.join(sorted(trained))}: leave it out of --out_of_domain")
        if others := found - trained:
            print(f"{corpus.root}: not trained, so left out of test_out: {', '.join(sorted(others))}")
    return [Source(corpus, "test", corpus.languages("test") & trained) for corpus in corpora]


def require_trained(place: Path, languages: frozenset[str], trained: frozenset[str]) -> None:
    """Raise UserError for languages that the training set lacks."""
    if missing := languages - trained:
        raise UserError(f"{place} has utterances in {', '.join(sorted(missing))}, but the training set has none; "
                        f"leave that out: --langs \"{' '.join(sorted(trained))}\"")


def warn_of_shared_clips(folders: dict[str, Path], data_dir: Path) -> None:
    """Say on stderr how many clips to test with are among those to train with."""
    trained = [folder for name, folder in folders.items() if name.endswith("train")]
    shared = shared_clips(trained, [folder for folder in folders.values() if folder not in trained])
    for name, folder in folders.items():
        if clips := shared.get(folder):
            print(f"Warning: {len(clips):,} clips of {data_dir / name} are among those to train with too (the first: "
                  f"{clips[0][0]}, there {clips[0][1]}): scores on them say nothing of new speech", file=sys.stderr)


def write_set(folder: Path, place: Path, sources: list[Source], rules: Rules) -> frozenset[str]:
    """Write the tables of a data set, which will be at `place`, into `folder`, and say what is in it.

    Returns:
        Its languages.
    """
    tally = Tally()
    entries = progress_bar(read_set(sources, rules, tally), desc=str(place), unit="clip", leave=False)
    summary = write_tables(folder, with_audio_outside(place, entries))
    tally.check(place)
    print(f"{place}: {summary.utterances.total():,} utterances in {len(summary.languages)} languages")
    for domain in sorted({domain for domain, _ in tally.kept}):
        by_language = (f"{language} {n:,}" for (other, language), n in sorted(tally.kept.items()) if other == domain)
        print(f"  {domain}: {', '.join(by_language)}")
    if summary.skipped:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in summary.skipped.most_common())
        print(f"  skipped, and listed in {place / 'skipped'}: {reasons}")
    return frozenset(summary.languages)


def read_set(sources: list[Source], rules: Rules, tally: Tally) -> Iterator[Utterance | Skipped]:
    """The utterances of a data set, and what is skipped of it.

    Raises:
        UserError: there is neither.
    """
    for corpus, split, languages in sources:
        for clip in corpus.read(split, languages):
            entry = make_entry(clip, corpus, rules)
            tally.count(entry, clip.domain or corpus.domain, clip.languages[0])
            yield entry
    if not tally.kept and not tally.skipped:
        folders = ", ".join(str(source.corpus.root) for source in sources)
        raise UserError(f"{folders}: there is not one clip of the {sources[0].split} set; unpack the corpus again, or "
                        "choose other languages")


def make_entry(clip: Clip, corpus: Corpus, rules: Rules) -> Utterance | Skipped:
    """The utterance of a clip of a corpus, or why it is left out.

    Unless the corpus has one, the id starts with a digest of the speaker, since Common Voice's labels have 128 digits
    and others white space; a clip without a speaker is its own.
    """
    language, problem = clip.languages[0], clip.problem
    try:
        label, text = transcript_of(clip, rules.digits)
    except UnknownMark as error:
        label, text, problem = language, "", str(error)
    speaker, key, domain = clip.speaker, clip.id, clip.domain or corpus.domain
    if not key:
        speaker = blake2b(f"{domain} {clip.speaker or clip.name}".encode(), digest_size=6).hexdigest()
        key = "-".join((speaker, language, re.sub(r"[\s/]", "_", clip.name)))
    utterance = Utterance(key, clip.audio, label, speaker, domain, text, clip.start, clip.end,
                          timeline=None if clip.timeline is None else json.dumps(clip.timeline, ensure_ascii=False),
                          source=clip.source)
    problem = problem or find_problem(clip, utterance, corpus, rules)
    return Skipped(clip.source, problem) if problem else utterance


def find_problem(clip: Clip, utterance: Utterance, corpus: Corpus, rules: Rules) -> str | None:
    """Why a clip is left out; None for one that stays."""
    shortest, longest = rules.durations
    seconds = clip.duration if clip.start is None else clip.end - clip.start
    if not is_file(clip.audio):
        return f"no such clip: {clip.audio}"
    if utterance.text == "":
        return f"no words in the transcript: {clip.text!r}"
    if script := find_foreign_script(clip, utterance, corpus):
        return (f"in a script foreign to its language: {script} in '{clip.language}', unless "
                f"local/shared/conventions.toml says otherwise: {clip.text!r}")
    if len(utterance.id.encode()) > LONGEST_ID:
        return f"id longer than {LONGEST_ID} bytes: {utterance.id}"
    if seconds is not None and seconds < shortest:
        return f"shorter than {shortest:g} s: {seconds:g} s"
    if seconds is not None and seconds > longest:
        return f"longer than {longest:g} s: {seconds:g} s"
    return None


def find_foreign_script(clip: Clip, utterance: Utterance, corpus: Corpus) -> str | None:
    """The script of a clip that is foreign to all of its languages; None: all is well."""
    scripts = [foreign_script(utterance.text or "", code, corpus.scripts(code)) for code in clip.languages]
    return scripts[0] if all(scripts) else None


is_file = lru_cache(maxsize=1000)(os.path.isfile)  # the parts of a long recording follow one another


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, help="NAME[:DOMAIN][=PATH] of corpora to train with; "
                        f"the names: {', '.join(names())}, or mypackage.mycorpus, a module that is installed")
    parser.add_argument("--out_of_domain", nargs="*", default=[], help="corpora to test with as well")
    parser.add_argument("--langs", nargs="*", default=[], help="language codes, e.g. pl fr zh-CN (default: all)")
    parser.add_argument("--digits", choices=DIGITS, default="kept", help="numbers in transcripts (default: kept)")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds (default: 0.1)")
    parser.add_argument("--max_wav_duration", type=float, default=20, help="seconds (default: 20); both for training "
                        "and validation, where the corpus says how long clips are; stage 4 sees to the others")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where data sets go (default: data)")
    made = parser.add_argument_group("corpora that make their audio")
    made.add_argument("--downloads", type=Path, default=Path("downloads"), help="where it goes (default: downloads)")
    made.add_argument("--train_hours", type=float, help="hours of training speech")
    made.add_argument("--test_sentences", type=int, help="sentences per language and test set")
    made.add_argument("--test_mixed", type=int, metavar="N", help="recordings of a test set in which the language "
                      "changes, test_mixed (default: there is none)")
    made.add_argument("--nj", type=int, default=2, help="processes (default: 2)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    try:
        run(args)
    except KeyboardInterrupt:
        print("Interrupted: run stage 1 again", file=sys.stderr)
        sys.exit(130)


def run(args: argparse.Namespace) -> None:
    """Make the data sets."""
    corpora, out_of_domain = ([find_corpus(word, args.downloads) for text in texts for word in split_paths(text)]
                              for texts in (args.corpus, args.out_of_domain))
    for corpus in corpora + out_of_domain:
        if hasattr(corpus.module, "make"):
            corpus.module.make(corpus.root, args.langs, args.train_hours, args.test_sentences, args.nj)
        if hasattr(corpus.module, "unpack"):
            corpus.module.unpack(corpus.root)
    makers = [corpus for corpus in corpora if hasattr(corpus.module, "make_mixed")]
    if args.test_mixed is not None and not makers:
        raise UserError("--test_mixed: none of the corpora makes such a test; espeak does")
    for corpus in makers:
        corpus.module.make_mixed(corpus.root, args.langs, args.test_mixed, args.nj)
    require_layout(corpora, "train")
    for split in ("valid", "test"):
        if not any(corpus.languages(split) for corpus in corpora):
            require_layout(corpora, split)
    require_layout(out_of_domain, "test")
    chosen = frozenset(args.langs)
    require_languages(corpora, chosen)
    prepare(corpora, out_of_domain, chosen, Rules(args.digits, (args.min_wav_duration, args.max_wav_duration)),
            args.data_dir)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, interrupt)
    start(main)
