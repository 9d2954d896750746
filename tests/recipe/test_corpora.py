"""Every corpus is read in exactly the layout in which it is distributed, up to audio that stage 3 can read."""

import json
import re
import shlex
from pathlib import Path

import corpus_folders
import format_wav_scp
import prepare_corpora
import pytest
from corpus_folders import CV_2019, write_audio, write_lines, write_rows
from shared import find_corpora
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError, read_table

CORPORA_PAGE = Path(__file__).resolve().parents[2] / "docs" / "corpora.md"
# Corpus -> languages, utterances and speakers of its training set.
CORPORA = {
    "commonvoice": ({"de", "zh-CN"}, 6, 2),  # a client is one speaker, in both languages
    "fleurs": ({"de", "zh-CN"}, 4, 2),  # speakers unknown: one for each file name
    "mls": ({"de"}, 3, 2),
    "librispeech": ({"en"}, 12, 4),
    "aishell": ({"zh-CN"}, 2, 1),
    "voxpopuli": ({"de"}, 3, 2),
    "manifest": ({"de"}, 2, 2),
}


def prepare(root, name, *options):
    """Run stage 1; returns the folder of the data sets."""
    data = root.parent / "data"
    prepare_corpora.main(["--corpus", f"{name}={root}", "--data_dir", str(data), *map(str, options)])
    return data


@pytest.fixture
def root(tmp_path):
    return tmp_path / "corpus"


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_as_it_is_distributed(name, root):
    languages, utterances, speakers = CORPORA[name]
    data = prepare(getattr(corpus_folders, name)(root), name)
    assert sorted(path.name for path in data.iterdir()) == ["test_in", "train", "valid"]
    train = read_data_dir(data / "train")
    assert {u.language for u in train} == languages
    assert (len(train), len({u.speaker for u in train})) == (utterances, speakers)
    assert {u.domain for u in train} == {name}
    assert all(u.id.startswith(f"{u.speaker}-{u.language}-") for u in train)
    for data_set in ("train", "valid", "test_in"):
        assert read_table(data / data_set / "skipped") == {}

    target = root.parent / "dump"
    format_wav_scp.main([str(data / "train"), str(target)])
    assert len(read_data_dir(target)) == utterances, "audio in the corpus's own format"


def test_splits_are_those_of_the_corpus(root):
    data = prepare(corpus_folders.librispeech(root), "librispeech")
    for data_set, subsets in (("train", {"train-clean-100", "train-other-500"}), ("valid", {"dev-clean"}),
                              ("test_in", {"test-clean", "test-other"})):
        assert {u.audio.split("/")[-4] for u in read_data_dir(data / data_set)} == subsets


@pytest.mark.parametrize("name, text", [
    ("librispeech", "go it's on"), ("aishell", "而对楼市成交"), ("mls", "grüße zwei äpfel"),
    ("voxpopuli", "grüße zwei äpfel"), ("manifest", "grüße"),
])
def test_transcripts_are_normalised(name, text, root):
    data = prepare(getattr(corpus_folders, name)(root), name)
    assert {u.text for u in read_data_dir(data / "train")} == {text}


def test_digits_spelled(root):
    data = prepare(corpus_folders.commonvoice(root), "commonvoice", "--langs", "de", "--digits", "spelled")
    assert {u.text for u in read_data_dir(data / "train")} == {"grüße zwei äpfel"}


# Common Voice

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


# FLEURS

def test_fleurs_as_on_hugging_face(root):
    corpus_folders.fleurs(root / "data")
    assert {u.language for u in read_data_dir(prepare(root, "fleurs") / "train")} == {"de", "zh-CN"}


def test_archives_of_fleurs_that_are_still_packed(root):
    corpus_folders.fleurs(root)
    audio = root / "de_de" / "audio" / "train"
    audio.rename(root / "elsewhere")
    audio.with_name("train.tar.gz").touch()
    with pytest.raises(UserError, match="de_de/audio/train does not exist: .* half unpacked; unpack .*train.tar.gz"):
        prepare(root, "fleurs")


# Multilingual LibriSpeech

def test_mls_in_opus(root):
    corpus_folders.mls(root, "opus")
    assert all(u.audio.endswith(".opus") for u in read_data_dir(prepare(root, "mls") / "train"))


# LibriSpeech

def test_a_chapter_of_librispeech_without_its_transcripts(root):
    corpus_folders.librispeech(root)
    table = root / "LibriSpeech" / "dev-clean" / "86" / "121123" / "86-121123.trans.txt"
    table.unlink()
    with pytest.raises(UserError, match=f"{table} does not exist: .* half unpacked"):
        prepare(root, "librispeech")


def test_librispeech_without_a_validation_set(root):
    corpus_folders.librispeech(root)
    (root / "LibriSpeech" / "dev-clean").rename(root / "elsewhere")
    with pytest.raises(UserError, match="has no valid set of librispeech; there should be .*dev-clean"):
        prepare(root, "librispeech")


# AISHELL-1

def test_archives_of_aishell_that_are_still_packed(root):
    corpus_folders.aishell(root)
    wav = root / "data_aishell" / "wav"
    (wav / "dev" / "S0724").rename(root / "elsewhere")
    (wav / "S0724.tar.gz").touch()
    with pytest.raises(UserError, match="v0.8.txt:3: .* no folder 'S0724': .* half unpacked; unpack .*S0724.tar.gz"):
        prepare(root, "aishell")


# VoxPopuli

def test_accented_english_is_english_and_the_accent_its_domain(root):
    corpus_folders.voxpopuli(root, "en")
    corpus_folders.voxpopuli(root, "en_accented", accent="en_fi", splits=("test",))
    data = prepare(root, "voxpopuli")
    assert [(u.language, u.domain) for u in read_data_dir(data / "train")] == [("en", "voxpopuli")] * 3
    assert sorted((u.language, u.domain) for u in read_data_dir(data / "test_in")) == [
        *[("en", "en_fi")] * 3, *[("en", "voxpopuli")] * 3]

    prepare_corpora.main(["--corpus", f"commonvoice={corpus_folders.commonvoice(root / 'cv', ('en',))}",
                          "--out_of_domain", f"voxpopuli={root}", "--data_dir", str(data)])
    assert {u.domain for u in read_data_dir(data / "test_out")} == {"en_fi", "voxpopuli"}


# CS-FLEURS

def prepare_mixed(root, languages):
    """Run stage 1 with CS-FLEURS as the out-of-domain test of some languages of Common Voice."""
    corpus_folders.commonvoice(root / "cv", languages)
    prepare_corpora.main(["--corpus", f"commonvoice={root / 'cv'}", "--out_of_domain", f"cs_fleurs={root / 'cs'}",
                          "--langs", *languages, "--data_dir", str(root / "data")])
    return root / "data" / "test_out"


def test_pairs_of_cs_fleurs_whose_languages_are_both_trained(root):
    corpus_folders.cs_fleurs(root / "cs")
    test_out = prepare_mixed(root, ("de", "en", "zh-CN"))
    utterances = read_data_dir(test_out)
    assert {(u.language, u.text) for u in utterances} == {
        ("zh-CN", "我想 take a vacation"), ("zh-CN", "我的 großmutter"), ("de", "das ist amazing")}
    assert len(utterances) == 18
    assert {u.domain for u in utterances} == {"read", "xtts", "mms"}
    assert read_table(test_out / "skipped") == {}
    format_wav_scp.main([str(test_out), str(root / "dump")])
    assert {u.text for u in read_data_dir(prepare_mixed(root, ("de", "en")))} == {"das ist amazing"}


def test_the_documents_command_for_mixed_speech(root):
    section = CORPORA_PAGE.read_text(encoding="utf-8").partition("### Speech that mixes languages\n")[2]
    command = re.search(r"^\./run\.sh (.*?)$", section.replace("\\\n", ""), flags=re.MULTILINE)[1]
    words = shlex.split(command.replace("/data", str(root)))
    assert words[-2:] == ["--allowed_languages", "de,en,zh-CN"]
    corpus_folders.cs_fleurs(root / "cs-fleurs")
    corpus_folders.fleurs(root / "fleurs", ("de_de", "en_us", "cmn_hans_cn"))
    languages = words.index("--langs") + 1
    words[languages:languages + 1] = words[languages].split()
    prepare_corpora.main([*words[:-2], "--data_dir", str(root / "data")])
    assert {u.language for u in read_data_dir(root / "data" / "test_out")} == {"de", "zh-CN"}


def test_a_mixed_clip_in_a_script_foreign_to_both_languages(root):
    table = corpus_folders.cs_fleurs(root / "cs", ("read/test",)) / "read/test/metadata.jsonl"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("Das ist **amazing**", "Спасибо большое", 1), encoding="utf-8")
    (reason,) = read_table(prepare_mixed(root, ("de", "en", "zh-CN")) / "skipped").values()
    assert reason.startswith("in a script foreign to its language: Cyrl in 'de'")


@pytest.mark.parametrize("languages, old, new, message", [
    (("de", "fr"), "", "", "cs: there is not one clip of the test set; .* choose other languages"),
    (("de", "en"), '"cmn-eng"', '"cmn"', "metadata.jsonl:1: 'language' must be a pair like cmn-eng, not 'cmn'"),
    (("de", "en"), '"text"', '"words"', "metadata.jsonl:1: the field 'text' is missing or not text"),
])
def test_what_is_wrong_with_cs_fleurs(languages, old, new, message, root):
    table = corpus_folders.cs_fleurs(root / "cs", ("read/test",)) / "read/test/metadata.jsonl"
    table.write_text(table.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        prepare_mixed(root, languages)
    assert not (root / "data").exists() or list((root / "data").iterdir()) == []


def test_cs_fleurs_is_not_trained_with(root):
    with pytest.raises(UserError, match="no train set of cs_fleurs; .* is for tests only"):
        prepare(corpus_folders.cs_fleurs(root), "cs_fleurs")


# Manifests

SEGMENTS = [{"audio": "recordings/a.wav", "text": f"Satz {i}", "lang": "de", "speaker": i % 2, "domain": "meeting",
             "start": 0.5 * i, "end": 0.5 * i + 0.4} for i in range(3)]


def test_parts_of_a_recording(root):
    data = prepare(corpus_folders.manifest(root, train=SEGMENTS), "manifest")
    train = sorted(read_data_dir(data / "train"), key=lambda u: u.start)
    assert [(u.start, u.end, u.text) for u in train] == [(0.5 * i, 0.5 * i + 0.4, f"satz {i}") for i in range(3)]
    assert {u.audio for u in train} == {str(root / "recordings" / "a.wav")}
    assert {u.domain for u in train} == {"meeting"}
    assert train[0].speaker == train[2].speaker != train[1].speaker
    assert len(read_table(data / "train" / "wav.scp")) == 1


def test_a_manifest_as_one_table_with_splits(root):
    corpus_folders.manifest(root)
    rows = [{"audio": f"recordings/{name}.wav", "text": "Grüße", "lang": "de", "split": split, "start": "0",
             "duration": "1.5"} for name in "ab" for split in ("train", "valid", "test")]
    write_rows(root / "all.tsv", "audio text lang split start duration speaker", rows)
    train = read_data_dir(prepare(root / "all.tsv", "manifest") / "train")
    assert [(u.start, u.end) for u in train] == [(0, 1.5)] * 2


@pytest.mark.parametrize("row", ["recordings/a.wav\tGrüße", "recordings/a.wav\tGrüße\tzwei\tde"])
def test_a_row_of_a_manifest_with_other_columns(row, root):
    corpus_folders.manifest(root)
    (root / "train.jsonl").unlink()
    write_lines(root / "train.tsv", ["audio\ttext\tlang", "recordings/a.wav\tGrüße\tde", row])
    with pytest.raises(UserError, match="train.tsv:3 has more or fewer cells than the first line"):
        prepare(root, "manifest")


def test_ids_of_a_manifest_are_kept_in_ids(root):
    rows = [{"audio": "recordings/a.wav", "text": "Eins", "lang": "de", "id": "take 1/a"}]
    (utterance,) = read_data_dir(prepare(corpus_folders.manifest(root, train=rows), "manifest") / "train")
    assert utterance.id.endswith("-de-take_1_a")


@pytest.mark.parametrize("line, complaint", [
    ('{"audio": "recordings/a.wav"', "train.jsonl:2 is not JSON: .* column 29"),
    ("[1, 2]", "train.jsonl:2: expected an object"),
    ('{"audio": "recordings/a.wav", "lang": "de"}', "train.jsonl:2: the field 'text' is missing"),
    ('{"audio": "a.wav", "lang": "de", "text": 21}', "train.jsonl:2: the field 'text' is missing or not text"),
    (r'{"audio": "a\ud800.wav", "lang": "de", "text": "a"}', "train.jsonl:2 has half a character"),
    ('{"audio": "", "lang": "de", "text": "a"}', "train.jsonl:2: 'audio' is empty"),
    ('{"audio": "a.wav", "lang": "de, en", "text": "a"}', "train.jsonl:2: 'lang' must be a language code"),
    ('{"audio": "a.wav", "lang": "de", "text": "a", "start": "soon", "end": 2}', "train.jsonl:2: 'start' must be a"),
    ('{"audio": "a.wav", "lang": "de", "text": "a", "start": 1}', "train.jsonl:2: .* needs both 'start' and 'end'"),
    ('{"audio": "a.wav", "lang": "de", "text": "a", "duration": NaN}', "train.jsonl:2: 'duration' must be a time"),
])
def test_mistakes_in_a_manifest_are_named_with_their_line(line, complaint, root):
    corpus_folders.manifest(root)
    good = json.dumps({"audio": "recordings/a.wav", "text": "Grüße", "lang": "de"})
    write_lines(root / "train.jsonl", [good, line])
    with pytest.raises(UserError, match=complaint):
        prepare(root, "manifest")
    assert not (root.parent / "data" / "train").exists()


def test_a_split_that_nobody_knows(root):
    corpus_folders.manifest(root)
    row = {"audio": "recordings/a.wav", "text": "Grüße", "lang": "de", "split": "dev"}
    write_lines(root / "all.jsonl", [json.dumps(row)])
    with pytest.raises(UserError, match="all.jsonl:1: 'split' must be one of train, valid, test, not 'dev'"):
        prepare(root / "all.jsonl", "manifest")


# All of them

@pytest.mark.parametrize("name", CORPORA)
def test_another_layout(name, root):
    (root / "train").mkdir(parents=True)
    (root / "train" / "metadata.csv").touch()
    layout = find_corpora.load(name).LAYOUT
    with pytest.raises(UserError, match=f"^{root} has no train set of {name}; there should be {re.escape(layout)}$"):
        prepare(root, name)


@pytest.mark.parametrize("name", CORPORA)
def test_tables_without_their_audio(name, root):
    getattr(corpus_folders, name)(root)
    for path in root.rglob("*.*"):
        if path.suffix in (".wav", ".flac", ".mp3", ".ogg"):
            path.unlink()
    with pytest.raises(UserError, match="no such clip"):
        prepare(root, name)
    assert not any((root.parent / "data").iterdir())
