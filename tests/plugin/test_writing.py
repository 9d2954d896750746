"""What a word is in scripts with and without spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_blrmoe.writing import join_texts, split_words

LETTERS = "abü\u0301ñ你好かナกำ่\u0e35ກ\u1780\u17d2က\u1039\u103a한글'- \n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  guten  tag\n", ["guten", "tag"]),
        ("你好 world好", ["你", "好", "world", "好"]),
        ("カナがな", list("カナがな")),
        ("か\u3099", ["か\u3099"]),  # a mark belongs to its letter
        ("ที่นี่", ["ที่", "นี่"]),
        ("น้ำ", ["น้ำ"]),
        ("ຂ້ອຍ", ["ຂ້", "ອ", "ຍ"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),  # mo stands below kho
        ("မန္တလေး", ["မ", "န္တ", "လေး"]),
        ("서울은 좋다", ["서울은", "좋다"]),
    ],
)
def test_words_of_scripts(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("texts", "joined"),
    [([], ""), (["", "ja"], "ja"), (["ja", "", "nein"], "ja nein"), (["好", "好", "ja", "好"], "好好 ja 好")],
)
def test_joined_texts(texts, joined):
    assert join_texts(texts) == joined


@given(st.text(LETTERS))
def test_no_letter_is_lost_and_spaces_always_separate(text):
    words = split_words(text)
    assert "".join(words) == "".join(text.split())
    assert all(words)
    assert [word for part in text.split() for word in split_words(part)] == words
