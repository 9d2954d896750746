"""Real speech in de, en, es, fr and ru, from which one of three domains is left out: studio, captions or phone.

    train, valid                 Common Voice (read), course and the other two of these domains
    test_in                      unseen speakers of Common Voice
    test_out                     the domain that is left out, at most 200 clips of a language, no sentence twice
    router_train, router_valid   the training and validation speakers of Common Voice, without transcripts

No speaker is both tested and trained with. Studio, captions and phone have one voice a language: a router could tell
these voices from each other and know nothing of languages, and would seem to know languages on them. So read, which has
19 to 65 speakers of every language, is always among the training speech, the pairs are nothing else, and on test_out no
accuracy of language identification should be reported. Telephone prompts by other speakers that could be pairs are in
Spanish and French only, commands in English only; with them a router would learn that prompts are Spanish or French.
Course is in French only, and so is not left out in its turn. French is learnt from read, captions and course; German
from read and studio, so that almost nothing of it is left without studio.

Clips with digits, signs or remarks in brackets are left out, and in Russian those with Latin letters, since nobody
knows how they are spoken. The texts of the Spanish prompts lack accents, so all Spanish is without.

A corpus of the recipe; its path is that of the domain to leave out, in a folder with all of the speech:

    PYTHONPATH=benchmarks egs2/blr_moe_masr/asr1/run.sh --corpus paper_table.real=/data/speech/real-mini/phone

    cv-mini/<language>/              tables and clips of Common Voice, no speaker in two tables; measured with 100 clips
                                     of each language (CC0; omnilingo/rsample-100-cv-corpus-6.1-2020-12-11 on GitHub)
    artikulate-mini/fr/              course: test.tsv and clips in the same layout (CC BY-SA 3.0; KDE/artikulate-data)
    real-mini/studio/{de,en,es,ru}/  rhasspy/dataset-voice-{kerstin,kathleen} (CC0) and daniel-dona/voice-dataset
                                     (GPL-3.0) on GitHub, Debian's festvox-ru (like BSD)
    real-mini/captions/{es,fr,ru}/   Debian's tuxpaint-stamps-default (GPL-2)
    real-mini/phone/{en,es,ru}/      Debian's asterisk-core-sounds-{en,es,ru}-wav (CC BY-SA 3.0, ru CC BY 3.0); texts by
                                     wehup/asterisk-sounds and pbxware/asterisk-sounds on GitHub

Each folder in real-mini has manifest.tsv with the columns audio, text, lang, speaker and domain.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from corpora import Clip, commonvoice, read_tsv, unreadable
from shared.text_normalization import normalise

LAYOUT = "real-mini/{studio,captions,phone}, one of which is named, with manifests, beside cv-mini and artikulate-mini"
SPLITS = ("train", "valid", "test", "test_out", "router_train", "router_valid")
ASR_CONFIG = "conf/train_asr.yaml"
LANGUAGES = ["de", "en", "es", "fr", "ru"]
SETS = {"studio": ("de", "en", "es", "ru"), "captions": ("es", "fr", "ru"), "phone": ("en", "es", "ru")}
READ = {"train": "train", "valid": "valid", "test": "test", "router_train": "train", "router_valid": "valid"}
HELD_OUT = 0.05  # of the sentences of training domains but read, for validation
TEST_CLIPS = 200
UNSPOKEN = r"[\d()\[\]$%#*]"


def languages(root: Path, split: str) -> list[str]:
    return list(dict.fromkeys(clip.language for clip in _read(root.absolute(), split))) if root.name in SETS else []


def read(root: Path, split: str, languages: list[str]) -> Iterator[Clip]:
    return (clip for clip in _read(root.absolute(), split) if clip.language in languages)


def _read(root: Path, split: str) -> Iterator[Clip]:
    """A split of all languages, in their order."""
    if split in READ:
        clips = _common_voice(root.parents[1] / "cv-mini", READ[split], LANGUAGES, "read")
        yield from (replace(clip, text=None) if split.startswith("router") else clip for clip in clips)
    if split in ("train", "valid"):
        yield from (clip for clip in _other_domains(root) if (_draw(clip) < HELD_OUT) == (split == "valid"))
    elif split == "test_out":
        for language in SETS[root.name]:
            by_sentence = {_sentence(clip): clip for clip in _manifest(root / language)}
            yield from sorted(by_sentence.values(), key=_draw)[:TEST_CLIPS]


def _other_domains(root: Path) -> Iterator[Clip]:
    """Training speech of all domains but read and the one that is left out."""
    yield from _common_voice(root.parents[1] / "artikulate-mini", "test", ["fr"], "course")
    for domain, chosen in SETS.items():
        if domain != root.name:
            for language in chosen:
                yield from _manifest(root.parent / domain / language)


def _common_voice(root: Path, split: str, languages: list[str], domain: str) -> Iterator[Clip]:
    return _spoken(replace(clip, domain=domain) for clip in commonvoice.read(root, split, languages))


def _manifest(folder: Path) -> Iterator[Clip]:
    return _spoken(_manifest_clips(folder))


def _manifest_clips(folder: Path) -> Iterator[Clip]:
    for source, row in read_tsv(folder / "manifest.tsv", ("audio", "text", "lang", "speaker", "domain")):
        if row is None:
            yield unreadable(source, folder.name, "not a row of the manifest: other columns than the first line")
            continue
        yield Clip(
            name=Path(row["audio"]).stem,
            audio=f"{folder}/{row['audio']}",
            text=row["text"],
            language=row["lang"],
            speaker=row["speaker"],
            source=source,
            domain=row["domain"],
        )


def _spoken(clips: Iterator[Clip]) -> Iterator[Clip]:
    """The clips whose text says how they are spoken; Spanish without accents."""
    for clip in clips:
        if not re.search(UNSPOKEN + ("|[A-Za-z]" if clip.language == "ru" else ""), clip.text):
            yield replace(clip, text=_without_accents(clip.text)) if clip.language == "es" else clip


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _sentence(clip: Clip) -> str:
    return normalise(clip.text, clip.language)


def _draw(clip: Clip) -> float:
    """A random number from 0 to 1, the same for the same sentence."""
    return int.from_bytes(blake2b(_sentence(clip).encode(), digest_size=8).digest()) / 2**64
