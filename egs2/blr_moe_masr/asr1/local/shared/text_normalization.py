"""Text normalisation: one spelling for transcripts, references and hypotheses, which is the one that people type.

What is particular to single languages is in conventions.toml.
"""

import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import num2words

from espnet_blrmoe.writing import HAN, UNSPACED

DIGITS = ("kept", "spelled")
CONVENTIONS = tomllib.loads(Path(__file__).with_name("conventions.toml").read_text(encoding="utf-8"))
# What is typed for an apostrophe, also the Armenian one and the Hebrew geresh; the Hebrew gershayim; and what stands
# inside of words without being part of them: Armenian marks of questions and stress, and strokes that stretch a line
TYPING = str.maketrans(
    dict.fromkeys("\u2019\u2018\u201b\u2032`\u00b4\u055a\u05f3\uff07", "'")
    | {"\u0149": "'n", "\u05f4": '"'}
    | dict.fromkeys("\u055b\u055c\u055e\u0640\u07fa", "")
)
LETTER_APOSTROPHES = str.maketrans(dict.fromkeys("\u02bc\u02bb\ua78c", "'"))  # never quotation marks
# Composed letters that people type; NFKC would take them apart: Thai and Lao sara am, Lao ho no and ho mo, Armenian
# ech-yiwn, Tush nar, Pe̍h-ōe-jī's raised n, and single Korean letters.
TYPED = "\u0e33\u0eb3\u0edc\u0edd\u0587\u10fc\u207f\u3131-\u3163\u3165-\u318e"
SARA_AM = {"\u0e4d([\u0e48-\u0e4b]?)\u0e32": "\u0e33", "\u0ecd([\u0ec8-\u0ecb]?)\u0eb2": "\u0eb3"}
# Letters that old keyboards write as a consonant, a virama and a joiner: Malayalam's chillus and Bengali's khanda ta
JOINED_LETTERS = {
    "\u0d23\u0d4d\u200d": "\u0d7a", "\u0d28\u0d4d\u200d": "\u0d7b", "\u0d30\u0d4d\u200d": "\u0d7c",
    "\u0d32\u0d4d\u200d": "\u0d7d", "\u0d33\u0d4d\u200d": "\u0d7e", "\u0d15\u0d4d\u200d": "\u0d7f",
    "\u09a4\u09cd\u200d(?![\u0980-\u09ff])": "\u09ce",
}  # fmt: skip
JOINERS = "\u200c\u200d\u180e"
# Arabic, Indic and Mongolian scripts, in which a joiner between two characters is part of the spelling
JOINING = "\u0600-\u0dff\u1800-\u180d\u180f-\u18af\U00011000-\U000119ff"
TSHEG = "\u0f0b"
# Signs that are part of a word between certain letters: the Catalan and Gascon middle dot, the Hebrew gershayim, and
# Tibetan's mark between syllables
SIGNS = rf"(?<=l)·(?=l)|(?<=[ns])·(?=h)|(?<=[א-ת])\"(?=[א-ת])|(?<=[\u0f40-\u0fbc]){TSHEG}(?=[\u0f40-\u0fbc])"
PALOCHKA = r"(?<=[\u0400-\u04bf\u04c1-\u04ff])[Il|1]|[Il](?=[\u0400-\u04bf\u04c1-\u04ff])"
DECIMAL_POINT = ("bn", "en", "he", "ja", "kn", "ko", "te", "th", "zh")  # languages that write 1,000.5 and not 1.000,5
NUMBER_CODES = {"kk": "kz", "nb": "no", "nb-NO": "no", "nn-NO": "no"}  # num2words' own
FAULTY = ("am",)  # num2words 0.5.14 fails above 1,000


def normalise(text: str, language: str, digits: str = "kept") -> str:
    """Bring a text into the form in which it is learnt, recognised and scored; "" if it has no word.

    Compatibility forms are unified (NFKC), except for letters that people type, and letters are lower case. Letters,
    digits and combining marks stay; everything else separates words, except what a language writes inside of them:
    apostrophes, the Catalan l·l, joiners and a few others. Spaces between characters of scripts without spaces vanish.
    Digits are "kept", or "spelled" as `spell_numbers` says.

        normalise("L’Été, c'est  fini !", "fr") == "l'été c'est fini"
        normalise("IŞIK", "tr") == "ışık"
        normalise("Togʻ", "uz") == "tog'"
        normalise("你好，世界。", "zh-CN") == "你好世界"
        normalise("21 ans", "fr", digits="spelled") == "vingt et un ans"
    """
    if convention("two_spellings", language):
        text = in_han(text)
    text = compose(without_invisible(text.translate(TYPING)))
    if convention("palochka", language):
        text = re.sub(PALOCHKA, "\u04c0", text)
    if digits == "spelled":
        text = spell_numbers(text, language)
    text = lower_case(text, language)
    signs = SIGNS + (r"|(?<=\w)\.(?=\w)" if convention("full_stop", language) else "")
    inside = {sign.start() for sign in re.finditer(signs, text)}
    text = "".join(c if i in inside or is_letter(c) else " " for i, c in enumerate(text))
    words = (with_letters_only(word, language) for word in text.split())
    text = " ".join(word for word in words if re.search(r"[^\W\u02bb\u02bc\ua78c]", word))
    return unicodedata.normalize("NFC", re.sub(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", text))


def counted(text: str) -> str:
    """A normalised text as its errors are counted: what looks alike is alike, however it is typed.

    Compatibility forms are taken apart (NFKC), joiners vanish, and Tibetan syllables are words.
    """
    text = unicodedata.normalize("NFKC", re.sub(f"[{JOINERS}]", "", text))
    return text.replace(TSHEG, " ")


def without_region(language: str) -> str:
    """The first part of a language code: "zh" of "zh-CN" and of "zh_TW"."""
    return re.split("[-_]", language)[0]


@cache
def convention(kind: str, language: str) -> dict[str, str] | None:
    """What conventions.toml says of a language; None: nothing."""
    code = without_region(language)
    return next((entry for entry in CONVENTIONS[kind] if code in entry["languages"].split()), None)


def in_han(text: str) -> str:
    """Of a text in two spellings, with one of them in brackets, the one in Han characters; otherwise the text."""
    spellings = re.split(r"[()（）\[\]【】]", text)
    return " ".join(part for part in spellings if re.search(f"[{HAN}]", part)) or text


def compose(text: str) -> str:
    """NFKC, but with the letters that people type."""
    if text.isascii():
        return text
    text = re.sub(f"[^{TYPED}]+", lambda run: unicodedata.normalize("NFKC", run[0]), text)
    for parts, letter in SARA_AM.items():
        text = re.sub(parts, rf"\1{letter}", text)
    return unicodedata.normalize("NFC", text)


def without_invisible(text: str) -> str:
    """The text without characters that cannot be seen, such as soft hyphens; joiners stay where they are spelling."""
    if text.isascii():
        return text
    text = "".join(c for c in text if c in JOINERS or unicodedata.category(c) != "Cf")
    if not any(joiner in text for joiner in JOINERS):
        return text
    for parts, letter in JOINED_LETTERS.items():
        text = re.sub(parts, letter, text)
    text = re.sub(f"([{JOINERS}])[{JOINERS}]+", r"\1", text)
    return re.sub(f"(?<![{JOINING}])[{JOINERS}]|[{JOINERS}](?![{JOINING}])", "", text)


def lower_case(text: str, language: str) -> str:
    """The text in lower case; Cherokee, whose capitals are its usual letters, in these."""
    if convention("dotless_i", language):
        text = text.replace("I", "ı").replace("İ", "i")
    text = re.sub("[\u13f8-\u13fd\uab70-\uabbf]", lambda letter: letter[0].upper(), text.lower())
    return compose(text)


@cache
def is_letter(character: str) -> bool:
    """Whether a character belongs to a word: letters, marks, digits, joiners and apostrophes do."""
    if character in JOINERS + "'" or unicodedata.category(character)[0] in "LMN":
        return True
    return unicodedata.name(character, "").startswith("MODIFIER LETTER")  # of tone, which are symbols in Unicode


def with_letters_only(word: str, language: str) -> str:
    """A word with one sign for its apostrophes, and with those at its ends only if they are letters."""
    if own := convention("apostrophe", language):
        word = word.translate(LETTER_APOSTROPHES)
        return re.sub(own["quotation"], "", word) if "quotation" in own else word
    word = word.strip("'")
    return word[:1] + word[1:-1].translate(LETTER_APOSTROPHES) + word[1:][-1:]


def spell_numbers(text: str, language: str) -> str:
    """Write numbers in words, as cardinals; a language that num2words does not know keeps its digits.

    Numbers of more than six digits or with a zero in front are read digit by digit. A decimal sign is not read.

        spell_numbers("1.000 oder 2,5", "de").split() == ["eintausend", "oder", "zwei", ",", "fünf"]
    """
    if (code := number_code(language)) is None:
        return text
    signs = "," if without_region(language) in DECIMAL_POINT else r"\. "
    thousands = rf"(?<![\d.,])\d{{1,3}}([{signs}])\d{{3}}(?:\1\d{{3}})*(?!\1?\d)"
    text = re.sub(thousands, lambda number: number[0].replace(number[1], ""), text)
    return re.sub(r"\d+", lambda number: f" {_spell(number[0], code)} ", text)


def number_code(language: str) -> str | None:
    """num2words' code of a language; None if it does not know it."""
    language = NUMBER_CODES.get(language, language)
    codes = (language.replace("-", "_"), without_region(language))
    return next((code for code in codes if code in num2words.CONVERTER_CLASSES and code not in FAULTY), None)


@lru_cache(maxsize=100_000)
def _spell(digits: str, code: str) -> str:
    numbers = digits if len(digits) > 6 or digits[0] == "0" else [digits]
    return " ".join(num2words.num2words(int(number), lang=code) for number in numbers)
