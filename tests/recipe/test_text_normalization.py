import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_normalization import normalise


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Hello,  World!", "en", "hello world"),
        ("L’Été, c'est\tfini !", "fr", "l'été c'est fini"),
        ("'quoted' and ''twice'' – po'", "en", "quoted and twice po"),
        ("По-прежнему 15%", "ru", "по прежнему 15"),
        ("Col·laborar · ara", "ca", "col·laborar ara"),
        ("IŞIK İstanbul", "tr", "ışık istanbul"),
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
