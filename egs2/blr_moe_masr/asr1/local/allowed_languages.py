"""Write the languages that each utterance may be recognised in (`utt2langs`), for decoding with --allowed_languages.

`--groups own` allows every utterance only its own language, or languages: what a user who knows the language gets.
`--groups "es,pt de,en"` allows it all languages of its group: what a user who knows two candidates gets. A
language that is in no group is a group by itself. `--groups pairs` makes groups of two, in the order of their codes. A
recording in which the language changes (`timeline` beside utt2lang) is allowed all of its languages, or those of their
groups.

Example:
    python local/allowed_languages.py --groups "es,pt de,en" dump/raw/test_in/utt2lang utt2langs
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from shared.data_dir import parse_timeline
from shared.kaldi_tables import UserError, read_table, write_table

from espnet_blrmoe.languages import label_languages
from espnet_blrmoe.program import start


def main(argv: list[str] | None = None) -> None:
    """Read utt2lang, write utt2langs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default="own", help='own, pairs, or groups of language codes: "es,pt de,en"')
    parser.add_argument("utt2lang")
    parser.add_argument("utt2langs")
    args = parser.parse_args(argv)
    utt2languages = read_languages(Path(args.utt2lang))
    group_of = groups_of(args.groups, {language for own in utt2languages.values() for language in own})
    write_table(args.utt2langs, {utt: allowed(own, group_of) for utt, own in utt2languages.items()})


def allowed(languages: Sequence[str], group_of: dict[str, str]) -> str:
    """These languages or their groups, comma-separated, each once."""
    groups = ",".join(group_of[language] for language in languages)
    return ",".join(dict.fromkeys(groups.split(",")))


def read_languages(utt2lang: Path) -> dict[str, Sequence[str]]:
    """The languages of every utterance, or of its timeline."""
    timeline = utt2lang.with_name("timeline")
    if timeline.is_file():
        return {utt: [code for _, _, code, _ in parse_timeline(line, f"{timeline}: {utt}")]
                for utt, line in read_table(timeline).items()}
    return {utt: label_languages(label) for utt, label in read_table(utt2lang).items()}


def groups_of(given: str, languages: Iterable[str]) -> dict[str, str]:
    """language -> the languages of its group, comma-separated.

    Args:
        given: `own`, `pairs` (of an odd number of languages, the last is by itself), or groups: "es,pt de,en".
        languages: those that there are; groups may name others.

    Raises:
        UserError: a language is in two groups.
    """
    codes = sorted(languages)
    named = {"own": codes, "pairs": [",".join(codes[n : n + 2]) for n in range(0, len(codes), 2)]}
    group_of: dict[str, str] = {}
    for group in named.get(given, given.split()):
        for language in group.split(","):
            if language in group_of:
                raise UserError(f"--allowed_languages: language {language} is in two groups, {group_of[language]!r} "
                                f"and {group!r}")
            group_of[language] = group
    return dict(zip(codes, codes)) | group_of


if __name__ == "__main__":
    start(main)
