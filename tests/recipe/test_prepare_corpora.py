"""Stage 1 on corpora: how they combine, what is skipped, and what stops it; whole data sets or none."""

import re
import shutil

import corpus_folders
import filter_by_length
import format_wav_scp
import numpy as np
import pytest
import soundfile
from corpora import commonvoice
from corpus_folders import CV_2019, ROWS, contents, write_audio, write_lines, write_rows
from corpus_folders import prepare_in as prepare
from shared.data_dir import read_data_dir
from shared.kaldi_tables import UserError, read_table
from shared.scripts import foreign_script


def sentences(root, split, *texts, language="fr"):
    """A table of Common Voice with these sentences."""
    rows = [{"client_id": "a", "path": f"{i}.mp3", "sentence": text} for i, text in enumerate(texts)]
    write_rows(root / language / f"{split}.tsv", CV_2019, rows)
    for row in rows:
        write_audio(root / language / "clips" / row["path"])


# Together

def test_corpora_combine_with_a_domain_each(tmp_path, ours):
    mls = corpus_folders.mls(tmp_path / "mls")
    out = corpus_folders.fleurs(tmp_path / "fleurs")
    data = prepare(tmp_path, "--corpus", ours, f"mls:books={mls}", "--out_of_domain", f"fleurs={out}")
    for data_set in ("train", "valid", "test_in"):
        assert sorted(u.domain for u in read_data_dir(data / data_set)) == ["books"] * 3 + ["manifest"] * 2
    test_out = read_data_dir(data / "test_out")
    assert {(u.domain, u.language) for u in test_out} == {("fleurs", "de")}  # Chinese is not trained


def test_what_stage_1_says(tmp_path, ours, capsys):
    out = corpus_folders.fleurs(tmp_path / "fleurs")
    data = prepare(tmp_path, "--corpus", ours, "--out_of_domain", f"fleurs={out}")
    output = capsys.readouterr().out
    assert f"{data / 'train'}: 2 utterances in 1 languages\n  manifest: de 2\n" in output
    assert f"{out}: not trained, so left out of test_out: zh-CN" in output


def test_chosen_languages(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    data = prepare(tmp_path, "--corpus", f"commonvoice={corpus}", "--langs", "zh-CN")
    assert {u.language for u in read_data_dir(data / "test_in")} == {"zh-CN"}


def test_paths_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MLS", str(corpus_folders.mls(tmp_path / "mls")))
    assert len(read_data_dir(prepare(tmp_path, "--corpus", "mls") / "train")) == 3


def test_data_sets_of_another_corpus_go(tmp_path, ours):
    for data_set in ("test_dev", "test_out", "router_train", "router_valid"):
        write_lines(tmp_path / "data" / data_set / "wav.scp", ["demo demo.wav"])
    data = prepare(tmp_path, "--corpus", ours)
    assert {path.name for path in data.iterdir()} == {"train", "valid", "test_in"}


def test_clips_to_test_with_that_are_trained_with_are_counted(tmp_path, capsys):
    parts = [{**ROWS[0], "id": f"part{i}", "start": i / 2, "end": i / 2 + 0.5} for i in range(3)]
    others = [{**parts[1], "id": "overlap", "start": 0.75}, {**ROWS[0], "id": "rest", "start": 1.5, "end": 2}]
    folder = corpus_folders.manifest(tmp_path / "ours", train=parts, valid=ROWS, test=others)
    data = prepare(tmp_path, "--corpus", f"manifest={folder}")
    error = capsys.readouterr().err
    assert re.search(f"Warning: 1 clips of {data}/valid are among those to train with too .*-de-a-.*, there .*-de-part",
                     error)
    assert re.search(f"Warning: 1 clips of {data}/test_in are .*-de-overlap, there .*-de-part1", error)

    corpus_folders.manifest(tmp_path / "ours", train=parts, test=others[1:])
    prepare(tmp_path, "--corpus", f"manifest={folder}")
    assert "test_in" not in capsys.readouterr().err


def test_clips_are_the_same_wherever_their_corpus_seems_to_be(tmp_path, capsys):
    corpus = corpus_folders.commonvoice(tmp_path / "cv", ("fr",))
    (tmp_path / "link").symlink_to(corpus)
    prepare(tmp_path, "--corpus", f"commonvoice={corpus}")
    assert "Warning" not in capsys.readouterr().err
    shutil.copy(corpus / "fr" / "train.tsv", corpus / "fr" / "test.tsv")
    data = prepare(tmp_path, "--corpus", f"commonvoice={corpus}", "--out_of_domain", f"commonvoice:x={tmp_path}/link")
    error = capsys.readouterr().err
    for data_set in ("test_in", "test_out"):
        assert f"Warning: 3 clips of {data / data_set} are among those to train with too" in error


# Skipped

def test_skipped_clips_are_counted_and_listed(tmp_path, capsys):
    corpus = corpus_folders.commonvoice(tmp_path / "cv", ("fr",))
    sentences(corpus, "train", "un", "?!", "Владимир", "", "deux", "trois", "quatre", "cinq")
    (corpus / "fr" / "clips" / "0.mp3").unlink()
    data = prepare(tmp_path, "--corpus", f"commonvoice={corpus}")
    table = corpus / "fr" / "train.tsv"
    lines = (data / "train" / "skipped").read_text(encoding="utf-8").splitlines()
    assert lines == [
        f"{table}:2 no such clip: {corpus}/fr/clips/0.mp3",
        f"{table}:3 no words in the transcript: '?!'",
        f"{table}:4 in a script foreign to its language: Cyrl in 'fr', unless local/shared/conventions.toml says "
        "otherwise: 'Владимир'",
        f"{table}:5 no words in the transcript: ''",
    ]
    assert len(read_data_dir(data / "train")) == 4
    assert (f"skipped, and listed in {data / 'train' / 'skipped'}: 2 no words in the transcript, 1 no such clip, "
            "1 in a script foreign to its language\n") in capsys.readouterr().out


def test_half_an_hour_is_too_long_to_train_with(tmp_path):
    rows = [*ROWS, *({**ROWS[0], "id": f"long{i}", **span} for i, span in enumerate(
        ({"duration": 1800}, {"start": 0, "end": 1800})))]
    folder = corpus_folders.manifest(tmp_path / "ours", train=rows, test=rows)
    data = prepare(tmp_path, "--corpus", f"manifest={folder}")
    assert len(read_data_dir(data / "train")) == 2
    assert list(read_table(data / "train" / "skipped").values()) == ["longer than 20 s: 1800 s"] * 2
    assert len(read_data_dir(data / "test_in")) == 4, "tests are not filtered by length"


def test_half_an_hour_of_unknown_length_goes_in_stage_4(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = corpus_folders.manifest(tmp_path / "ours", train=[*ROWS, {**ROWS[0], "audio": "recordings/long.wav"}])
    noise, rate = soundfile.read(folder / "recordings" / "a.wav")
    soundfile.write(folder / "recordings" / "long.wav", np.tile(noise, 900), rate)
    prepare(tmp_path, "--corpus", f"manifest={folder}")
    format_wav_scp.main(["data/train", "org/train"])
    filter_by_length.main(["org/train", "train"])
    assert [reason.partition(":")[0] for reason in read_table("train/skipped").values()] == ["longer than 20 s"]
    assert len(read_data_dir("train")) == 2


def test_too_many_skipped_clips_are_no_accident(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv", ("de", "fr"))
    for i in (1, 2):
        (corpus / "fr" / "clips" / f"common_voice_fr_dev{i}.mp3").unlink()
    with pytest.raises(UserError, match=r"data/valid: 2 of 3 clips of commonvoice in 'fr' cannot be used, the first: "
                                        r".*fr/dev.tsv:3: no such clip: .*fr_dev1.mp3; unpack the corpus again"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")
    assert contents(tmp_path / "data") == {}


def test_an_empty_corpus_gives_the_reasons(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv", ("fr",))
    sentences(corpus, "train", "?!", "Да")
    with pytest.raises(UserError, match="data/train: no utterance is left .1 no words in the transcript, "
                                        "1 in a script foreign to its language; the first: .*train.tsv:2 no words"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")


@pytest.mark.parametrize("name", ["commonvoice", "librispeech"])
def test_a_corpus_without_a_clip_is_named(name, tmp_path):
    corpus = getattr(corpus_folders, name)(tmp_path / "corpus")
    for table in corpus.glob("*/dev.tsv"):
        write_rows(table, CV_2019, [])
    for chapter in corpus.glob("LibriSpeech/dev-clean/*"):
        shutil.rmtree(chapter)
    with pytest.raises(UserError, match=f"{corpus}: there is not one clip of the valid set; unpack the corpus again"):
        prepare(tmp_path, "--corpus", f"{name}={corpus}")


# Mistakes

@pytest.mark.parametrize("options, complaint", [
    (["--corpus", "nothing"], "corpus 'nothing' is unknown; choose from aishell, ascend, commonvoice, cs_fleurs"),
    (["--corpus", "mls"], "mls: where is it. Write MLS=FOLDER into db.sh, or --corpus mls=FOLDER"),
    (["--corpus", "mls=/nowhere/mls"], "mls: /nowhere/mls does not exist. Correct mls=FOLDER, or MLS in db.sh"),
])
def test_corpora_that_are_not_there(options, complaint, tmp_path, monkeypatch):
    monkeypatch.delenv("MLS", raising=False)
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, *options)


def test_unknown_language_lists_the_known(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    with pytest.raises(UserError, match="no training data in xx; there are de, zh-CN"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}", "--langs", "de", "xx")


def test_out_of_domain_without_the_languages(tmp_path, ours):
    out = corpus_folders.librispeech(tmp_path / "libri")
    with pytest.raises(UserError, match=f"{out} has tests in en, none in the trained languages de"):
        prepare(tmp_path, "--corpus", ours, "--out_of_domain", f"librispeech={out}")


def test_a_language_that_is_tested_but_not_trained(tmp_path):
    rows = [*ROWS, {**ROWS[0], "lang": "fr"}]
    folder = corpus_folders.manifest(tmp_path / "ours", test=rows)
    with pytest.raises(UserError, match='data/test_in has utterances in fr, but .* leave that out: --langs "de"'):
        prepare(tmp_path, "--corpus", f"manifest={folder}")
    assert {u.language for u in read_data_dir(prepare(tmp_path, "--corpus", f"manifest={folder}", "--langs", "de")
                                              / "test_in")} == {"de"}


def test_a_corpus_of_which_only_the_training_table_is_there(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    (corpus / "de" / "test.tsv").unlink()
    with pytest.raises(UserError, match=r"de/test.tsv does not exist: .* half unpacked"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")


def test_a_missing_column(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    write_rows(corpus / "de" / "dev.tsv", "client_id path text", [])
    with pytest.raises(UserError, match=r"de/dev.tsv:1: there is no column 'sentence', only client_id, path, text"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")


def test_an_empty_table(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    (corpus / "de" / "dev.tsv").write_text("")
    with pytest.raises(UserError, match="de/dev.tsv:1: there is no column 'path', only an empty line"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")


def test_not_utf8(tmp_path):
    corpus = corpus_folders.commonvoice(tmp_path / "cv")
    rows = "client_id\tpath\tsentence\n" + 5000 * "a\t1.mp3\tee\n"
    (corpus / "de" / "dev.tsv").write_bytes((rows + "a\t1.mp3\tété\n").encode("latin-1"))
    with pytest.raises(UserError, match="de/dev.tsv:5002 is not UTF-8 .* at byte 8 of the line"):
        prepare(tmp_path, "--corpus", f"commonvoice={corpus}")


@pytest.mark.parametrize("rows, complaint", [
    ([{**ROWS[0], "id": "one", "speaker": "me"}] * 2, "train.jsonl:2: utterance .*-de-one is at .*train.jsonl:1 too"),
    ([ROWS[0], ROWS[1], ROWS[0]], "train.jsonl:3: utterance .* is at .*train.jsonl:1 too"),
])
def test_duplicate_ids(rows, complaint, tmp_path):
    folder = corpus_folders.manifest(tmp_path / "ours", train=rows)
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, "--corpus", f"manifest={folder}")


def test_the_same_corpus_twice(tmp_path, ours):
    twice = r"train.jsonl:(\d): utterance .* is at .*train.jsonl:\1 too; ids must be unique: remove one of them"
    with pytest.raises(UserError, match=twice):
        prepare(tmp_path, "--corpus", ours, ours)


@pytest.mark.parametrize("name, table", [
    ("commonvoice", "de/train.tsv"), ("fleurs", "de_de/train.tsv"), ("mls", "mls_german/train/transcripts.txt"),
    ("voxpopuli", "transcribed_data/de/asr_train.tsv"), ("manifest", "train.jsonl"),
])
def test_byte_order_marks_are_not_part_of_a_table(name, table, tmp_path):
    corpus = getattr(corpus_folders, name)(tmp_path / "corpus")
    expected = contents(prepare(tmp_path, "--corpus", f"{name}={corpus}"))
    lines = (corpus / table).read_text(encoding="utf-8").splitlines()
    write_lines(corpus / table, [f"\ufeff{line}" for line in lines])  # files that are put together have it inside
    assert contents(prepare(tmp_path, "--corpus", f"{name}={corpus}")) == expected


# Real speech

def test_real_speech_up_to_stage_4(shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path, "--corpus", f"commonvoice={shared_data / 'cv-mini'}", "--langs", "pl", "zh-CN",
            "--out_of_domain", f"commonvoice:artikulate={shared_data / 'artikulate-mini'}")
    clips = {name: read_data_dir(f"data/{name}") for name in ("train", "valid", "test_in", "test_out")}
    assert {name: len(utterances) for name, utterances in clips.items()} == {
        "train": 140, "valid": 30, "test_in": 30, "test_out": 872}
    assert not {u.speaker for u in clips["train"]} & {u.speaker for u in clips["test_in"]}
    assert {u.domain for u in clips["test_out"]} == {"artikulate"}
    assert all(" " not in u.text for u in clips["train"] if u.language == "zh-CN")

    format_wav_scp.main(["data/valid", "dump/raw/org/valid"])
    filter_by_length.main(["--min_wav_duration", "4", "dump/raw/org/valid", "dump/raw/valid"])
    formatted, filtered = read_data_dir("dump/raw/org/valid"), read_data_dir("dump/raw/valid")
    assert 0 < len(filtered) < len(formatted) == 30
    for u in filtered:
        with soundfile.SoundFile(u.audio) as clip:
            assert (clip.samplerate, clip.channels, clip.subtype) == (16000, 1, "PCM_16")
            assert 4 <= clip.frames / 16000 <= 20


@pytest.mark.parametrize("corpus", ["cv-mini", "artikulate-mini"])
def test_no_real_sentence_is_taken_for_a_foreign_script(corpus, shared_data):
    for split in ("train", "valid", "test"):
        known = commonvoice.languages(shared_data / corpus, split)
        for clip in commonvoice.read(shared_data / corpus, split, known):
            assert foreign_script(clip.text, clip.language) is None, clip
