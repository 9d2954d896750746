"""In which languages, and in which order, the words of a transcript are that mixes several.

Marks say it, <en> before what is in English; or scripts, where each of the languages has its own.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from corpora import Clip

from espnet_blrmoe.writing import join_texts
from shared.scripts import known_scripts, script_of
from shared.text_normalization import normalise

MARK = re.compile(r"<(/?[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)>")


class UnknownMark(ValueError):
    """A mark names a language that the transcript is not in."""


def transcript_of(clip: Clip, digits: str) -> tuple[str, str | None]:
    """What `utt2lang` says of a clip, and its normalised transcript, if it has one; raises as `read_mixed`."""
    if clip.text is None or len(clip.languages) == 1:
        return clip.language, None if clip.text is None else normalise(clip.text, clip.language, digits)
    sequence, text = read_mixed(clip.text, clip.languages, digits)
    return " ".join(sequence) or clip.language, text


def read_mixed(text: str, languages: Sequence[str], digits: str) -> tuple[list[str], str]:
    """Languages in their order, neighbours different, and the normalised transcript without marks.

        read_mixed("我想 <en> take a break </en> 了", ["zh-CN", "en"], "kept")
            == (["zh-CN", "en", "zh-CN"], "我想 take a break 了")

    Args:
        text: what precedes the first mark, or follows one that ends (</en>), is in the first language.
        languages: the transcript's, in any order; no language twice.
        digits: as `normalise` takes it.

    Returns:
        No languages where neither marks nor scripts tell them.

    Raises:
        UnknownMark: a mark names another language.
    """
    parts = [(code, normalise(part, code, digits)) for code, part in split_at_marks(text, languages)]
    if len(parts) == 1:
        return languages_by_script(parts[0][1], languages), parts[0][1]
    spoken = [(code, part) for code, part in parts if part]
    return [code for code, _ in groupby(code for code, _ in spoken)], join_texts(part for _, part in spoken)


def split_at_marks(text: str, languages: Sequence[str]) -> Iterable[tuple[str, str]]:
    """The parts of a text, each with its language: one part if there is no mark. Otherwise as `read_mixed`."""
    start, *marked = MARK.split(text)
    yield languages[0], start
    for mark, part in zip(marked[::2], marked[1::2]):
        if mark.removeprefix("/") not in languages:
            raise UnknownMark(f"a mark that names none of its languages, {', '.join(languages)}: <{mark}>")
        yield languages[0] if mark.startswith("/") else mark, part


def languages_by_script(text: str, languages: Sequence[str]) -> list[str]:
    """The languages of a text in their order; none where some share a script, or a letter is in a script of none."""
    owners = [(script, code) for code in languages for script in known_scripts(code)]
    owner = dict(owners)
    if len(owner) < len(owners) or not all(map(known_scripts, languages)):
        return []
    scripts = [script for script, _ in groupby(filter(None, map(script_of, text)))]
    if not all(script in owner for script in scripts):
        return []
    return [code for code, _ in groupby(owner[script] for script in scripts)]
