"""Which languages each utterance of a test set may be recognised in."""

import allowed_languages
import pytest
from shared.kaldi_tables import UserError, read_table, write_table


@pytest.mark.parametrize("groups, expected", [
    ("own", {"a": "pt", "b": "de", "c": "es", "d": "en", "e": "de"}),
    ("pairs", {"a": "es,pt", "b": "de,en", "c": "es,pt", "d": "de,en", "e": "de,en"}),
    ("de,es pt", {"a": "pt", "b": "de,es", "c": "de,es", "d": "en", "e": "de,es"}),
])
def test_groups(tmp_path, groups, expected):
    write_table(tmp_path / "utt2lang", {"a": "pt", "b": "de", "c": "es", "d": "en", "e": "de"})
    allowed_languages.main(["--groups", groups, str(tmp_path / "utt2lang"), str(tmp_path / "utt2langs")])
    assert read_table(tmp_path / "utt2langs") == expected


def test_of_an_odd_number_of_languages_the_last_has_no_pair():
    assert allowed_languages.groups_of("pairs", ["es", "en", "de"]) == {"de": "de,en", "en": "de,en", "es": "es"}


def test_a_language_in_two_groups():
    with pytest.raises(UserError, match="language es is in two groups, 'de,es' and 'es,pt'"):
        allowed_languages.groups_of("de,es es,pt", ["de"])
