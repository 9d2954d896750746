"""Which scripts a language is written in, to find transcripts that are in another language than they claim.

Scripts have their codes of ISO 15924. CLDR, as Babel has it, says in which scripts the languages are written that it
has a locale of. Of the others it only guesses, so there the corpus itself says what most of its sentences use.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

from babel.core import get_global
from babel.localedata import locale_identifiers
from fontTools import unicodedata as unicode_scripts

from shared.text_normalization import convention, without_region

# CLDR's names for what is written in one or several scripts of Unicode
COMBINED = {"Hanb": "Hani Bopo", "Hans": "Hani", "Hant": "Hani", "Jpan": "Hani Hira Kana", "Kore": "Hang Hani"}
SHARE = 0.2  # this share of a transcript's letters must be in a script of its language; the others may be names


@cache
def known_scripts(language: str) -> frozenset[str]:
    """The scripts that a language is written in; "zh-CN", "zh_CN" and "zh" are the same. Empty: nobody knows."""
    if own := convention("scripts", language):
        return frozenset(own["scripts"].split())
    code = without_region(get_global("language_aliases").get(without_region(language), language))  # rus: ru
    locales = [locale.split("_") for locale in locale_identifiers()]
    if [code] not in locales:
        return frozenset()
    likely = [subtags.split("_") for subtags in get_global("likely_subtags").values()]
    names = {part for other, *parts in locales + likely if other == code for part in parts if len(part) == 4}
    return frozenset(" ".join(COMBINED.get(name, name) for name in names).split())


def used_scripts(texts: Iterable[str]) -> frozenset[str]:
    """The scripts that a fair share of texts is in, each text in that of most of its letters."""
    texts_in = Counter(main for text in texts if (main := main_script(text)))
    return frozenset(name for name, number in texts_in.items() if number >= SHARE * texts_in.total())


def foreign_script(text: str, language: str, used: frozenset[str] = frozenset()) -> str | None:
    """The script of a text if its language is not written in it; None if all is well, or if nobody knows.

        foreign_script("spasibo bolshoe", "ru") == "Latn"
        foreign_script("我用 iphone 手机", "zh-CN") is None
        foreign_script("хабар", "khw", used=frozenset({"Arab"})) == "Cyrl"

    Args:
        text: a sentence; one without letters is in no script.
        language: its code.
        used: what the language's corpus is written in; counts if it is not known of the language itself.
    """
    letters, scripts = letters_in(text), known_scripts(language) or used
    own = sum(letters[name] for name in scripts)
    return None if not scripts or own >= SHARE * letters.total() else main_script(text)


def main_script(text: str) -> str | None:
    """The script of most letters of a text; None if it has none."""
    return next((name for name, _ in letters_in(text).most_common(1)), None)


def letters_in(text: str) -> Counter[str]:
    """Script -> how many letters of it a text has."""
    letters = Counter(map(script_of, text))
    del letters[""]
    return letters


@cache
def script_of(character: str) -> str:
    """The script of a letter; "" for everything else, also for letters of no particular script."""
    if unicodedata.category(character) not in ("Ll", "Lo", "Lt", "Lu"):
        return ""
    code = unicode_scripts.script(character)
    return "" if code in ("Zinh", "Zyyy", "Zzzz") else code
