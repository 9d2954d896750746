import pytest
from shared.scripts import foreign_script, used_scripts


@pytest.mark.parametrize("text, language, script", [
    ("hello world", "en", None),
    ("привет", "ru", None),
    ("привет", "ru_RU", None),
    ("privet", "ru", "Latn"),
    ("privet", "rus", "Latn"),
    ("привет", "en", "Cyrl"),
    ("zdravo", "sr", None),  # two scripts
    ("здраво", "sr", None),
    ("oʻzbek", "uz", None),
    ("ўзбек", "uz", None),
    ("اۉزبېک", "uz", None),
    ("ਪੰਜਾਬੀ", "pa-IN", None),
    ("پنجابی", "pa-IN", None),
    ("我用 iphone 手机", "zh-CN", None),  # a name amid the text
    ("hello", "zh-CN", "Latn"),  # CLDR has such locales for transliteration
    ("namaste", "hi", "Latn"),
    ("ひらがな", "zh-CN", "Hira"),
    ("ひらがなと漢字", "ja", None),
    ("粵語", "zh-HK", None),
    ("안녕하세요", "ko", None),
    ("हिन्दी में", "hi", None),
    ("नेपाली", "ne-NP", None),
    ("مرحبا", "ar", None),
    ("ᱥᱟᱱᱛᱟᱲᱤ", "sat", None),
    ("ⵜⴰⵎⴰⵣⵉⵖⵜ", "zgh", None),
    ("romontsch", "rm-sursilv", None),
    ("Psır baxheu", "kbd", None),  # CLDR says Cyrillic
    ("Псыр", "kbd", None),
    ("鹿港人", "nan-tw", None),
    ("Lo̍k-káng", "nan-tw", None),
    ("привет", "a-language-of-the-future", None),  # no opinion
    ("კაცი", "sva", None),
    ("2024", "ru", None),  # no letters, no script
    ("ʼ ʰ", "ru", None),  # of no particular script
    ("", "ru", None),
])  # fmt: skip
def test_scripts(text, language, script):
    assert foreign_script(text, language) == script


def test_what_most_sentences_of_a_corpus_use():
    assert used_scripts(["کی", "ہݸ", "چھا", "hello", "2024", ""]) == {"Arab", "Latn"}  # each in a fifth, at least
    assert used_scripts(["کی hello", "ہݸ", "چھا", "آز", "خیرات", "привет"]) == {"Arab"}
    assert used_scripts(["2024", ""]) == frozenset()
    assert foreign_script("привет", "khw", frozenset({"Arab"})) == "Cyrl"
    assert foreign_script("привет", "ru", frozenset({"Arab"})) is None, "it is known of Russian"
