"""Data directories of any size: what is written, what is refused, and that nothing half-written is left."""

import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import data_dir
from shared.data_dir import Skipped, Utterance, read_data_dir, stream_data_dir
from shared.kaldi_tables import UserError, read_table
from shared.transcripts import read_transcripts
from shared.write_data_dir import write_data_dir

ANNA = Utterance("anna-1", "a.wav", "fr", "anna", "studio", "un", source="corpus.tsv:2")


def test_tables_are_sorted_by_bytes_and_read_as_they_were_written(tmp_path):
    utterances = [replace(ANNA, id=key, speaker=key[:2], samples=n, text=key * n, speed=0.9, source="")
                  for n, key in enumerate(("Zoe-1", "anna-1", "éva-1", "anna-10", "anna-2", "日本-1"))]
    write_data_dir(tmp_path / "train", utterances)
    assert read_data_dir(tmp_path / "train") == sorted(utterances, key=lambda u: u.id.encode())
    assert (tmp_path / "train" / "spk2utt").read_text().splitlines()[1] == "an anna-1 anna-10 anna-2"


def test_summary_and_skipped(tmp_path):
    entries = [
        Skipped("b.tsv:9", "no such clip: x.mp3"), replace(ANNA, samples=5), Skipped("b.tsv:3", "no such clip: y"),
        replace(ANNA, id="anna-2", label="de", samples=7), Skipped("anna-3", "silent"),
    ]  # fmt: skip
    summary = write_data_dir(tmp_path / "train", entries)
    assert (summary.utterances, summary.samples) == ({"fr": 1, "de": 1}, {"fr": 5, "de": 7})
    assert summary.skipped == {"no such clip": 2, "silent": 1}
    assert (tmp_path / "train" / "skipped").read_text() == (
        "b.tsv:9 no such clip: x.mp3\nb.tsv:3 no such clip: y\nanna-3 silent\n")


def test_segments_are_kaldis(tmp_path):
    whole = replace(ANNA, id="a-whole", source="")
    spans = (("b", "x/talk one.wav", 2.25), ("c", "y/talk one.wav", 0.0), ("d", "x/talk one.wav", 0.5))
    parts = [replace(whole, id=f"{key}-part", audio=audio, start=start, end=start + 1.5) for key, audio, start in spans]
    write_data_dir(tmp_path / "train", [*parts, whole])
    segments = [line.split() for line in (tmp_path / "train" / "segments").read_text().splitlines()]
    recordings = read_table(tmp_path / "train" / "wav.scp")
    assert [(key, recordings[recording]) for key, recording, *_ in segments] == [
        ("a-whole", "a.wav"), ("b-part", "x/talk one.wav"), ("c-part", "y/talk one.wav"), ("d-part", "x/talk one.wav")]
    assert [span for _, _, *span in segments][:2] == [["0", "-1"], ["2.250000", "3.750000"]]
    assert len(recordings) == 3 and list(recordings) == sorted(recordings)
    assert read_data_dir(tmp_path / "train") == [whole, *parts]


def write_kaldi_folder(folder, **tables):
    """A Kaldi folder of two utterances; the tables that are given, as text or bytes, take the place of its own."""
    folder.mkdir()
    for name, text in {"wav.scp": "a a.wav\nb b.wav\n", "utt2lang": "a fr\nb de\n", **tables}.items():
        name = name.replace("wav_scp", "wav.scp")
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize("separator", [" ", "\t", "   ", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\t \r\n"])
def test_white_space_of_tables_is_kaldis(tmp_path, separator, end):
    tables = {"wav_scp": ["a", "b  1.wav"], "utt2lang": ["a", "fr"], "utt2num_samples": ["a", "5"],
              "text": ["a", "un deux\u3000trois"]}  # fmt: skip
    (u,) = read_data_dir(write_kaldi_folder(tmp_path / "t", **{
        name: separator.join(row) + end for name, row in tables.items()}))
    assert (u.id, u.audio, u.language, u.samples, u.text) == ("a", "b  1.wav", "fr", 5, "un deux\u3000trois")


def test_stretches_overlap_and_go_to_the_end(tmp_path):
    segments = b"a\ttalk 0.5  2\r\nb talk 1 -1\r\nc talk 0 -1.0\r\nd talk 0 2\r\n"
    utt2lang = "".join(f"{key} fr\n" for key in "abcd")
    folder = write_kaldi_folder(tmp_path / "t", wav_scp="talk talk.wav\n", segments=segments, utt2lang=utt2lang)
    spans = [(0.5, 2), (1, -1), (None, None), (0, 2)]
    assert [(u.audio, u.start, u.end) for u in read_data_dir(folder)] == [("talk.wav", *span) for span in spans]
    write_data_dir(tmp_path / "again", read_data_dir(folder))
    assert [(u.audio, u.start, u.end) for u in read_data_dir(tmp_path / "again")] == [
        ("talk.wav", *span) for span in spans]


@pytest.mark.parametrize(("tables", "message"), [
    ({"segments": "a a nan 1\nb a 0 1\n"}, "segments: 'a a nan 1': expected 'utterance recording start end', in sec"),
    ({"segments": "a a -1 1\nb a 0 1\n"}, "segments: 'a a -1 1': expected"),
    ({"segments": "a a 0 1 1\nb a 0 1\n"}, "segments: 'a a 0 1 1': expected"),
    ({"segments": "a a 0 1\nb b 0 1\n", "wav_scp": "a a.wav\nb b.wav[0:99]\n"}, "wav.scp: b is a stretch, b.wav.0:99"),
    ({"wav_scp": "a a.wav\nb b.wav[9:3]\n"}, "wav.scp: b: b.wav.9:3. is a stretch that ends before it begins"),
    ({"wav_scp": "a sox a.mp3 -t wav - |\nb b.wav\n"}, "wav.scp: a is 'sox a.mp3 .*and only audio files are read"),
    ({"wav_scp": "a a.wav\nb all.ark:1234\n"}, "wav.scp: b is 'all.ark:1234', and only .* docs/recipe.md has"),
    ({"wav_scp": b"a a.wav\nb \xff.wav\n"}, "wav.scp:2 is not UTF-8 .*; convert the file"),
])  # fmt: skip
def test_what_is_no_recording_or_stretch(tmp_path, tables, message):
    with pytest.raises(UserError, match=message):
        read_data_dir(write_kaldi_folder(tmp_path / "t", **tables))


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text("abé-1", min_size=1, max_size=4), st.booleans(), min_size=1))
def test_any_utterances_come_back(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("any")
    utterances = [Utterance(key, f"{key[0]} rec.wav", "de", "spk", "radio", start=1.0 if part else None,
                            end=2.5 if part else None) for key, part in parts.items()]
    write_data_dir(folder / "train", utterances)
    assert read_data_dir(folder / "train") == sorted(utterances, key=lambda u: u.id)


@pytest.mark.parametrize(("second", "message"), [
    ({"source": "b.tsv:7"}, "b.tsv:7: utterance anna-1 is at corpus.tsv:2 too; ids must be unique"),
    ({"id": "anna 2"}, "corpus.tsv:2: id 'anna 2': must be one word"),
    ({"id": "../anna"}, "corpus.tsv:2: id '../anna': must not have a '/'"),
    ({"id": "anna-2", "speaker": ""}, "corpus.tsv:2: speaker '': must be one word"),
    ({"id": "anna-2", "text": "un\ndeux"}, "must be one line"),
    ({"id": "anna-2", "audio": "a.wav\udcff"}, "corpus.tsv:2.: .*: must be UTF-8; rename the file"),
    ({"id": "anna-2", "audio": "a.wav "}, "audio 'a.wav ': must not begin or end with a blank; rename the file"),
    ({"id": "anna-2", "text": None}, "utterance anna-2 has no text, but anna-1 .corpus.tsv:2. has"),
])  # fmt: skip
def test_utterances_that_no_table_can_hold(tmp_path, second, message):
    with pytest.raises(UserError, match=message):
        write_data_dir(tmp_path / "train", [ANNA, replace(ANNA, **second)])
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8(tmp_path):
    with pytest.raises(UserError, match=r"udcff': must be UTF-8; choose another folder"):
        write_data_dir(tmp_path / "\udcff", [ANNA])
    assert list(tmp_path.iterdir()) == []
    write_data_dir(tmp_path / "train", [ANNA, Skipped("\udcff/b.tsv:3", "no such clip: \udcff/x.mp3")])
    assert (tmp_path / "train" / "skipped").read_text() == "\\udcff/b.tsv:3 no such clip: \\udcff/x.mp3\n"


@pytest.mark.parametrize(("table", "text", "message"), [
    ("utt2lang", "anna-1 fr\n", "utt2lang has no line for utterance anna-2 of .*wav.scp; add it"),
    ("utt2lang", "anna-1 fr\nanna-11 fr\nanna-2 fr\n", "utt2lang has utterance anna-11, which .*wav.scp lacks"),
    ("text", "anna-1 un\nanna-2 deux\nanna-3 trois\n", "text has utterance anna-3, which .*wav.scp lacks; remove it"),
    ("utt2lang", "anna-2 fr\nanna-1 fr\n", "utt2lang has no line for utterance anna-1 .* not sorted: LC_ALL=C sort"),
    ("wav.scp", "anna-2 a.wav\nanna-1 a.wav\n", "utt2lang has utterance anna-1, .* not sorted: LC_ALL=C sort"),
    ("wav.scp", "anna-1 a.wav\nanna-1 b.wav\n", "wav.scp:2: anna-1 occurs a second time; ids must be unique"),
    ("wav.scp", "anna-1 a.wav\nanna-2\n", "wav.scp:2: expected 'id value', found 'anna-2'"),
    ("utt2num_samples", "anna-1 5\nanna-2 many\n", "utt2num_samples: anna-2: expected a number, found 'many'"),
    ("segments", "anna-1 talk 0 1\nanna-2 talk 2 1\n", "segments: 'anna-2 talk 2 1': expected 'utterance rec"),
    ("segments", "anna-1 talk 0 1\nanna-2 talk 1 2\n", "wav.scp has no line for recording talk of .*segments; add it"),
])  # fmt: skip
def test_tables_that_do_not_fit(tmp_path, table, text, message):
    write_data_dir(tmp_path / "train", [ANNA, replace(ANNA, id="anna-2")])
    (tmp_path / "train" / table).write_text(text)
    with pytest.raises(UserError, match=message):
        read_data_dir(tmp_path / "train")


def test_byte_order_marks_are_not_part_of_a_line(tmp_path):
    """As editors on Windows leave them, and, within a table, `cat` of two such."""
    utterances = [replace(ANNA, id=f"anna-{n}", start=n, end=n + 1, samples=n, source="") for n in range(3)]
    write_data_dir(tmp_path / "train", utterances)
    for table in (tmp_path / "train").iterdir():
        table.write_text("".join(f"\ufeff{line}\n" for line in table.read_text().splitlines()))
    assert read_data_dir(tmp_path / "train") == utterances
    assert read_table(tmp_path / "train" / "utt2lang") == {u.id: "fr" for u in utterances}
    assert list(read_transcripts(tmp_path / "train")) == [("fr", "un")] * 3


def test_not_utf8(tmp_path):
    write_data_dir(tmp_path / "train", [ANNA, replace(ANNA, id="anna-2")])
    (tmp_path / "train" / "text").write_bytes("anna-1 un\nanna-2 été\n".encode("latin-1"))
    with pytest.raises(UserError, match="train/text:2 is not UTF-8 .* at byte 7 of the line"):
        read_data_dir(tmp_path / "train")


def test_memory_does_not_grow_with_the_utterances(tmp_path):
    def peak(number: int) -> int:
        utterances = (replace(ANNA, id=f"anna-{n:06d}", audio=f"{n}.wav", start=1.0, end=2.0) for n in range(number))
        tracemalloc.start()
        write_data_dir(tmp_path / "train", utterances)
        assert sum(1 for _ in stream_data_dir(tmp_path / "train")) == number
        return tracemalloc.get_traced_memory()[1]

    try:
        peak(100)  # imports and caches
        assert peak(4000) < 1.3 * peak(1000)
    finally:
        tracemalloc.stop()


def test_an_error_in_the_corpus_leaves_what_was_there(tmp_path):
    write_data_dir(tmp_path / "train", [ANNA])

    def entries():
        yield replace(ANNA, id="anna-2")
        raise UserError("corpus.tsv:3: no good")

    with pytest.raises(UserError, match="no good"):
        write_data_dir(tmp_path / "train", entries())
    assert [u.id for u in read_data_dir(tmp_path / "train")] == ["anna-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


PROGRAM = f"""
import sys, time
sys.path.insert(0, {str(Path(data_dir.__file__).parents[1])!r})
from shared.data_dir import Utterance
from shared.write_data_dir import write_data_dir

def utterances(number, wait):
    for n in range(number):
        yield Utterance(f"anna-{{n}}", "b.wav", "fr", "anna", "studio")
    print("half", flush=True)
    time.sleep(wait)

write_data_dir(sys.argv[1], utterances(int(sys.argv[2]), int(sys.argv[3])))
"""


def test_no_room(tmp_path):
    write_data_dir(tmp_path / "train", [ANNA])

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # as if the disk were full

    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "train"), "5000", "0"]
    failed = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "train cannot be written: File too large; it is left as it was" in failed.stderr
    assert [u.id for u in read_data_dir(tmp_path / "train")] == ["anna-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_no_room_for_sorting(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("shared.kaldi_tables.SORT", ("sort", "--buffer-size=1K"))
    with pytest.raises(UserError, match="sort failed: .*nowhere.*; TMPDIR names a folder that has room"):
        write_data_dir(tmp_path / "train", [replace(ANNA, id=f"anna-{n}") for n in range(1000)])
    assert not (tmp_path / "train").exists()


def test_killed_half_way_and_run_again(tmp_path):
    write_data_dir(tmp_path / "train", [ANNA])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "train")]
    program = subprocess.Popen([*command, "100", "60"], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert program.stdout.readline() == "half\n"
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    assert [u.id for u in read_data_dir(tmp_path / "train")] == ["anna-1"]
    subprocess.run([*command, "3", "0"], check=True, stdout=subprocess.DEVNULL)
    assert [u.id for u in read_data_dir(tmp_path / "train")] == ["anna-0", "anna-1", "anna-2"]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
