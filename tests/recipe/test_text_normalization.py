import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.text_normalization import normalise


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Hello,  World!", "en", "hello world"),
        ("L’Été, c'est\tfini !", "fr", "l'été c'est fini"),
        ("'quoted' and ''twice'' – po'", "en", "quoted and twice po"),
        ("По-прежнему 15%", "ru", "по прежнему 15"),
        ("Col·laborar · ara", "ca", "col·laborar ara"),
        ("IŞIK İstanbul", "tr", "ışık istanbul"),
        ("IŞIK", "tr-TR", "ışık"),
        ("IŞIK", "tr_TR", "ışık"),
        ("IŞIK", "en", "işik"),
        ("ﬁne Ｆｕｌｌ", "en", "fine full"),
        ("हिन्दी में।", "hi", "हिन्दी में"),
        ("你好，世界。 约翰·史密斯", "zh-CN", "你好世界约翰史密斯"),
        ("我 用 iPhone 手机", "zh-CN", "我用 iphone 手机"),
        ("soft\u00adhyphen", "en", "softhyphen"),
        ("…?! ❤️", "en", ""),
    ],
)
def test_examples(text, language, expected):
    assert normalise(text, language) == expected


@given(st.text(), st.sampled_from(["de", "tr", "zh-CN"]))
def test_idempotent_and_blind_to_composition(text, language):
    once = normalise(text, language)
    assert normalise(once, language) == once
    assert normalise(unicodedata.normalize("NFD", text), language) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("1.000 oder 2,5 am 3. Mai", "de", "eintausend oder zwei fünf am drei mai"),  # cardinals alone
        ("1,000.50 or 7%", "en", "one thousand fifty or seven"),
        ("1,000.50 or 7%", "en_US", "one thousand fifty or seven"),
        ("10\u202f000 ans", "fr", "dix mille ans"),
        ("007 und 12345678", "de", "null null sieben und eins zwei drei vier fünf sechs sieben acht"),
        ("MP3", "en", "mp three"),
        ("२१ में", "hi", "२१ में"),  # num2words does not know these two, or fails
        ("2345", "am", "2345"),
        ("২১", "bn", "একুশ"),
        ("5 000", "nb-NO", "fem tusen"),
        ("twenty-one", "en", "twenty one"),
    ],
)
def test_numbers_spelled(text, language, expected):
    assert normalise(text, language, digits="spelled") == expected


@given(st.integers(0, 10**9), st.sampled_from(["de", "en", "fr", "pl", "ru", "tr"]))
def test_no_digit_is_left(number, language):
    once = normalise(f"{number} x", language, digits="spelled")
    assert not any(c.isdigit() for c in once)
    assert normalise(once, language, digits="spelled") == once
