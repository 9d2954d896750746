"""Every corpus is read in exactly the layout in which it is distributed, up to audio that stage 3 can read."""

import json
import re
import shlex

import corpus_folders
import format_wav_scp
import prepare_corpora
import pytest
from corpus_folders import CORPORA_PAGE, prepare, write_lines, write_rows
from shared import find_corpora
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError, read_table

# Corpus -> languages, utterances and speakers of its training set.
CORPORA = {
    "commonvoice": ({"de", "zh-CN"}, 6, 2),  # a client is one speaker, in both languages
    "fleurs": ({"de", "zh-CN"}, 4, 2),  # speakers unknown: one for each file name
    "mls": ({"de"}, 3, 2),
    "librispeech": ({"en"}, 12, 4),
    "aishell": ({"zh-CN"}, 2, 1),
    "voxpopuli": ({"de"}, 3, 2),
    "ascend": ({"zh-CN", "en"}, 6, 2),
    "manifest": ({"de"}, 2, 2),
}


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
