"""Common Voice, scripted and spontaneous, in exactly the layouts in which it is distributed."""

import re
import shlex

import corpus_folders
import prepare_corpora
import pytest
from corpus_folders import CORPORA_PAGE, CV_2019, prepare, write_audio, write_lines, write_rows
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError, read_table


def test_the_first_release_of_common_voice(root):
    corpus_folders.commonvoice(root, ("fr",), CV_2019)
    write_rows(root / "fr" / "train.tsv", CV_2019, [{"client_id": "a", "path": "0123abcd", "sentence": "un"}])
    write_audio(root / "fr" / "clips" / "0123abcd.mp3")  # its table has no endings
    (utterance,) = read_data_dir(prepare(root, "commonvoice") / "train")
    assert utterance.audio == str(root / "fr" / "clips" / "0123abcd.mp3")


def test_quotation_marks_are_text(root):
    data = prepare(corpus_folders.commonvoice(root, ("fr",)), "commonvoice")
    assert {u.text for u in read_data_dir(data / "train")} == {"l'été fini"}


def test_the_same_clip_name_in_two_languages(root):
    corpus_folders.commonvoice(root, ("de", "fr"))
    for language in ("de", "fr"):
        rows = [{"client_id": "a", "path": "1.mp3", "sentence": "un"}]
        write_rows(root / language / "train.tsv", CV_2019, rows)
        write_audio(root / language / "clips" / "1.mp3")
    assert len(read_data_dir(prepare(root, "commonvoice") / "train")) == 2


@pytest.mark.parametrize("folder, path", [("", ".."), ("", "."), ("", "fr"), ("fr", ".")])
def test_path_may_be_one_level_too_high_or_too_low(folder, path, root, monkeypatch):
    release = corpus_folders.commonvoice(root / "cv-corpus-24.0-2025-12-05", ("fr",))
    monkeypatch.chdir(release / folder)
    prepare_corpora.main(["--corpus", f"commonvoice={path}", "--data_dir", "data"])
    assert {u.language for u in read_data_dir("data/train")} == {"fr"}


def test_two_releases_of_common_voice(root):
    for release in ("cv-corpus-23.0-2025-09-05", "cv-corpus-24.0-2025-12-05"):
        corpus_folders.commonvoice(root / release, ("fr",))
    with pytest.raises(UserError, match="'fr' is in .*23.0-2025-09-05/fr and in .*24.0-2025-12-05/fr: name the folder"):
        prepare(root, "commonvoice")


LOCALES = {
    "brh": "کامن وائس امر کاریم", "btv": "آز خیرات تھو", "bsk": "muut̪o ba", "dar": "хӀедали бирар", "fub": "wiʼa mo",
    "kbd": "Psır toç'", "khw": "دُورہ گیتی", "mhr": "Тиде пӧрт", "sva": "მურყვამხენქა", "tmh": "ⵜⴰⵎⴰⵌⴰⵇ",
    "xyz": "ꓡꓲꓢꓴ",
}  # fmt: skip


@pytest.mark.parametrize("language", LOCALES)
def test_a_locale_is_written_as_its_corpus_writes_it(language, root, monkeypatch):
    monkeypatch.setitem(corpus_folders.SENTENCES, language, LOCALES[language])
    data = prepare(corpus_folders.commonvoice(root, (language,)), "commonvoice")
    assert len(read_data_dir(data / "train")) == 3
    assert read_table(data / "train" / "skipped") == {}


def test_a_sentence_in_another_script_than_most_of_its_locale(root):
    sentences = ["دُورہ گیتی", "اوہتی", "انوس", "خلفو", "دُوروت", "Владимир"]
    for split in corpus_folders.SPLITS:
        rows = [{"client_id": "a", "path": f"{i}.mp3", "sentence": text} for i, text in enumerate(sentences)]
        write_rows(root / "khw" / f"{split}.tsv", CV_2019, rows)
    for row in rows:
        write_audio(root / "khw" / "clips" / row["path"])
    data = prepare(root, "commonvoice")
    for data_set in ("train", "valid", "test_in"):
        (reason,) = read_table(data / data_set / "skipped").values()
        assert reason.startswith("in a script foreign to its language: Cyrl in 'khw', unless")


# Common Voice's spontaneous speech

@pytest.mark.parametrize("path", ["", "sps-corpus-3.0-2026-03-09-br"])
def test_spontaneous_speech(path, root):
    data = prepare(corpus_folders.spontaneous(root) / path, "commonvoice:spontaneous")
    for data_set in ("train", "valid", "test_in"):
        utterances = read_data_dir(data / data_set)
        assert {(u.language, u.domain, u.text) for u in utterances} == {("br", "spontaneous", "ya amañ")}
        assert (len(utterances), len({u.speaker for u in utterances})) == (3, 2)


def test_spontaneous_and_scripted_speech_of_a_language(root):
    corpus_folders.spontaneous(root, "fr", "Oui [disfluency] oui.")
    corpus_folders.commonvoice(root / "cv-corpus-24.0-2025-12-05", ("de", "fr"))
    train = read_data_dir(prepare(root, "commonvoice") / "train")
    assert sorted((u.language, u.text) for u in train) == [
        *[("de", "grüße 2 äpfel")] * 3, *[("fr", "l'été fini")] * 3, *[("fr", "oui oui")] * 3]


def test_the_documents_command(root):
    section = CORPORA_PAGE.read_text(encoding="utf-8").partition("### Spontaneous speech\n")[2]
    words = shlex.split(re.search(r"^\./run\.sh (.*)$", section, flags=re.MULTILINE)[1].replace("/data", str(root)))
    corpus_folders.spontaneous(root / "sps", "de", "Ja.")
    corpus_folders.commonvoice(root / "cv-corpus-24.0")
    prepare_corpora.main([words[0], *words[1].split(), *words[2:], "--data_dir", str(root / "made")])
    assert {u.domain for u in read_data_dir(root / "made" / "train")} == {"commonvoice", "spontaneous"}


def test_cells_of_spontaneous_speech_in_quotation_marks(root):
    corpus_folders.spontaneous(root, transcription='"Ya, ""Brest""\r\nha\tKemper."')
    table = root / "sps-corpus-3.0-2026-03-09-br" / "ss-corpus-br.tsv"
    write_lines(table, [*table.read_text(encoding="utf-8").splitlines(), "only\ttwo cells"])
    data = prepare(root, "commonvoice")
    assert {u.text for u in read_data_dir(data / "train")} == {"ya brest ha kemper"}
    assert list(read_table(data / "train" / "skipped").values()) == [
        "not a row of Common Voice: other columns than the first line"]

    write_lines(table, [*table.read_text(encoding="utf-8").splitlines(), '"' + 140_000 * "a"])
    with pytest.raises(UserError, match="ss-corpus-br.tsv:23: field larger .*: is a quotation mark not closed"):
        prepare(root, "commonvoice")


def test_a_quotation_mark_that_is_not_closed_swallows_no_rows(root):
    table = corpus_folders.spontaneous(root) / "sps-corpus-3.0-2026-03-09-br" / "ss-corpus-br.tsv"
    whole = table.read_text(encoding="utf-8")
    for end in ("", whole.partition("\n")[2].replace("\tYa,", '\t"Ya,"', 1)):  # to the end, or to the next such mark
        table.write_text(whole.replace("\tYa,", '\t"Ya,', 1) + end, encoding="utf-8")
        with pytest.raises(UserError, match="ss-corpus-br.tsv:2: a quotation mark is not closed"):
            prepare(root, "commonvoice")


def test_a_transcript_in_which_words_are_missing(root):
    corpus_folders.spontaneous(root)
    table = root / "sps-corpus-3.0-2026-03-09-br" / "ss-corpus-br.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("Ya, [noise]", "Ya, [Unclear]", 1), encoding="utf-8")
    data = prepare(root, "commonvoice")
    assert read_table(data / "train" / "skipped") == {f"{table}:2": "partly not transcribed: 'Ya, [Unclear] amañ.'"}


def test_spontaneous_speech_that_nobody_has_validated_yet(root):
    corpus_folders.spontaneous(root)
    table = root / "sps-corpus-3.0-2026-03-09-br" / "ss-corpus-br.tsv"
    text = table.read_text(encoding="utf-8")
    table.write_text(re.sub(r"\t(train|dev|test)\t", "\tunassigned\t", text), encoding="utf-8")
    with pytest.raises(UserError, match="no train set of commonvoice; .* with rows whose split is not 'unassigned'"):
        prepare(root, "commonvoice")


@pytest.mark.parametrize("name", ["commonvoice", "voxpopuli"])
def test_rows_of_other_columns_than_the_first_line_are_no_clips(name, root):
    table = next(getattr(corpus_folders, name)(root).rglob("*train.tsv"))
    head, first, *rows, last = table.read_text(encoding="utf-8").splitlines()
    write_lines(table, [head, first + "\tone more", *rows, last])
    data = prepare(root, name)
    reason = "not a row of .*: other columns than the first line"
    assert re.fullmatch(f"{table}:2 {reason}\n", (data / "train" / "skipped").read_text(encoding="utf-8"))

    write_lines(table, [head, first, *rows, last[: last.index("ü") + 1]])  # what is left of its sentence is not true
    prepare(root, name)
    assert re.fullmatch(f"{table}:4 {reason}\n", (data / "train" / "skipped").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name, table", [
    ("commonvoice", "de/train.tsv"), ("mls", "mls_german/train/transcripts.txt"),
    ("librispeech", "LibriSpeech/train-clean-100/84/121123/84-121123.trans.txt"),
    ("aishell", "data_aishell/transcript/aishell_transcript_v0.8.txt"),
    ("voxpopuli", "transcribed_data/de/asr_train.tsv"),
])
def test_a_table_that_is_cut_off(name, table, root):
    path = getattr(corpus_folders, name)(root) / table
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-3], encoding="utf-8")
    lines = len(text.splitlines())
    with pytest.raises(UserError, match=f"{table}:{lines} has no line end, so the file is cut off"):
        prepare(root, name)
