"""What a word is in any script: what stands between spaces, or one character of a script that writes none."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

HAN = "\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Han, kana, Thai, Lao, Burmese, Khmer: scripts without spaces between words, as a class of a regular expression
UNSPACED = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff{HAN}"
STACKING = "\u1039\u17d2"  # Burmese and Khmer signs that put the next consonant below the one before
VOWEL_SIGNS = "\u0e33\u0eb3"  # Thai and Lao sara am, which Unicode calls letters
_IS_UNSPACED = re.compile(f"[{UNSPACED}]").fullmatch


def split_words(text: str) -> list[str]:
    """The words of a text; in scripts without spaces each character, with its marks, is one.

    split_words("你好 world") == ["你", "好", "world"]
    """
    words: list[str] = []
    for before, character in pairwise(" " + text):
        if character.isspace():
            continue
        if not before.isspace() and belong_together(before, character):
            words[-1] += character
        else:
            words.append(character)
    return words


def join_texts(texts: Iterable[str]) -> str:
    """Texts one after the other, with spaces where `space_between` has them; empty ones are left out.

    join_texts(["你好", "世界", "world"]) == "你好世界 world"
    """
    joined = ""
    for text in filter(None, texts):
        joined += (space_between(joined, text) if joined else "") + text
    return joined


def space_between(text: str, following: str) -> str:
    """A space, but none between characters of scripts that write none; neither text is empty."""
    return "" if is_unspaced(text[-1]) and is_unspaced(following[0]) else " "


def belong_together(before: str, character: str) -> bool:
    """Whether two characters without a space between them are of one word."""
    if unicodedata.category(character)[0] == "M" or character in VOWEL_SIGNS or before in STACKING:
        return True
    return not is_unspaced(before) and not is_unspaced(character)


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script that writes no spaces between words."""
    return _IS_UNSPACED(character) is not None
