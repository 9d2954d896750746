"""Small corpora in exactly the layouts in which the real ones are distributed, with audio in their formats."""

import csv
import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import prepare_corpora
import soundfile

CORPORA_PAGE = Path(__file__).resolve().parents[2] / "docs" / "corpora.md"

SENTENCES = {"de": "Grüße, 2 Äpfel!", "en": "Hello, it's me.", "fr": "L’Été, \"fini\" !", "zh-CN": "你好，世界。"}
SPLITS = ("train", "dev", "test")
# The columns of Common Voice's tables, 2019 (first release) and 2025.
CV_2019 = "client_id path sentence up_votes down_votes age gender accent"
CV_2025 = ("client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale "
           "segment")  # fmt: skip
SPONTANEOUS_2026 = ("client_id audio_id audio_file duration_ms prompt_id prompt transcription votes age gender accents "
                    "variant language prompt_upvotes prompt_reports is_edited split char_per_sec quality_tags")


def write_audio(path: Path, seconds: float = 0.3) -> None:
    """Noise, in the format that the file's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(noise(path.suffix[1:], seconds))


@cache
def noise(ending: str, seconds: float) -> bytes:
    """An audio file."""
    format, subtype = {"opus": ("OGG", "OPUS"), "ogg": ("OGG", "VORBIS")}.get(ending, (ending, None))
    samples = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * 16000))
    soundfile.write(file := BytesIO(), samples, 16000, format=format, subtype=subtype)
    return file.getvalue()


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_rows(path: Path, columns: str, rows: list[dict[str, str]]) -> None:
    """A table with a header; columns that a row lacks are empty."""
    names = columns.split()
    write_lines(path, ["\t".join(names), *("\t".join(row.get(name, "") for name in names) for row in rows)])


def commonvoice(root: Path, languages: tuple[str, ...] = ("de", "zh-CN"), columns: str = CV_2025) -> Path:
    for language in languages:
        for split in SPLITS:
            rows = [{"client_id": f"{split}{i // 2}" * 20, "path": f"common_voice_{language}_{split}{i}.mp3",
                     "sentence": SENTENCES[language], "locale": language} for i in range(3)]
            write_rows(root / language / f"{split}.tsv", columns, rows)
            for row in rows:
                write_audio(root / language / "clips" / row["path"])
    return root


def spontaneous(root: Path, language: str = "br", transcription: str = "Ya, [noise] amañ.") -> Path:
    """Common Voice's spontaneous speech in a language, in the folder of its archive."""
    folder = root / f"sps-corpus-3.0-2026-03-09-{language}"
    rows = [{"client_id": f"{split}{i // 2}" * 20, "audio_file": f"spontaneous-speech-{language}-{n}{i}.mp3",
             "duration_ms": "300", "prompt": "Petra?", "language": "Brezhoneg", "split": split,
             "transcription": "" if split == "unassigned" else transcription}
            for n, split in enumerate((*SPLITS, "unassigned")) for i in range(3)]
    write_rows(folder / f"ss-corpus-{language}.tsv", SPONTANEOUS_2026, rows)
    write_rows(folder / f"ss-reported-audios-{language}.tsv", "client_id audio_id audio_file reason", [])
    for row in rows:
        write_audio(folder / "audios" / row["audio_file"])
    return root


def fleurs(root: Path, folders: tuple[str, ...] = ("de_de", "cmn_hans_cn")) -> Path:
    for folder in folders:
        sentence = SENTENCES["zh-CN" if "hans" in folder else folder[:2]]
        for split in SPLITS:
            names = [f"1{i}39584712345678.wav" for i in range(2)]
            write_lines(root / folder / f"{split}.tsv", [
                "\t".join((f"{i}", name, sentence, sentence.lower(), " ".join(sentence), "4800", "FEMALE"))
                for i, name in enumerate(names)])
            for name in names:
                write_audio(root / folder / "audio" / split / name)
    return root


def mls(root: Path, ending: str = "flac") -> Path:
    folder = root / ("mls_german_opus" if ending == "opus" else "mls_german")
    for split in SPLITS:
        names = [f"4536_11328_00000{i}" for i in range(2)] + ["99_11328_000000"]
        write_lines(folder / split / "transcripts.txt", [f"{name}\tgrüße zwei äpfel" for name in names])
        write_lines(folder / split / "segments.txt", [f"{name}\thttp://archive.org/x.mp3\t0.1\t0.4" for name in names])
        for name in names:
            speaker, book, _ = name.split("_")
            write_audio(folder / split / "audio" / speaker / book / f"{name}.{ending}")
    write_lines(folder / "metainfo.txt", ["SPEAKER | GENDER | PARTITION | MINUTES | BOOK ID | TITLE | CHAPTER"])
    return root


def librispeech(root: Path) -> Path:
    for i, subset in enumerate(("train-clean-100", "train-other-500", "dev-clean", "test-clean", "test-other")):
        for speaker, chapter in ((84 + i, 121123), (84 + i, 121550), (174 + i, 50561)):
            folder = root / "LibriSpeech" / subset / f"{speaker}" / f"{chapter}"
            names = [f"{speaker}-{chapter}-{n:04d}" for n in range(2)]
            write_lines(folder / f"{speaker}-{chapter}.trans.txt", [f"{name} GO IT'S ON" for name in names])
            for name in names:
                write_audio(folder / f"{name}.flac")
    return root


def aishell(root: Path) -> Path:
    lines = []
    for speaker, split in (("S0002", "train"), ("S0724", "dev"), ("S0764", "test")):
        for i in range(2):
            name = f"BAC009{speaker}W012{i}"
            write_audio(root / "data_aishell" / "wav" / split / speaker / f"{name}.wav")
            lines.append(f"{name} 而 对 楼市 成交")
        write_audio(root / "data_aishell" / "wav" / split / speaker / f"BAC009{speaker}W0999.wav")  # has no transcript
    write_lines(root / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt", lines)
    return root


def voxpopuli(root: Path, language: str = "de", accent: str = "None", splits: tuple[str, ...] = SPLITS) -> Path:
    folder = root / "transcribed_data" / language
    for split in SPLITS:
        rows = [{"id": f"2012{i}614-0900-PLENARY-8-{language}_{split}_{i}", "raw_text": "", "split": split,
                 "normalized_text": "grüße zwei äpfel", "speaker_id": speaker, "accent": accent}
                for i, speaker in enumerate(("28298", "28298", "None")) if split in splits]
        write_rows(folder / f"asr_{split}.tsv",
                   "id raw_text normalized_text speaker_id split gender is_gold_transcript accent", rows)
        for row in rows:
            write_audio(folder / row["id"][:4] / f"{row['id']}.ogg")
    return root


def cs_fleurs(root: Path, subsets: tuple[str, ...] = ("read/test", "xtts/test2", "mms/test")) -> Path:
    sentences = {"cmn-eng": "我想 take a vacation。", "deu-eng": "Das ist **amazing**.", "cmn-deu": "我的 Großmutter"}
    for subset in subsets:
        rows = [{"id": f"{pair[:3]}_{i}", "file_name": f"audio/{pair[:3]}/{pair}_{i}.wav", "text": text,
                 "duration": 0.3, "fluency": "5", "language": pair, "speaker": "SS"}
                for pair, text in sentences.items() for i in range(2)]
        write_lines(root / subset / "metadata.jsonl", [json.dumps(row, ensure_ascii=False) for row in rows])
        for row in rows:
            write_audio(root / subset / row["file_name"])
    return root


ASCEND_SENTENCES = {"zh": "嗯我觉得", "en": "yeah, it's \"fine\"", "mixed": "然后我take a vacation呃"}


def ascend_rows(split: str) -> list[dict[str, object]]:
    """What its tables say: of each kind of utterance two, by two speakers."""
    return [{"file_name": f"waves/ses1_spk{speaker}_L{n}_{split}_0.3000.wav", "transcription": text, "duration": 0.3,
             "language": kind, "original_speaker_id": speaker, "session_id": 1, "topic": "persona"}
            for n, (kind, text) in enumerate(ASCEND_SENTENCES.items()) for speaker in (3, 17)]


def ascend(root: Path) -> Path:
    for split in ("train", "validation", "test"):
        rows = ascend_rows(split)
        for row in rows:
            write_audio(root / row["file_name"])
        with (root / f"{split}_metadata.csv").open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return root


ROWS = [{"audio": f"recordings/{name}.wav", "text": "Grüße!", "lang": "de"} for name in ("a", "b")]


def manifest(root: Path, **rows: list[dict]) -> Path:
    """{train,valid,test}.jsonl with the given rows, by default two of German; the audio is recordings/{a,b}.wav."""
    for name in ("a", "b"):
        write_audio(root / "recordings" / f"{name}.wav", seconds=2)
    for split in ("train", "valid", "test"):
        write_lines(root / f"{split}.jsonl", [json.dumps(row) for row in rows.get(split, ROWS)])
    return root


def contents(folder: Path) -> dict[Path, bytes]:
    """All files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prepare_in(folder: Path, *options: object) -> Path:
    """Run stage 1; returns the folder of the data sets."""
    prepare_corpora.main(["--data_dir", str(folder / "data"), *map(str, options)])
    return folder / "data"


def prepare(root: Path, name: str, *options: object) -> Path:
    """Run stage 1 on a corpus; returns the folder of the data sets, beside it."""
    return prepare_in(root.parent, "--corpus", f"{name}={root}", *options)
