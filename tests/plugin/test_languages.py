"""Lists of allowed languages as people write them."""

import pytest

from espnet_blrmoe.languages import AllowedLanguages

LANGUAGES = ["en", "de", "es", "zh-CN"]


@pytest.mark.parametrize(
    ("given", "starts", "codes"),
    [
        ("en, de", (0,), (("en", "de"),)),
        (["en", "de"], (0,), (("en", "de"),)),
        ("en,de 12:es", (0, 12), (("en", "de"), ("es",))),
        ("12.5:es 0:en", (0, 12.5), (("en",), ("es",))),
        ("12:es", (0, 12), (tuple(LANGUAGES), ("es",))),
        ({0: "en,de", 12: ["es"]}, (0, 12), (("en", "de"), ("es",))),
    ],
)
def test_a_list_is_read(given, starts, codes):
    allowed = AllowedLanguages.of(given, LANGUAGES)
    assert (allowed.starts, allowed.codes) == (starts, codes)
    assert AllowedLanguages.of(allowed, LANGUAGES) is allowed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "the list of languages is empty"),
        ("en 12:", "the list of languages is empty"),
        ([], "the list of languages is empty"),
        (5, "languages must be codes, as in 'en,de' or .*, not 5"),
        ("en 12:fr", "unknown language 'fr'; this model knows en, de, es, zh-CN"),
        ("en soon:es", "begins at a number of seconds, as in 12:fr, not at 'soon'"),
        ("en -1:es", "begins at a number of seconds, as in 12:fr, not at '-1'"),
        ("en nan:es", "begins at a number of seconds, as in 12:fr, not at 'nan'"),
        ("en de", "'en de' has two lists of languages from second 0 on; write codes with commas and no spaces"),
        ("en 1:de 1.0:es", "has two lists of languages from second 1.0 on"),
    ],
)
def test_mistakes_in_a_list(given, message):
    with pytest.raises(ValueError, match=message):
        AllowedLanguages.of(given, LANGUAGES)
