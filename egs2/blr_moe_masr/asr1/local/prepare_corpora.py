"""Stage 1: data directories from corpora as they are distributed.

    python local/prepare_corpora.py --corpus commonvoice=/data/cv-corpus-17.0 mls=/data/mls --langs de fr \\
        --out_of_domain fleurs=/data/fleurs --data_dir data

combines the training, validation and test sets of the corpora into data/{train,valid,test_in}, and the test sets of the
out-of-domain corpora, as far as their languages are trained, into data/test_out. A corpus is NAME[:DOMAIN][=PATH]: its
label in utt2domain is NAME unless there is another, and its path is $NAME in capitals unless there is another.

Clips without a file, without words, in a script foreign to their language, or known to be too short or too long for
training are skipped, counted, and listed with the reason in the table `skipped` of each data directory. The audio is
first opened in stage 3. docs/corpora.md has the details.
"""

import argparse
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

from corpora import Clip, aishell, commonvoice, fleurs, librispeech, manifest, mls, voxpopuli
from shared.data_dir import MAX_SKIPPED, Skipped, Utterance
from shared.kaldi_tables import UserError
from shared.scripts import foreign_script
from shared.text_normalization import DIGITS, normalise
from shared.write_data_dir import replacing, with_audio_outside, write_tables
from tqdm import tqdm

MODULES = {
    "commonvoice": commonvoice, "fleurs": fleurs, "mls": mls, "librispeech": librispeech,
    "aishell": aishell, "voxpopuli": voxpopuli, "manifest": manifest,
}  # fmt: skip
ANY_DURATION = (0, float("inf"))
LONGEST_ID = 200  # bytes; the name of a file has at most 255


@dataclass(frozen=True)
class Corpus:
    """A corpus on this machine.

    Attributes:
        name: of its module.
        domain: label of its utterances in utt2domain.
        root: its folder.
    """

    name: str
    domain: str
    root: Path

    @cache
    def languages(self, split: str) -> frozenset[str]:
        """The languages that have something in a split."""
        return frozenset(MODULES[self.name].languages(self.root, split))

    def read(self, split: str, languages: Iterable[str]) -> Iterator[Clip]:
        return MODULES[self.name].read(self.root, split, sorted(languages))


Sources = list[tuple[Corpus, frozenset[str]]]  # corpora and what is read of them: languages


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
                    f"{first.source}: {first.reason}; unpack the corpus again, or mend or remove what is listed so"
                )


def parse_corpus(word: str) -> Corpus:
    """A corpus from the command line: NAME[:DOMAIN][=PATH].

    Raises:
        UserError: there is no such corpus (lists the known ones), or nothing at the path.
    """
    label, _, path = word.partition("=")
    name, _, domain = label.partition(":")
    if name not in MODULES:
        raise UserError(f"corpus '{name}' is unknown; choose from {', '.join(MODULES)}")
    path = path or os.environ.get(name.upper())
    if not path:
        raise UserError(f"{name}: where is it? Fill the value of '{name.upper()}' of db.sh, or write {name}=PATH")
    if not os.path.exists(path):
        raise UserError(f"{name}: {os.path.abspath(path)} does not exist. Correct {name}=PATH, or the value of "
                        f"'{name.upper()}' of db.sh")
    return Corpus(name, domain or name, Path(path))


def require_layout(corpora: list[Corpus], split: str) -> None:
    """Raise UserError for a folder that is of another layout."""
    for corpus in corpora:
        if not corpus.languages(split):
            raise UserError(f"{corpus.root} has no {split} set of {corpus.name}; there should be "
                            f"{MODULES[corpus.name].LAYOUT}")


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
    names = ["train", "valid", "test_in", *(["test_out"] if out_of_domain else [])]
    with ExitStack() as unfinished:
        folders = {name: unfinished.enter_context(replacing(data_dir / name)) for name in names}

        def write(name: str, split: str, sources: Sources, rules: Rules) -> frozenset[str]:
            return write_set(folders[name], data_dir / name, split, sources, rules)

        trained = write("train", "train", in_domain(corpora, "train", chosen), rules)
        for name, split, own_rules in (("valid", "valid", rules), ("test_in", "test", tests)):
            languages = write(name, split, in_domain(corpora, split, chosen), own_rules)
            require_trained(data_dir / name, languages, trained)
        if out_of_domain:
            write("test_out", "test", with_trained_languages(out_of_domain, trained), tests)
        # From here on it is quick; an interruption leaves no training set, so that no old one is taken for the new one.
        for stale in ("train", "test_out", "router_train", "router_valid"):
            shutil.rmtree(data_dir / stale, ignore_errors=True)


def in_domain(corpora: list[Corpus], split: str, chosen: frozenset[str]) -> Sources:
    """What is read of a split: the languages of the training set, which must have it, and others that turn up in it."""
    found = [(corpus, corpus.languages("train") | corpus.languages(split)) for corpus in corpora]
    return [(corpus, languages & chosen if chosen else languages) for corpus, languages in found]


def with_trained_languages(corpora: list[Corpus], trained: frozenset[str]) -> Sources:
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
    return [(corpus, corpus.languages("test") & trained) for corpus in corpora]


def require_trained(place: Path, languages: frozenset[str], trained: frozenset[str]) -> None:
    """Raise UserError for languages that the training set lacks."""
    if missing := languages - trained:
        raise UserError(f"{place} has utterances in {', '.join(sorted(missing))}, but the training set has none; "
                        f"leave that out: --langs \"{' '.join(sorted(trained))}\"")


def write_set(folder: Path, place: Path, split: str, sources: Sources, rules: Rules) -> frozenset[str]:
    """Write the tables of a data set, which will be at `place`, into `folder`, and say what is in it.

    Returns:
        Its languages.
    """
    tally = Tally()
    entries = tqdm(read_set(split, sources, rules, tally), desc=str(place), unit="clip", disable=None, leave=False)
    summary = write_tables(folder, with_audio_outside(place, entries))
    tally.check(place)
    print(f"{place}: {summary.utterances.total():,} utterances in {len(summary.utterances)} languages")
    for domain in sorted({domain for domain, _ in tally.kept}):
        by_language = (f"{language} {n:,}" for (other, language), n in sorted(tally.kept.items()) if other == domain)
        print(f"  {domain}: {', '.join(by_language)}")
    if summary.skipped:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in summary.skipped.most_common())
        print(f"  skipped, and listed in {place / 'skipped'}: {reasons}")
    return frozenset(summary.utterances)


def read_set(split: str, sources: Sources, rules: Rules, tally: Tally) -> Iterator[Utterance | Skipped]:
    """The utterances of a split, and what is skipped of it.

    Raises:
        UserError: there is neither.
    """
    for corpus, languages in sources:
        for clip in corpus.read(split, languages):
            domain = clip.domain or corpus.domain
            entry = make_entry(clip, domain, rules)
            tally.count(entry, domain, clip.language)
            yield entry
    if not tally.kept and not tally.skipped:
        folders = ", ".join(str(corpus.root) for corpus, _ in sources)
        raise UserError(f"{folders}: there is not one clip of the {split} set; unpack the corpus again")


def make_entry(clip: Clip, domain: str, rules: Rules) -> Utterance | Skipped:
    """The utterance of a clip, or why it is left out.

    The id starts with the speaker, a digest, since Common Voice's labels have 128 digits and others white space; a clip
    without a speaker is its own.
    """
    text = normalise(clip.text, clip.language, rules.digits)
    speaker = blake2b(f"{domain} {clip.speaker or clip.name}".encode(), digest_size=6).hexdigest()
    name = re.sub(r"[\s/]", "_", clip.name)
    utterance = Utterance(f"{speaker}-{clip.language}-{name}", clip.audio, clip.language, speaker, domain, text,
                          clip.start, clip.end, source=clip.source)
    problem = clip.problem or find_problem(clip, utterance, rules)
    return Skipped(clip.source, problem) if problem else utterance


def find_problem(clip: Clip, utterance: Utterance, rules: Rules) -> str | None:
    """Why a clip is left out; None for one that stays."""
    shortest, longest = rules.durations
    seconds = clip.duration if clip.start is None else clip.end - clip.start
    if not is_file(clip.audio):
        return f"no such clip: {clip.audio}"
    if not utterance.text:
        return f"no words in the transcript: {clip.text!r}"
    if script := foreign_script(utterance.text, clip.language):
        return (f"in a script foreign to its language: {script} in '{clip.language}', whose script is in "
                f"local/shared/scripts.py: {clip.text!r}")
    if len(utterance.id.encode()) > LONGEST_ID:
        return f"id longer than {LONGEST_ID} bytes: {utterance.id}"
    if seconds is not None and seconds < shortest:
        return f"shorter than {shortest:g} s: {seconds:g} s"
    if seconds is not None and seconds > longest:
        return f"longer than {longest:g} s: {seconds:g} s"
    return None


is_file = lru_cache(maxsize=1000)(os.path.isfile)  # the parts of a long recording follow one another


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, help="NAME[:DOMAIN][=PATH] of corpora to train with; "
                        f"the names: {', '.join(MODULES)}")
    parser.add_argument("--out_of_domain", nargs="+", default=[], help="corpora to test with as well")
    parser.add_argument("--langs", nargs="+", default=[], help="language codes, e.g. pl fr zh-CN (default: all)")
    parser.add_argument("--digits", choices=DIGITS, default="kept", help="numbers in transcripts (default: kept)")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds (default: 0.1)")
    parser.add_argument("--max_wav_duration", type=float, default=20, help="seconds (default: 20); both for training "
                        "and validation, where the corpus says how long clips are; stage 4 sees to the others")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where data sets go (default: data)")
    args = parser.parse_args(argv)

    corpora, out_of_domain = ([parse_corpus(word) for word in words] for words in (args.corpus, args.out_of_domain))
    chosen = frozenset(args.langs)
    require_layout(corpora, "train")
    for split in ("valid", "test"):
        if not any(corpus.languages(split) for corpus in corpora):
            require_layout(corpora, split)
    require_layout(out_of_domain, "test")
    require_languages(corpora, chosen)
    prepare(corpora, out_of_domain, chosen, Rules(args.digits, (args.min_wav_duration, args.max_wav_duration)),
            args.data_dir)


if __name__ == "__main__":
    main()
