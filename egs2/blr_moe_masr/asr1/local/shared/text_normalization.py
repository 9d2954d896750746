"""Text normalisation: one spelling for transcripts, references and hypotheses."""

import re
import unicodedata
from functools import lru_cache

import num2words

DIGITS = ("kept", "spelled")
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc`\u00b4", "'"))
DOTTED_I = ("az", "tr")  # languages in which the lower case of I is ı
# Han, kana, Thai, Lao, Burmese, Khmer: scripts without spaces between words
UNSPACED = ("\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
            "\U00020000-\U0003ffff")
DECIMAL_POINT = ("bn", "en", "he", "ja", "kn", "ko", "te", "th", "zh")  # languages that write 1,000.5 and not 1.000,5
NUMBER_CODES = {"kk": "kz", "nb": "no", "nb-NO": "no", "nn-NO": "no"}  # num2words' own
FAULTY = ("am",)  # num2words 0.5.14 fails above 1,000


def normalise(text: str, language: str, digits: str = "kept") -> str:
    """Bring a text into the form in which it is learnt, recognised and scored; "" if it has no word.

    Compatibility forms are unified (NFKC) and letters are lower case. Letters, digits and combining marks stay;
    everything else separates words, except apostrophes inside words and the Catalan l·l. Spaces between characters
    of scripts without spaces vanish. Digits are "kept", or "spelled" as `spell_numbers` says.

        normalise("L’Été, c'est  fini !", "fr") == "l'été c'est fini"
        normalise("IŞIK", "tr") == "ışık"
        normalise("你好，世界。", "zh-CN") == "你好世界"
        normalise("21 ans", "fr", digits="spelled") == "vingt et un ans"
    """
    text = "".join(c for c in text.translate(APOSTROPHES) if unicodedata.category(c) != "Cf")  # soft hyphens, joiners
    text = unicodedata.normalize("NFKC", text)
    if digits == "spelled":
        text = spell_numbers(text, language)
    if without_region(language) in DOTTED_I:
        text = text.replace("I", "ı").replace("İ", "i")
    text = unicodedata.normalize("NFKC", text.lower())
    text = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "'·" else " " for c in text)
    text = re.sub(r"(?<!l)·|·(?!l)", " ", text)
    words = (word.strip("'") for word in text.split())
    text = " ".join(word for word in words if re.search(r"\w", word))
    return re.sub(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", text)


def without_region(language: str) -> str:
    """The first part of a language code: "zh" of "zh-CN" and of "zh_TW"."""
    return re.split("[-_]", language)[0]


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
