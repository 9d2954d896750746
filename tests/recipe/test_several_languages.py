"""Utterances in several languages: data directories, transcripts with marks, scores, and the recipe from end to end."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import allowed_languages
import check_languages
import corpus_folders
import filter_by_length
import format_wav_scp
import numpy as np
import perturb_data_dir_speed
import prepare_corpora
import pytest
import router_pairs
import score
import soundfile
import yaml
from recipe_run import RECIPE, TINY_TRAINING, run_recipe
from shared.code_switching import UnknownMark, read_mixed
from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import UserError, read_table, write_table
from shared.write_data_dir import write_data_dir

from espnet_blrmoe.languages import parse_label

RATE = 16000
STRETCHES = "mixed 0.0 0.5 zh-CN\nmixed 0.75 1.5 en\n"


def utterances_of(folder, **labels) -> list[Utterance]:
    """Utterances of two seconds with these labels."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for n, (key, label) in enumerate(labels.items()):
        soundfile.write(folder / f"{key}.wav", 0.1 * np.random.default_rng(n).standard_normal(2 * RATE), RATE)
        found.append(Utterance(key, str(folder / f"{key}.wav"), label, key, "studio", "text"))
    return found


def data_dir(folder, stretches=STRETCHES, **labels):
    """A data directory with a table of stretches."""
    write_data_dir(folder / "data", utterances_of(folder, **labels))
    (folder / "data" / "stretches").write_text(stretches, encoding="utf-8")
    return folder / "data"


def label_in(folder, key="mixed") -> list[tuple[str, float, float]]:
    return [(language, pytest.approx(start, abs=1e-4), pytest.approx(end, abs=1e-4))
            for language, start, end in parse_label(read_table(folder / "utt2lang")[key])]


# Data directories

def test_sequences_go_through_a_data_directory(tmp_path):
    write_data_dir(tmp_path / "data", utterances_of(tmp_path, a="en", b="zh-CN en zh-CN"))
    assert read_table(tmp_path / "data" / "utt2lang") == {"a": "en", "b": "zh-CN en zh-CN"}
    a, b = read_data_dir(tmp_path / "data")
    assert (a.language, a.languages, b.language, b.languages) == ("en", ("en",), "zh-CN", ("zh-CN", "en"))
    assert not (tmp_path / "data" / "stretches").exists()
    check_languages.main(["--train", str(tmp_path / "data"), str(tmp_path / "data")])


@pytest.mark.parametrize("speed", [None, 0.8])
def test_stage_3_writes_times_into_utt2lang(speed, tmp_path):
    data = data_dir(tmp_path, a="en", mixed="zh-CN en")
    if speed:
        perturb_data_dir_speed.main(["--factors", str(speed), str(data), str(tmp_path / "slow")])
        data = tmp_path / "slow"
        assert len((data / "stretches").read_text().splitlines()) == 2
    format_wav_scp.main(["--nj", "1", str(data), str(tmp_path / "dump")])
    prefix = f"sp{speed}-" if speed else ""
    assert label_in(tmp_path / "dump", f"{prefix}mixed") == [("zh-CN", 0, 0.25), ("en", 0.375, 0.75)]
    assert read_table(tmp_path / "dump" / "utt2lang")[f"{prefix}a"] == "en"
    assert not (tmp_path / "dump" / "stretches").exists()
    filter_by_length.main([str(tmp_path / "dump"), str(tmp_path / "filtered")])
    assert (tmp_path / "filtered" / "utt2lang").read_text() == (tmp_path / "dump" / "utt2lang").read_text()


def test_times_are_those_of_the_utterance_in_its_recording(tmp_path):
    data = data_dir(tmp_path, "part 0.1 0.4 de\npart 0.5 1.0 en\n", part="en")
    (data / "segments").write_text("part recording 0.5 1.5\n", encoding="utf-8")
    (data / "wav.scp").write_text(f"recording {tmp_path}/part.wav\n", encoding="utf-8")
    format_wav_scp.main(["--nj", "1", str(data), str(tmp_path / "dump")])
    router_pairs.main([str(data), str(tmp_path / "pairs")])
    for folder in (tmp_path / "dump", tmp_path / "pairs"):
        assert label_in(folder, "part") == [("de", 0.1, 0.4), ("en", 0.5, 1)]


def test_pairs_for_the_router_count_as_in_their_first_language(tmp_path):
    data = data_dir(tmp_path, a="en", b="en de", mixed="zh-CN en")
    router_pairs.main(["--utterances", "1", str(data), str(tmp_path / "pairs")])
    assert set(read_table(tmp_path / "pairs" / "category2utt")) == {"en", "zh-CN"}
    assert label_in(tmp_path / "pairs") == [("zh-CN", 0, 0.25), ("en", 0.375, 0.75)]


@pytest.mark.parametrize(("stretches", "message"), [
    ("mixed 0 0.5 zh-CN\nmixed 0.4 1 en\n", "stretches:2: mixed 0.4 1 en: this stretch begins before the one above it"),
    ("mixed 0 0.5 zh-CN\nmixed 1 0.6 en\n", "stretches:2: mixed 1 0.6 en: expected 'utterance start end language'"),
    ("mixed 0 half zh-CN\n", "stretches:1: mixed 0 half zh-CN: expected 'utterance start end language'"),
    ("mixed 0 0.5\n", "stretches:1: mixed 0 0.5: expected 'utterance start end language'"),
    ("mixed 0 0.5 zh-CN\nmixed 0.5 9 en\n", "stretches:2: utterance mixed has 2.00 s, and no stretch in en from 0.5"),
    ("lost 0 0.5 en\n", "stretches:1: utterance lost is not in .*wav.scp; remove the line"),
    ("zero 0 0.5 en\n", "stretches:1: utterance zero is not in .*wav.scp; remove the line"),
    ("mixed 0 0.5 zh-CN\n", "stretches:1: utterance mixed has no stretch in en, which is its language in .*utt2lang"),
])  # fmt: skip
def test_stretches_that_cannot_be(stretches, message, tmp_path):
    data = data_dir(tmp_path, stretches, a="en", mixed="zh-CN en")
    for read in (format_wav_scp.main, router_pairs.main):
        with pytest.raises(UserError, match=message) as error:
            read([str(data), str(tmp_path / "dump")])
        assert "\n" not in str(error.value) and not (tmp_path / "dump").exists()


def test_labels_that_cannot_be(tmp_path):
    data = data_dir(tmp_path, a="en", mixed="zh-CN en")
    with pytest.raises(UserError, match="utt2lang: utterance mixed has language zh-CN, which .*train lacks"):
        write_data_dir(tmp_path / "train", utterances_of(tmp_path, a="en"))
        check_languages.main(["--train", str(tmp_path / "train"), str(data)])
    (data / "utt2lang").write_text("a en\nmixed zh-CN:0:0.5 en:0.4:1\n", encoding="utf-8")
    with pytest.raises(UserError, match="utt2lang:2: utterance mixed: stretches of .* overlap or are not in the order"):
        read_data_dir(data)


def test_a_timeline_has_languages_of_the_training_set(tmp_path):
    write_data_dir(tmp_path / "train", utterances_of(tmp_path, a="en"))
    data = tmp_path / "data"
    write_data_dir(data, utterances_of(tmp_path, a="en"))
    (data / "timeline").write_text('a [[0, 1, "en", "hi"], [1, 2, "fr", "oui"]]\n', encoding="utf-8")
    with pytest.raises(UserError, match="timeline: utterance a has language fr, which .*train lacks"):
        check_languages.main(["--train", str(tmp_path / "train"), str(data)])


def test_the_languages_of_a_training_set(tmp_path):
    write_data_dir(tmp_path / "raw" / "train", utterances_of(tmp_path, a="es", b="zh-CN en", c="zh-CN:0:0.5 de:0.5:1"))
    shown = subprocess.run(
        ["bash", "-c", f'. local/shared/data_sets.sh; dumpdir="{tmp_path}" train_set=train; languages'],
        cwd=RECIPE, capture_output=True, text=True, check=True)  # fmt: skip
    assert shown.stdout.split() == ["de", "en", "es", "zh-CN"]


def test_an_utterance_may_be_recognised_in_its_languages(tmp_path):
    write_table(tmp_path / "utt2lang", {"a": "en", "b": "zh-CN:0:0.5 en:0.5:0.9 zh-CN:0.9:1", "c": "de en"})
    for groups, expected in (("own", ["en", "zh-CN,en", "de,en"]), ("en,fr", ["en,fr", "zh-CN,en,fr", "de,en,fr"])):
        allowed_languages.main(["--groups", groups, str(tmp_path / "utt2lang"), str(tmp_path / "utt2langs")])
        assert list(read_table(tmp_path / "utt2langs").values()) == expected


# Transcripts

@pytest.mark.parametrize(("text", "languages", "sequence", "transcript"), [
    ("<zh-CN> 我想 <en> Take a break! <zh-CN> 了。", "zh-CN en", "zh-CN en zh-CN", "我想 take a break 了"),
    ("我想 <en>take a break</en> 了", "zh-CN en", "zh-CN en zh-CN", "我想 take a break 了"),
    ("<en> OK <en> gut <de> gut", "de en", "en de", "ok gut gut"),
    ("<en> ... <de> gut", "de en", "de", "gut"),
    ("我想take a break了", "zh-CN en", "zh-CN en zh-CN", "我想take a break了"),
    ("3 我想 4 break 5", "en zh-CN", "zh-CN en", "3 我想 4 break 5"),
    ("オーケー 我想", "ja zh-CN", "", "オーケー我想"),  # both are written in Han characters
    ("das ist amazing", "de en", "", "das ist amazing"),
    ("привет 我想", "zh-CN en", "", "привет 我想"),  # in neither's script
    ("", "zh-CN en", "", ""),
])  # fmt: skip
def test_languages_by_marks_or_by_scripts(text, languages, sequence, transcript):
    assert read_mixed(text, languages.split(), "kept") == (sequence.split(), transcript)


def test_a_mark_of_another_language():
    with pytest.raises(UnknownMark, match="^a mark that names none of its languages, zh-CN, en: <fr>$"):
        read_mixed("<zh-CN> 我想 <fr> oui", ["zh-CN", "en"], "kept")


def manifest(tmp_path, *texts_and_languages):
    rows = [{"audio": "recordings/a.wav", "text": text, "lang": lang, "id": str(n)}
            for n, (text, lang) in enumerate(texts_and_languages)]
    corpus_folders.manifest(tmp_path / "corpus", train=rows, valid=rows, test=rows)
    prepare_corpora.main(["--corpus", f"manifest={tmp_path / 'corpus'}", "--data_dir", str(tmp_path / "data")])
    return tmp_path / "data" / "train"


def test_a_manifest_in_several_languages(tmp_path, capsys):
    train = manifest(
        tmp_path, ("<zh-CN> 我 <en> see", "zh-CN en"), ("see 我", "zh-CN en"), ("gut, good, gut", "de en de"),
        ("<en> x", "de"), ("<zh-CN> 我 <fr> oui", "zh-CN en"))  # fmt: skip
    assert sorted((u.label, u.text) for u in read_data_dir(train)) == [
        ("de", "en x"), ("de en de", "gut good gut"), ("en zh-CN", "see 我"), ("zh-CN en", "我 see")]
    (reason,) = read_table(train / "skipped").values()
    assert reason == "a mark that names none of its languages, zh-CN, en: <fr>"
    assert "4 utterances in 3 languages" in capsys.readouterr().out


def test_a_script_that_is_none_of_several_languages(tmp_path):
    train = manifest(tmp_path, ("我 see", "zh-CN en"), ("see 我", "zh-CN en"), ("спасибо", "zh-CN en"))
    (reason,) = read_table(train / "skipped").values()
    assert reason.startswith("in a script foreign to its language: Cyrl in 'zh-CN en'")


def test_cs_fleurs_by_script(tmp_path):
    corpus_folders.cs_fleurs(tmp_path / "cs", ("read/test",))
    corpus_folders.fleurs(tmp_path / "fleurs", ("de_de", "en_us", "cmn_hans_cn"))
    prepare_corpora.main(["--corpus", f"fleurs={tmp_path}/fleurs", "--out_of_domain", f"cs_fleurs={tmp_path}/cs",
                          "--data_dir", str(tmp_path / "data")])
    assert {(u.label, u.text) for u in read_data_dir(tmp_path / "data" / "test_out")} == {
        ("zh-CN en", "我想 take a vacation"), ("zh-CN de", "我的 großmutter"), ("de", "das ist amazing")}


# Scores

def test_utterances_in_several_languages_are_left_out_of_lid(tmp_path):
    labels = {"a": "en", "b": "de", "c": "de en", "d": "de:0:0.5 en:0.5:1"}
    utterances = [Utterance(key, "a.wav", label, key, "studio", "x y") for key, label in labels.items()]
    write_data_dir(tmp_path / "raw" / "test_in", [replace(u, domain="c") if u.id == "c" else u for u in utterances])
    decoding = tmp_path / "exp" / "decode_asr" / "test_in"
    decoding.mkdir(parents=True)
    write_table(decoding / "text", dict.fromkeys(labels, "x z"))
    write_table(decoding / "lang", dict.fromkeys(labels, "en"))
    score.main([str(tmp_path / "exp"), "--data", str(tmp_path / "raw")])
    results = json.loads((tmp_path / "exp" / "scores.json").read_text())
    entries = {entry["group"]: entry for entry in results["scores"]}
    assert (entries["all"]["WER"]["Snt"], entries["all"]["WER"]["Err"]) == (4, 50)
    assert {name: entries["all"]["LID"][name] for name in ("Snt", "Wrd", "Err", "S.Err")} == {
        "Snt": 2, "Wrd": 2, "Err": 50, "S.Err": 50}
    assert entries.keys() == {"all", "de", "en", "studio", "c"} and entries["de"]["WER"]["Snt"] == 1
    assert "LID" not in entries["c"] and entries["studio"]["LID"]["Snt"] == 2
    assert results["confusions"][0]["counts"] == {"de": {"en": 1}, "en": {"en": 1}}
    assert "a en" not in (decoding / "score_lid" / "result.txt").read_text()


def test_a_test_set_in_which_every_utterance_has_several(tmp_path):
    write_data_dir(tmp_path / "raw" / "test_in", [Utterance("a", "a.wav", "de en", "a", "studio", "x y")])
    decoding = tmp_path / "exp" / "decode_asr" / "test_in"
    decoding.mkdir(parents=True)
    write_table(decoding / "text", {"a": "x y"})
    write_table(decoding / "lang", {"a": "en"})
    score.main([str(tmp_path / "exp"), "--data", str(tmp_path / "raw")])
    assert "LID" not in json.loads((tmp_path / "exp" / "scores.json").read_text())["scores"][0]


# The recipe

def test_the_recipe_trains_on_several_languages(tiny_demo, tmp_path):
    """Some utterances have a sequence, some have times, the others one language; in training and in a test set."""
    folder = tmp_path / "demo"
    shutil.copytree(tiny_demo.folder / "data", folder / "data")
    for name in ("train", "valid", "test_in", "router_train"):
        data = folder / "data" / name
        utterances = read_data_dir(data)
        sequence, timed = utterances[0], utterances[-1]
        write_data_dir(data, [replace(u, label="es pt es") if u is sequence else u for u in utterances])
        lines = f"{timed.id} 0.1 0.3 es\n{timed.id} 0.4 0.5 {timed.language}\n"
        (data / "stretches").write_text(lines, encoding="utf-8")
    ran = run_recipe(folder, "--stage", "3", "--stop_stage", "13", *TINY_TRAINING)
    assert ran.exit_code == 0, ran.output
    labels = list(read_table(folder / "dump/raw/train/utt2lang").values())
    assert labels[0] == "es pt es" and re.fullmatch(r"es:0\.\d+:0\.\d+ pt:0\.\d+:0\.\d+", labels[-1])
    config = yaml.safe_load((folder / "exp/asr_train_asr_raw_char/config.yaml").read_text())
    assert config["encoder_conf"]["languages"] == ["es", "pt"]
    ran = run_recipe(folder, "--stage", "16", "--stop_stage", "19", *TINY_TRAINING)
    assert ran.exit_code == 0, ran.output
    table = (folder / "exp/router_train_asr_raw_char/lid.tsv").read_text()
    scored = [int(line.split("\t")[3]) for line in table.splitlines() if line.startswith("test_in")]
    assert max(scored) == len(read_data_dir(folder / "data/test_in")) - 1  # all but that with a sequence
    allowed = read_table(next(folder.glob("exp/asr*/decode_*_router_pruned/test_in/utt2langs")))
    assert list(allowed.values())[0] == "es,pt"
