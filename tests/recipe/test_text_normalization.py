import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.text_normalization import CONVENTIONS, normalise


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


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Oʻzbek to‘g‘ri togʼ", "uz", "o'zbek to'g'ri tog'"),
        ("‘salom’ maʼno", "uz", "salom ma'no"),
        ("Pάʼ siʼ lōʼ", "fmp", "pά' si' lō'"),
        ("lâghʼ pfu’", "nla", "lâgh' pfu'"),
        ("krwâ' ndù’", "byv", "krwâ' ndù'"),
        ("’i’ matiq, buse’!", "tay", "'i' matiq buse'"),
        ("kúꞌ Ꞌa", "jgo", "kú' 'a"),
        ("ʼñu tsakʼiere", "mau", "'ñu tsak'iere"),
        ("Toç', 'us", "kbd", "toç' 'us"),
        ("'Yan 'biri' ’yar", "ha", "'yan biri 'yar"),
        ("’yiite 'biri'", "ff", "'yiite biri"),
        ("Ta’ 'kelma", "mt", "ta' kelma"),
        ("ang' 'neno'", "kln", "ang' neno"),
        ("koʼã 'mba'e'", "gn", "ko'ã mba'e"),  # only inside of words
        ("п’ять пʼять", "uk", "п'ять п'ять"),
        ("c’hwi cʼhwi", "br", "c'hwi c'hwi"),
        ("ʼña maʼ aʼa ʼ", "a-language-of-the-future", "ʼña maʼ a'a"),  # never quotation marks
        ("ŉ 'n", "af", "n n"),
        ("kʰa ma˥˩ a꞉", "a-language-of-the-future", "kha ma˥˩ a꞉"),
        ("ǃXóõ ǀǀ", "nmn", "ǃxóõ ǀǀ"),
    ],
)
def test_apostrophes_and_modifiers_that_are_letters(text, language, expected):
    assert normalise(text, language) == expected


@pytest.mark.parametrize(
    "text, language",
    [
        ("น้ำทำ", "th"),
        ("ຄຳໜ້າ", "lo"),
        ("և եւ", "hy-AM"),
        ("ციხეჼ", "bbl"),
        ("kóaⁿ", "nan-tw"),
        ("ㅋㅋ ㄱ", "ko"),
        ("می‌خواهم", "fa"),
        ("ශ්‍රී", "si"),
        ("র‍্যাব", "bn"),
        ("ᠰᠠᠷ᠎ᠠ", "mn"),
        ("བཀྲ་ཤིས", "bo"),
        ('צה"ל ג\'ירפה סנדוויץ\'', "he"),
        ("in·hèrn", "oc"),
        ("k̲ukoos.héix̲", "tli"),
        ("ᏣᎳᎩ", "chr"),
        ("ߒߞߏ", "nqo"),
        ("ꓡꓲꓢꓴ", "lis"),
        ("𞤆𞤵𞤤𞤢𞤪".lower(), "ff"),
        ("straße οδος", "de"),
    ],
)
def test_what_people_type_stays(text, language):
    assert normalise(text, language) == text


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("น้ํา ทํา", "th", "น้ำทำ"),  # as NFKC writes it
        ("นํ้า", "th", "น้ำ"),
        ("ຄໍາ", "lo", "ຄຳ"),
        ("ｶﾞｷﾞ ＡＢ", "ja", "ガギ ab"),
        ("അവന്‍", "ml", "അവൻ"),  # as old keyboards write it
        ("উত্‍", "bn", "উৎ"),
        ("می‌‌خواهم‌ ‌b", "fa", "می‌خواهم b"),
        ("ab\u200dcd", "de", "abcd"),
        ("བཀྲ་ཤིས།", "bo", "བཀྲ་ཤིས"),
        ("צה״ל ״שלום״", "he", 'צה"ל שלום'),
        ("Ի՞նչ", "hy-AM", "ինչ"),
        ("ســلام", "ar", "سلام"),
        ("имцIали цIыф IэкIэ гӀяхl МАГ|АРУЛ", "av", "имцӏали цӏыф ӏэкӏэ гӏяхӏ магӏарул"),
        ("21э 1 эх", "ady", "21э 1 эх"),
        ("ТIЫГ Işık", "ady", "тӏыг ışık"),
        ("ᲗᲘᲚ", "ka", "თილ"),
        ("ΟΔΟΣ", "el", "οδος"),
        ("STRAẞE", "de", "straße"),
        ("人食一點氣（lâng tsia̍h tsi̍t tiám khuì）", "nan-tw", "人食一點氣"),
        ("喙(tshuì)", "nan-tw", "喙"),
        ("tshuì（喙）", "nan-tw", "喙"),
        ("Lo̍k-káng (lâng)", "nan-tw", "lo̍k káng lâng"),
        ("你好（您好）", "zh-TW", "你好您好"),  # said, not spelt twice
    ],
)
def test_what_is_typed_in_several_ways_is_one(text, language, expected):
    assert normalise(text, language) == expected


@given(st.text(), st.sampled_from(["ady", "de", "fa", "he", "ml", "nan-tw", "th", "tr", "uz", "zh-CN"]))
def test_idempotent_and_blind_to_composition(text, language):
    once = normalise(text, language)
    assert normalise(once, language) == once
    assert normalise(unicodedata.normalize("NFD", text), language) == once
    assert once == " ".join(once.split())


def test_every_convention_is_documented():
    document = (Path(__file__).resolve().parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    for entry in (entry for entries in CONVENTIONS.values() for entry in entries):
        rows = [row for row in document.splitlines() if entry["reason"] in row]
        assert any(f"`{entry['languages']}`" in row for row in rows), entry


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
