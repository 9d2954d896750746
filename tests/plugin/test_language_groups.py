"""Groups of languages that share an expert, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import one_sentence

from espnet_blrmoe.language_groups import LanguageGroups

LANGUAGES = ("es", "de", "pt", "fr")


@pytest.mark.parametrize(
    ("experts", "names", "expert_of", "text"),
    [
        (None, ("es", "de", "pt", "fr"), None, "es, de, pt, fr"),
        ({}, ("es", "de", "pt", "fr"), None, "es, de, pt, fr"),
        ({"es": ["es"]}, ("es", "de", "pt", "fr"), None, "es, de, pt, fr"),
        ({"iberian": "es"}, ("iberian", "de", "pt", "fr"), None, "iberian (es), de, pt, fr"),
        ({"iberian": ["pt", "es"]}, ("iberian", "de", "iberian", "fr"), (0, 1, 0, 2), "iberian (es, pt), de, fr"),
        ({"es": "es,fr", "b": ["pt", "de"]}, ("es", "b", "b", "es"), (0, 1, 1, 0), "es (es, fr), b (de, pt)"),
        ({"all": LANGUAGES}, ("all",) * 4, (0, 0, 0, 0), "all (es, de, pt, fr)"),
    ],
)
def test_experts_have_the_order_of_their_first_languages(experts, names, expert_of, text):
    groups = LanguageGroups.of(experts, LANGUAGES)
    assert (groups.languages, groups.names, groups.expert_of, str(groups)) == (LANGUAGES, names, expert_of, text)


@st.composite
def written_groups(draw) -> tuple[dict[str, list[str]], list[str]]:
    """Groups of some of up to six languages, and the languages."""
    languages = draw(st.permutations(["ca", "de", "en", "es", "fr", "pt"]))[: draw(st.integers(1, 6))]
    group = {code: draw(st.sampled_from(["", "a", "b", "c"])) for code in languages}
    names = draw(st.permutations(sorted({name for name in group.values() if name})))
    return {name: [code for code in languages if group[code] == name] for name in names}, languages


@given(written_groups())
def test_what_is_written_again_is_read_as_the_same(written):
    experts, languages = written
    groups = LanguageGroups.of(experts, languages)
    assert LanguageGroups.of(groups.named(), languages) == groups
    assert groups.named() == experts
    assert sum(map(len, experts.values())) - len(experts) == len(languages) - len(groups.experts)
    for code, name in zip(languages, groups.names):
        assert code in experts.get(name, [name])
    assert list(groups.experts) == sorted(groups.experts, key=groups.names.index)


@given(written_groups(), st.data())
def test_cut_down_and_with_one_more(written, data):
    groups = LanguageGroups.of(*written)
    kept = sorted(data.draw(st.sets(st.integers(0, len(groups.languages) - 1), min_size=1)))
    smaller = groups.cut_down(kept)
    assert smaller.languages == tuple(groups.languages[n] for n in kept)
    assert [groups.names[n] for n in kept] == list(smaller.names)
    assert LanguageGroups.of(smaller.named(), smaller.languages) == smaller
    group = data.draw(st.sampled_from([None, *groups.experts]))
    larger = groups.with_one_more("it", group)
    assert larger.experts == groups.experts + (("it",) if group is None else ())
    assert LanguageGroups.of(larger.named(), larger.languages) == larger
    assert larger.cut_down(range(len(groups.languages))) == groups


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (["es", "pt"], "encoder_conf: experts must be groups by name, as in {romance: [es, pt]}, not ['es', 'pt']"),
        ("romance", "must be groups by name"),
        (2, "must be groups by name"),
        ({"romance": ["es", "it"]}, "encoder_conf: experts: 'romance': unknown language 'it'; this model knows es, de"),
        ({"romance": []}, "encoder_conf: experts: 'romance': the list of languages is empty"),
        ({"romance": None}, "encoder_conf: experts: 'romance' must be a list of languages, not None"),
        ({"romance": {"es": 1}}, "'romance' must be a list of languages, not {'es': 1}"),
        ({"romance": 3}, "'romance' must be a list of languages, not 3"),
        ({"nordic": [False]}, "'nordic': language False is not a string; put the code in quotation marks"),
        ({False: ["es"]}, "encoder_conf: experts: the name False is not a string; put it in quotation marks"),
        ({"a": ["es", "es"]}, "'a': language 'es' is listed twice"),
        ({"a": ["es", "de"], "b": ["pt", "de"]}, "experts: 'de' is in two groups, 'a' and 'b'; take it out of one"),
        ({"es": ["pt", "de"]}, "experts: language 'es' is not in the group of its name; rename the group"),
    ],
)
def test_what_is_wrong_is_told(experts, message):
    assert message in one_sentence(LanguageGroups.of, experts, LANGUAGES)


@pytest.mark.parametrize(
    ("language", "group", "message"),
    [
        ("it", "germanic", "no expert is called 'germanic'; the model's are romance (es, pt), de, fr"),
        ("it", "es", "no expert is called 'es'"),
        ("romance", None, "a group is called 'romance' already; join it with --group romance"),
    ],
)
def test_a_language_that_cannot_be_added(language, group, message):
    groups = LanguageGroups.of({"romance": ["es", "pt"]}, LANGUAGES)
    assert message in one_sentence(groups.with_one_more, language, group)
