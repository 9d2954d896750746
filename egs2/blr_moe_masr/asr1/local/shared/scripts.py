"""Which script a language is written in, to find transcripts that are in another language than they claim."""

import unicodedata
from collections import Counter
from functools import cache

from shared.text_normalization import without_region

# Script, as the names of its characters in Unicode begin -> languages that are not written in Latin letters.
LANGUAGES = {
    "ARABIC": "ar ckb fa ks ps sd skr ug ur",
    "ARMENIAN": "hy hyw",
    "BENGALI": "as bn mni",
    "CJK": "ja nan yue zh",
    "CYRILLIC": "ab ady ba be bg bxr ce cv kbd kk kv ky mdf mhr mk mn mrj myv os ru rue sah sr tg tt tyv udm uk uz",
    "DEVANAGARI": "bho brx doi hi kok mai mr ne sa",
    "ETHIOPIC": "am ti tig",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he yi",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "LATIN": "nan sr uz",  # and all that are not named here
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "OL": "sat",  # Ol Chiki
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAANA": "dv",
    "THAI": "th",
    "TIBETAN": "bo dz",
    "TIFINAGH": "zgh",
}
SHARE = 0.2  # this share of a transcript's letters must be in a script of its language; the others may be names


@cache
def scripts_of(language: str) -> frozenset[str]:
    """The scripts that a language is written in; "zh-CN", "zh_CN" and "zh" are the same."""
    scripts = [script for script, languages in LANGUAGES.items() if without_region(language) in languages.split()]
    return frozenset(scripts or ["LATIN"])


@cache
def script(character: str) -> str:
    """The script of a letter; "" for everything else."""
    if unicodedata.category(character) not in ("Ll", "Lo", "Lt", "Lu"):
        return ""
    return unicodedata.name(character, "").split(" ")[0]


def foreign_script(text: str, language: str) -> str | None:
    """The script of a text if its language is not written in it; None if all is well, or it has no letters.

        foreign_script("spasibo bolshoe", "ru") == "LATIN"
        foreign_script("我用 iphone 手机", "zh-CN") is None
    """
    letters = Counter(map(script, text))
    del letters[""]
    own = sum(letters[name] for name in scripts_of(language))
    if not letters or own >= SHARE * letters.total():
        return None
    return letters.most_common(1)[0][0]
