"""What trainings read of `utt2lang` before they start: languages that exist, and which one an utterance counts as."""

from argparse import Namespace

import pytest

from espnet_blrmoe.bin.prune_experts import texts_of
from espnet_blrmoe.training.balancing import languages_of
from espnet_blrmoe.training.labels import check_labels


def write(path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def options(table: str) -> Namespace:
    data = [("wav.scp", "speech", "sound"), (table, "lid", "text")]
    return Namespace(train_data_path_and_name_and_type=data, valid_data_path_and_name_and_type=data)


def test_languages_in_any_number_and_at_any_time(tmp_path):
    table = write(tmp_path / "utt2lang", "a en", "b zh-CN en zh-CN", "c zh-CN:0:0.5 en:0.6:1", "d en:0.1:0.9")
    check_labels(options(table), ("en", "zh-CN"), needed=True)
    languages, language = languages_of(["a", "b", "c", "d"], table)
    assert [languages[n] for n in language] == ["en", "zh-CN", "zh-CN", "en"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b en fr", "utt2lang: utterance b has language 'fr', but this training is of en, de; correct the table"),
        ("b en:0:0.5 fr:0.5:1", "utt2lang: utterance b has language 'fr'"),
        ("b en:0:0.5 de:0.4:1", "utt2lang: utterance b: stretches of .* overlap or are not in the order of time$"),
        ("b en:0:8.5", "utt2lang: utterance b: expected language:start:end, from 0 to 1 of the utterance's length"),
    ],
)
def test_labels_that_a_training_refuses(line, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_labels(options(write(tmp_path / "utt2lang", "a en", line)), ("en", "de"))


def test_a_pruned_model_keeps_the_tokens_of_what_is_in_its_languages_only(tmp_path):
    text = write(tmp_path / "text", "a eins", "b one", "c uno and one", "d un ein")
    utt2lang = write(tmp_path / "utt2lang", "a de", "b en", "c es en", "d fr:0:0.5 de:0.5:1")
    assert texts_of(text, utt2lang, ("de", "en")) == ["eins", "one"]
    assert texts_of(text, utt2lang, ("en", "es")) == ["one", "uno and one"]
    with pytest.raises(ValueError, match="has no transcript in fr"):
        texts_of(text, utt2lang, ("en", "fr"))
