"""Text normalisation: one spelling for transcripts, references and hypotheses."""

import re
import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc`\u00b4", "'"))
DOTTED_I = ("az", "tr")  # languages in which the lower case of I is ı
# Han, kana, Thai, Lao, Burmese, Khmer: scripts without spaces between words
UNSPACED = ("\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
            "\U00020000-\U0003ffff")


def normalise(text: str, language: str) -> str:
    """Bring a text into the form in which it is learnt, recognised and scored; "" if it has no word.

    Compatibility forms are unified (NFKC) and letters are lower case. Letters, digits and combining marks stay;
    everything else separates words, except apostrophes inside words and the Catalan l·l. Spaces between characters
    of scripts without spaces vanish.

        normalise("L’Été, c'est  fini !", "fr") == "l'été c'est fini"
        normalise("IŞIK", "tr") == "ışık"
        normalise("你好，世界。", "zh-CN") == "你好世界"
    """
    text = "".join(c for c in text.translate(APOSTROPHES) if unicodedata.category(c) != "Cf")  # soft hyphens, joiners
    text = unicodedata.normalize("NFKC", text)
    if language in DOTTED_I:
        text = text.replace("I", "ı").replace("İ", "i")
    text = unicodedata.normalize("NFKC", text.lower())
    text = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "'·" else " " for c in text)
    text = re.sub(r"(?<!l)·|·(?!l)", " ", text)
    words = (word.strip("'") for word in text.split())
    text = " ".join(word for word in words if re.search(r"\w", word))
    return re.sub(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", text)
