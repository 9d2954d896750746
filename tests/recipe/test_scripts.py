import pytest
from shared.scripts import foreign_script


@pytest.mark.parametrize("text, language, script", [
    ("hello world", "en", None),
    ("привет", "ru", None),
    ("привет", "ru_RU", None),
    ("privet", "ru", "LATIN"),
    ("привет", "en", "CYRILLIC"),
    ("привет", "a-language-of-the-future", "CYRILLIC"),  # Latin, unless the table says otherwise
    ("zdravo", "sr", None),  # two scripts
    ("здраво", "sr", None),
    ("我用 iphone 手机", "zh-CN", None),  # a name amid the text
    ("hello", "zh-CN", "LATIN"),
    ("ひらがな", "zh-CN", "HIRAGANA"),
    ("ひらがなと漢字", "ja", None),
    ("안녕하세요", "ko", None),
    ("हिन्दी में", "hi", None),
    ("مرحبا", "ar", None),
    ("2024", "ru", None),  # no letters, no script
    ("", "ru", None),
])  # fmt: skip
def test_scripts(text, language, script):
    assert foreign_script(text, language) == script
