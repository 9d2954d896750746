"""Stages 6 to 8: the text of each language, the word n-grams of it, and what they know of held-out transcripts."""

import shutil

import kenlm
import ngram_perplexity
import ngram_texts
import pytest
import train_ngram
from recipe_run import run_recipe
from shared.kaldi_tables import UserError, read_table
from test_token_table import write_data

SENTENCES = [("de", 1, "der hund bellt"), ("de", 1, "der hund schläft"), ("de", 1, "die katze schläft"),
             ("zh-CN", 1, "我用python写"), ("de en", 1, "der dog")]


@pytest.fixture
def texts(tmp_path):
    ngram_texts.main([str(write_data(tmp_path / "train", SENTENCES)), str(tmp_path / "ngram/texts")])
    return tmp_path / "ngram/texts"


def trained(texts, order=2):
    train_ngram.main([f"--ngram_num={order}", str(texts), str(texts.parent)])
    return texts.parent


def words_of(texts):
    return {path.stem: path.read_text(encoding="utf-8").splitlines() for path in texts.iterdir()}


# ----------------------------------------------------------------------------------------------------------------- text


def test_every_language_has_its_transcripts_word_by_word(texts):
    assert words_of(texts) == {"de": [text for language, _, text in SENTENCES if language == "de"],
                               "zh-CN": ["我 用 python 写"]}


def test_further_text_is_normalised_as_transcripts_are(tmp_path, capsys):
    train = write_data(tmp_path / "train", SENTENCES)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/zh-CN.txt").write_text("\ufeff你好，世界。\n\n…\n", encoding="utf-8")
    (tmp_path / "more/de.txt").write_text("Der HUND!\r\n21 Katzen\n", encoding="utf-8")
    ngram_texts.main([str(train), str(tmp_path / "texts"), "--text", str(tmp_path / "more"), "--digits", "spelled"])
    words = words_of(tmp_path / "texts")
    assert words["zh-CN"][1:] == ["你 好 世 界"]
    assert words["de"][3:] == ["der hund", "einundzwanzig katzen"]
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["de", "3", "2", "13"], ["zh-CN", "1", "1", "8"]
    ]  # fmt: skip


def test_further_text_that_is_not_there(tmp_path, texts):
    more, before = tmp_path / "more", words_of(texts)
    more.mkdir()
    arguments = [str(tmp_path / "train"), str(texts), "--text", str(more)]
    with pytest.raises(UserError, match="more has no file LANGUAGE.txt, such as de.txt"):
        ngram_texts.main(arguments)
    (more / "fr.txt").write_text("le chien\n", encoding="utf-8")
    with pytest.raises(UserError, match="fr.txt: the training set has no language 'fr'; it has: de, zh-CN"):
        ngram_texts.main(arguments)
    (more / "fr.txt").unlink()
    (more / "de.txt").write_bytes(b"der hund\n\xe9\n")
    with pytest.raises(UserError, match="de.txt:2 is not UTF-8"):
        ngram_texts.main(arguments)
    assert words_of(texts) == before
    assert [path.name for path in texts.parent.iterdir()] == ["texts"]


# -------------------------------------------------------------------------------------------------------------- n-grams


@pytest.mark.parametrize("order", [2, 3])
def test_an_ngram_gives_all_words_of_its_text_together_a_probability_of_one(texts, order):
    model = kenlm.Model(str(trained(texts, order) / "de.arpa"))
    assert model.order == order
    words = {word for line in words_of(texts)["de"] for word in line.split()} | {"</s>"}
    for history in ("<s>", "der", "hund", "katze"):
        state, after = kenlm.State(), kenlm.State()
        model.NullContextWrite(state)
        model.BaseScore(state, history, after)
        assert sum(10 ** model.BaseScore(after, word, kenlm.State()) for word in words) == pytest.approx(1, abs=1e-4)


def test_what_followed_a_word_in_the_text_is_likelier(texts):
    model = kenlm.Model(str(trained(texts) / "de.arpa"))
    assert model.score("der hund bellt") > model.score("die hund bellt") > model.score("hund die bellt")


def test_a_language_that_is_gone_leaves_no_ngram(texts):
    folder = trained(texts)
    assert {path.name for path in folder.glob("*.arpa")} == {"de.arpa", "zh-CN.arpa"}
    (texts / "zh-CN.txt").unlink()
    assert {path.name for path in trained(texts).glob("*.arpa")} == {"de.arpa"}
    (texts / "de.txt").unlink()
    with pytest.raises(UserError, match="texts has no file LANGUAGE.txt: run stage 6 first"):
        trained(texts)


def test_an_ngram_that_cannot_be_made_leaves_the_old_one(texts, monkeypatch):
    folder = trained(texts)
    before = (folder / "de.arpa").read_bytes()
    (texts / "de.txt").unlink()
    (texts / "de.txt").mkdir()
    with pytest.raises(UserError, match="kaldingram made no n-gram of .*de.txt: "):
        trained(texts)
    assert (folder / "de.arpa").read_bytes() == before and not list(folder.glob("*.unfinished"))
    monkeypatch.setattr(train_ngram, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="need kaldingram, which is not installed: pip install kaldingram ufal.kenlm"):
        trained(texts)


# ----------------------------------------------------------------------------------------------------------- perplexity


def test_perplexity(texts, tmp_path, capsys):
    valid = write_data(tmp_path / "valid", [("de", 1, "der hund bellt"), ("de", 1, "die hund"), ("fr", 1, "le chien")])
    folder = trained(texts)
    ngram_perplexity.main([str(folder), str(valid)])
    model = kenlm.Model(str(folder / "de.arpa"))
    log10 = model.score("der hund bellt") + model.score("die hund")
    row = ["valid", "de", "2", "5", "0.00", f"{10 ** (-log10 / 7):.1f}"]
    assert (folder / "perplexity.tsv").read_text(encoding="utf-8").splitlines()[1:] == ["\t".join(row)]
    assert capsys.readouterr().out.splitlines()[-1].split() == row


def test_unknown_words_are_left_out_of_the_perplexity_and_counted(texts, tmp_path):
    valid = write_data(tmp_path / "valid", [("de", 1, "der hund miaut")])
    folder = trained(texts)
    ngram_perplexity.main([str(folder), str(valid)])
    scores = list(kenlm.Model(str(folder / "de.arpa")).full_scores("der hund miaut"))
    log10 = sum(score for score, _, is_unknown in scores if not is_unknown)
    row = (folder / "perplexity.tsv").read_text(encoding="utf-8").splitlines()[1].split("\t")
    assert row[2:] == ["1", "3", "33.33", f"{10 ** (-log10 / 3):.1f}"]


def test_perplexity_of_no_ngram(texts, tmp_path):
    with pytest.raises(UserError, match="has no file LANGUAGE.arpa: run stage 7 first"):
        ngram_perplexity.main([str(texts.parent), str(tmp_path / "train")])
    (texts.parent / "de.arpa").write_text("der hund\n", encoding="utf-8")
    with pytest.raises(UserError, match="de.arpa has no words; give an ARPA file"):
        ngram_perplexity.main([str(texts.parent), str(tmp_path / "train")])


# ----------------------------------------------------------------------------------------------------------- the recipe


def test_the_recipe_decodes_with_ngrams_too(tiny_demo, tmp_path):
    folder = shutil.copytree(tiny_demo.folder, tmp_path / tiny_demo.folder.name)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/es.txt").write_text("Buenos días.\n", encoding="utf-8")
    options = "--use_ngram", "true", "--ngram_num", "2"
    missing = run_recipe(folder, *options, "--stage", "12", "--stop_stage", "12")
    assert missing.exit_code == 1 and "perplexity.tsv does not exist: run stage 8 first" in missing.output
    made = run_recipe(folder, *options, "--stage", "6", "--stop_stage", "8", "--lm_train_text", str(tmp_path / "more"))
    assert made.exit_code == 0, made.output
    assert {path.name for path in (folder / "exp/ngram_2").iterdir()} == {
        "es.arpa", "pt.arpa", "perplexity.tsv", "texts"
    }  # fmt: skip
    assert "buenos días" in (folder / "exp/ngram_2/texts/es.txt").read_text(encoding="utf-8").splitlines()
    for stages in ("12", "13"), ("17", "18"):
        again = run_recipe(folder, *options, "--stage", stages[0], "--stop_stage", stages[1], "--allowed_languages", "")
        assert again.exit_code == 0, again.output
    exp = folder / "exp" / tiny_demo.asr_exp.name
    for tag in ("decode_asr", "decode_asr_router"):
        assert read_table(exp / f"{tag}_ngram/test_in/text", allow_empty=True).keys() == read_table(
            exp / f"{tag}/test_in/text", allow_empty=True
        ).keys()
    assert "word n-grams" in (exp / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--use_ngram", "yes"], "--use_ngram yes: unknown; choose one of: true, false"),
        (["--ngram_num", "1"], "--ngram_num 1: unknown; choose one of: 2, 3, 4, 5"),
        (["--use_ngram", "true", "--streaming", "true"], "the CTC's best path: leave out --use_ngram"),
        (["--inference_tag", "decode_ngram"], "_ngram for word n-grams; leave it out"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    run = run_recipe(tmp_path, *options)
    assert run.exit_code == 1 and message in run.output and "Traceback" not in run.output
