"""Stage 1: data directories from a folder in Common Voice's own layout.

    python local/commonvoice_corpus.py --commonvoice ~/cv-corpus-17.0 --langs pl fr --data_dir data

reads <lang>/{train,dev,test}.tsv (columns client_id, path, sentence) and writes data/train, data/valid and
data/test_in, and data/router_{train,valid}: the same clips as audio-language pairs without transcripts. With
--out_of_domain, a folder with <lang>/test.tsv (columns path, sentence, speaker) becomes data/test_out, restricted to
the same languages. Clips are <lang>/clips/<path>. Missing clips and empty sentences are skipped, counted and listed
in the table `skipped` of each data directory; the audio itself is first opened in stage 3.
"""

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from data_dir import Skipped, UserError, Utterance, write_data_dir
from text_normalization import normalise
from tqdm import tqdm

SETS = {"train": "train", "valid": "dev", "test_in": "test"}  # data set -> Common Voice's name of it


@dataclass
class Subset:
    """A data set in the making.

    Attributes:
        utterances: by id.
        skipped: "file:line" of a tsv -> why it is left out.
    """

    utterances: dict[str, Utterance] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def languages(self) -> set[str]:
        return {u.language for u in self.utterances.values()}


def read_subset(tables: list[Path], domain: str, speaker_column: str) -> Subset:
    """Read <lang>/<set>.tsv of several languages.

    Raises:
        UserError: a file is missing, lacks a column or is not UTF-8.
    """
    subset = Subset()
    for table in tables:
        for line, row in read_tsv(table, (speaker_column, "path", "sentence")):
            utterance = make_utterance(table.parent, row, domain, speaker_column)
            if not Path(utterance.audio).is_file():
                subset.skipped[f"{table}:{line}"] = f"no such clip: {utterance.audio}"
            elif not utterance.text:
                subset.skipped[f"{table}:{line}"] = f"no words in the sentence {row['sentence']!r}"
            elif utterance.id in subset.utterances:
                subset.skipped[f"{table}:{line}"] = f"listed a second time: {utterance.audio}"
            else:
                subset.utterances[utterance.id] = utterance
    return subset


def read_tsv(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a tsv with their line numbers; quotation marks are part of the sentence, as Common Voice writes them."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; every language needs it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
            for column in columns:
                if column not in (rows.fieldnames or ()):
                    raise UserError(f"{path}:1: there is no column '{column}', only {', '.join(rows.fieldnames or ())}")
            for row in tqdm(rows, desc=str(path), unit="clip", disable=None, leave=False):
                yield rows.line_num, row
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it") from error


def make_utterance(folder: Path, row: dict[str, str], domain: str, speaker_column: str) -> Utterance:
    """The utterance of a row; its id starts with the speaker, a digest since Common Voice's 128 digits are unwieldy."""
    language = folder.name
    speaker = blake2b(f"{domain} {row[speaker_column] or row['path']}".encode(), digest_size=6).hexdigest()
    clip = re.sub(r"[\s/]", "_", re.sub(r"\.\w+$", "", row["path"])).removeprefix(f"common_voice_{language}_")
    return Utterance(
        id=f"{speaker}-{language}-{clip}",
        audio=str(folder / "clips" / row["path"]),
        language=language,
        speaker=speaker,
        domain=domain,
        text=normalise(row["sentence"], language),
    )


def choose_languages(corpus: Path, chosen: list[str] | None) -> list[str]:
    """The chosen languages of a corpus, or all that have train.tsv.

    Raises:
        UserError: the corpus is missing, has no language, or lacks a chosen one (lists those it has).
    """
    if not corpus.is_dir():
        raise UserError(f"{corpus} is no folder. Fill the value of 'COMMONVOICE' of db.sh")
    known = sorted(table.parent.name for table in corpus.glob("*/train.tsv"))
    if not known:
        raise UserError(f"{corpus} has no <language>/train.tsv. Fill the value of 'COMMONVOICE' of db.sh with the "
                        "folder that holds the languages' folders")
    for language in chosen or ():
        if language not in known:
            raise UserError(f"{corpus} has no language '{language}'; it has {', '.join(known)}")
    return list(dict.fromkeys(chosen or known))


def read_out_of_domain(corpus: Path, languages: list[str]) -> Subset:
    """Read <lang>/test.tsv of the out-of-domain corpus, for those of the languages that it has.

    Raises:
        UserError: the corpus is missing or has none of the languages.
    """
    if not corpus.is_dir():
        raise UserError(f"{corpus} does not exist; correct the value of 'OUT_OF_DOMAIN' of db.sh")
    known = sorted(table.parent.name for table in corpus.glob("*/test.tsv"))
    tables = [corpus / language / "test.tsv" for language in languages if language in known]
    if not tables:
        raise UserError(f"{corpus}: has test.tsv of {', '.join(known) or 'no language'}, "
                        f"of none of {', '.join(languages)}. Fill the value of 'OUT_OF_DOMAIN' of db.sh")
    return read_subset(tables, domain=corpus.resolve().name, speaker_column="speaker")


def check(name: str, subset: Subset, trained: set[str]) -> None:
    """Raise UserError for a data set without utterances, or with a language that the training set lacks."""
    if not subset.utterances:
        example = next((f", the first because of {where}: {why}" for where, why in subset.skipped.items()), "")
        raise UserError(f"the data set {name} has no usable clip ({len(subset.skipped)} skipped{example})")
    for language in sorted(subset.languages() - trained):
        raise UserError(f"language '{language}' has clips in {name} but none in training; leave it out of --langs")


def write(folder: Path, subset: Subset, with_text: bool) -> None:
    """Write a data directory and say what is in it."""
    utterances = subset.utterances.values()
    skipped = [Skipped(where, why) for where, why in subset.skipped.items()]
    write_data_dir(folder, [*skipped, *(utterances if with_text else [replace(u, text=None) for u in utterances])])
    print(f"{folder}: {len(utterances)} clips in {len(subset.languages())} languages"
          + f"; {len(subset.skipped)} skipped, listed in {folder / 'skipped'}" * bool(subset.skipped))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commonvoice", required=True, help="folder of the languages (COMMONVOICE of db.sh)")
    parser.add_argument("--langs", nargs="+", help="language codes, e.g. pl fr zh-CN (default: all with train.tsv)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="where data sets go (default data)")
    parser.add_argument("--out_of_domain", type=Path, help="out-of-domain test corpus (default: none)")
    args = parser.parse_args(argv)
    if not args.commonvoice:
        raise UserError("no Common Voice folder. Fill the value of 'COMMONVOICE' of db.sh")

    corpus = Path(args.commonvoice)
    languages = choose_languages(corpus, args.langs)
    subsets = {
        name: read_subset([corpus / language / f"{split}.tsv" for language in languages], "commonvoice", "client_id")
        for name, split in SETS.items()
    }
    if args.out_of_domain:
        subsets["test_out"] = read_out_of_domain(args.out_of_domain, languages)
    for name, subset in subsets.items():
        check(name, subset, trained=subsets["train"].languages())
    for name, subset in subsets.items():
        write(args.data_dir / name, subset, with_text=True)
    for name in ("train", "valid"):
        write(args.data_dir / f"router_{name}", subsets[name], with_text=False)


if __name__ == "__main__":
    main()
