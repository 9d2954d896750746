import commonvoice_corpus
import filter_by_length
import format_wav_scp
import pytest
import soundfile
from data_dir import UserError, read_data_dir, read_table

HEADER = "client_id\tpath\tsentence\tup_votes"


def write_tsv(path, rows, header=HEADER):
    """Write a table, and an empty file for every clip (stage 1 opens no audio)."""
    (path.parent / "clips").mkdir(parents=True, exist_ok=True)
    for row in rows:
        (path.parent / "clips" / row[1]).touch()
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")


@pytest.fixture
def corpus(tmp_path):
    """Two languages with one speaker (Latin and Han script), two clips in each split."""
    folder = tmp_path / "cv"
    for language, sentence in (("fr", "L’Été, \"fini\" !"), ("zh-CN", "你好，世界。")):
        for split in ("train", "dev", "test"):
            rows = [(f"speaker {split}", f"common_voice_{language}_{split}{i}.mp3", sentence, "2") for i in range(2)]
            write_tsv(folder / language / f"{split}.tsv", rows)
    return folder


def prepare(corpus, *options):
    data = corpus.parent / "data"
    commonvoice_corpus.main(["--commonvoice", str(corpus), "--data_dir", str(data), *map(str, options)])
    return data


def test_data_sets(corpus):
    data = prepare(corpus)
    assert sorted(p.name for p in data.iterdir()) == ["router_train", "router_valid", "test_in", "train", "valid"]
    train = read_data_dir(data / "train")
    assert {(u.language, u.text, u.domain) for u in train} == {
        ("fr", "l'été fini", "commonvoice"), ("zh-CN", "你好世界", "commonvoice")}
    assert all(u.id.startswith(u.speaker + "-") and " " not in u.id for u in train)
    assert len({u.speaker for u in train}) == 1, "one client_id is one speaker, in both languages"
    assert {u.audio for u in train} == {str(p) for p in corpus.glob("*/clips/*train*.mp3")}


def test_router_sets_are_the_same_clips_without_text(corpus):
    data = prepare(corpus)
    for name in ("train", "valid"):
        assert not (data / f"router_{name}" / "text").exists()
        assert read_table(data / f"router_{name}" / "wav.scp") == read_table(data / name / "wav.scp")
        assert read_table(data / f"router_{name}" / "utt2lang") == read_table(data / name / "utt2lang")


def test_chosen_languages(corpus):
    assert {u.language for u in read_data_dir(prepare(corpus, "--langs", "zh-CN") / "test_in")} == {"zh-CN"}


def test_skipped_clips_are_counted_and_listed(corpus, capsys):
    rows = [("a", "gone.mp3", "un", "2"), ("a", "punctuation.mp3", "?!", "2"), ("a", "short.mp3"),
            ("a", "good.mp3", "deux", "2"), ("a", "good.mp3", "deux", "2")]
    write_tsv(corpus / "fr" / "train.tsv", rows)
    (corpus / "fr" / "clips" / "gone.mp3").unlink()
    data = prepare(corpus, "--langs", "fr")
    assert list(read_table(data / "train" / "text").values()) == ["deux"]
    table = corpus / "fr" / "train.tsv"
    skipped = read_table(data / "train" / "skipped")
    assert list(skipped) == [f"{table}:{line}" for line in (2, 3, 4, 6)]
    assert [reason.split(":")[0] for reason in skipped.values()] == [
        "no such clip", "no words in the sentence '?!'", "no words in the sentence ''", "listed a second time"]
    summary = f"{data / 'train'}: 1 clips in 1 languages; 4 skipped, listed in {data / 'train' / 'skipped'}"
    assert summary in capsys.readouterr().out


def test_same_clip_name_in_two_languages(corpus):
    for language in ("fr", "zh-CN"):
        write_tsv(corpus / language / "train.tsv", [("a", "1.mp3", "un", "2")])
    assert len(read_data_dir(prepare(corpus) / "train")) == 2


def test_out_of_domain_is_restricted_to_the_languages(corpus):
    other = corpus.parent / "artikulate"
    for language in ("fr", "pl"):
        write_tsv(other / language / "test.tsv", [("x", "1.ogg", "Zéro", "word")], "speaker\tpath\tsentence\ttype")
    (utterance,) = read_data_dir(prepare(corpus, "--out_of_domain", other) / "test_out")
    assert (utterance.language, utterance.domain, utterance.text) == ("fr", "artikulate", "zéro")


def test_missing_folder(corpus):
    with pytest.raises(UserError, match="Fill the value of 'COMMONVOICE' of db.sh"):
        prepare(corpus.parent / "nowhere")
    with pytest.raises(UserError, match="Fill the value of 'COMMONVOICE' of db.sh"):
        commonvoice_corpus.main(["--commonvoice", "", "--data_dir", str(corpus.parent / "data")])
    with pytest.raises(UserError, match="no <language>/train.tsv"):
        prepare(corpus / "fr")


def test_unknown_language_lists_the_known(corpus):
    with pytest.raises(UserError, match="no language 'xx'; it has fr, zh-CN"):
        prepare(corpus, "--langs", "fr", "xx")


def test_out_of_domain_without_the_languages(corpus):
    rows = [("x", "1.ogg", "zero", "word")]
    write_tsv(corpus.parent / "other" / "pl" / "test.tsv", rows, "speaker\tpath\tsentence\ttype")
    with pytest.raises(UserError, match="test.tsv of pl, of none of fr, zh-CN"):
        prepare(corpus, "--out_of_domain", corpus.parent / "other")


def test_missing_column(corpus):
    write_tsv(corpus / "fr" / "dev.tsv", [("a", "1.mp3", "un")], "client_id\tpath\ttext")
    with pytest.raises(UserError, match=r"fr/dev.tsv:1: there is no column 'sentence', only client_id, path, text"):
        prepare(corpus)


def test_missing_table(corpus):
    (corpus / "fr" / "test.tsv").unlink()
    with pytest.raises(UserError, match="fr/test.tsv does not exist"):
        prepare(corpus)


def test_not_utf8(corpus):
    (corpus / "fr" / "dev.tsv").write_bytes("client_id\tpath\tsentence\na\t1.mp3\tété\n".encode("latin-1"))
    with pytest.raises(UserError, match="fr/dev.tsv is not UTF-8"):
        prepare(corpus)


def test_language_tested_but_not_trained_leaves_earlier_data_alone(corpus):
    data = prepare(corpus)
    before = (data / "train" / "text").read_text()
    write_tsv(corpus / "fr" / "train.tsv", [])
    with pytest.raises(UserError, match="'fr' has clips in valid but none in training"):
        prepare(corpus)
    assert (data / "train" / "text").read_text() == before


def test_no_usable_clip_gives_the_first_reason(corpus):
    for clip in corpus.glob("*/clips/*"):
        clip.unlink()
    with pytest.raises(UserError, match="train has no usable clip .4 skipped, the first because of .*: no such clip"):
        prepare(corpus)


def test_real_speech_up_to_stage_4(shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commonvoice_corpus.main(["--commonvoice", str(shared_data / "cv-mini"), "--langs", "pl", "zh-CN",
                             "--out_of_domain", str(shared_data / "artikulate-mini")])
    clips = {name: read_data_dir(f"data/{name}") for name in ("train", "valid", "test_in", "test_out")}
    assert {name: len(utterances) for name, utterances in clips.items()} == {
        "train": 140, "valid": 30, "test_in": 30, "test_out": 872}
    assert not {u.speaker for u in clips["train"]} & {u.speaker for u in clips["test_in"]}
    assert all(" " not in u.text for u in clips["train"] if u.language == "zh-CN")

    format_wav_scp.main(["data/valid", "dump/raw/org/valid"])
    filter_by_length.main(["--min_wav_duration", "4", "dump/raw/org/valid", "dump/raw/valid"])
    formatted, filtered = read_data_dir("dump/raw/org/valid"), read_data_dir("dump/raw/valid")
    assert 0 < len(filtered) < len(formatted) == 30
    for u in filtered:
        with soundfile.SoundFile(u.audio) as clip:
            assert (clip.samplerate, clip.channels, clip.subtype) == (16000, 1, "PCM_16")
            assert 4 <= clip.frames / 16000 <= 20
