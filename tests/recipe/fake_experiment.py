"""A made-up experiment folder: what training, decoding and the reference data leave, without any model.

The transcripts are random words; how many are corrupted, and how often the language is confused, is drawn for each
decoding from a fixed seed, so that the three decodings differ as router fine-tuning and pruning might make them.
"""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from shared.data_dir import Utterance, read_data_dir
from shared.kaldi_tables import write_table
from shared.write_data_dir import write_data_dir

LANGUAGES = ("de", "en", "es", "pt")
SIXTEEN = ("ca", "cs", "cy", "de", "en", "es", "et", "eu", "fr", "it", "nl", "pl", "pt", "ru", "tr", "zh-CN")
DOMAINS = {"test_in": ("espeak",), "test_out": ("noise", "reverberation", "telephone")}
DECODINGS = {  # decode tag: (share of wrong words, share of wrong languages; None gives each utterance its own)
    "decode_asr": (0.25, 0.15), "decode_asr_router": (0.18, 0.06), "decode_asr_router_pruned": (0.15, None),
}
WORDS = [consonant + vowel + end for consonant in "bdklmprst" for vowel in "aeiou" for end in ("", "n", "r")]


def make_references(data: Path, languages: tuple[str, ...], per_language: int, seed: int = 0) -> None:
    """data/<test_set>: data directories with random transcripts."""
    rng = np.random.default_rng(seed)
    for test_set, domains in DOMAINS.items():
        write_data_dir(data / test_set, [
            Utterance(f"{language}-{test_set}-{i:03}", f"{i}.wav", language, f"{language}-speaker",
                      domains[i % len(domains)], transcript(rng, language))
            for language in languages for i in range(per_language)
        ])


def transcript(rng: np.random.Generator, language: str) -> str:
    if language == "zh-CN":
        return "".join(rng.choice(list("今天我们去看大海山水风雨天气很好"), size=8))
    return " ".join(rng.choice(WORDS, size=rng.integers(3, 10)))


def corrupt(rng: np.random.Generator, text: str, share: float) -> str:
    """Replace, drop or double about this share of the words."""
    changed = []
    for word in text.split():
        kind = rng.choice(4) if rng.random() < share else 3
        changed += [[rng.choice(WORDS)], [], [word, word], [word]][kind]
    return " ".join(changed)


def make_decoding(folder: Path, reference: Path, wrong_words: float, wrong_languages: float | None, seed: int) -> None:
    """One <decode_tag>/<test_set> folder: text, lang, timeline, expert_frames; utt2langs if languages are given."""
    rng = np.random.default_rng(seed)
    references = read_data_dir(reference)
    languages = sorted({u.language for u in references})
    tables = {name: {} for name in ("text", "lang", "timeline", "expert_frames")}
    for u in references:
        detected = str(rng.choice(languages)) if rng.random() < (wrong_languages or 0) else u.language
        other = u.language if wrong_languages is None else str(rng.choice(languages))
        frames = {detected: int(rng.integers(60, 120))}
        frames[other] = frames.get(other, 0) + int(rng.integers(1, 20))
        switch, end = round(rng.uniform(1, 2), 2), round(rng.uniform(2.2, 4), 2)
        tables["text"][u.id] = corrupt(rng, u.text, wrong_words)
        tables["lang"][u.id] = f"{detected} {rng.uniform(0.5, 1):.4f}"
        tables["timeline"][u.id] = json.dumps([[0.0, switch, detected], [switch, end, other]])
        tables["expert_frames"][u.id] = " ".join(f"{code}:{n}" for code, n in frames.items())
    if wrong_languages is None:
        tables["utt2langs"] = {u.id: u.language for u in references}
    folder.mkdir(parents=True)
    for name, table in tables.items():
        write_table(folder / name, table)


def make_checkpoint(folder: Path, epochs: int, with_ctc: bool) -> None:
    """<folder>/checkpoint.pth with the values of ESPnet's reporter, in the types that it keeps."""
    stats = {}
    for epoch in range(1, epochs + 1):
        decay = float(np.exp(-epoch / 6))
        common = {"acc_lid": 1 - 0.6 * decay, "acc_lid_utt": 1 - 0.5 * decay, "forward_time": np.float64(0.1),
                  "time": timedelta(seconds=30), "total_count": 100 * epoch}
        ctc = {"loss_ctc": 80 * decay, "loss_lid": 2 * decay} if with_ctc else {}
        stats[epoch] = {"train": {"loss": 90 * decay + 4, **ctc, "cer_ctc": float("nan"), **common},
                        "valid": {"loss": 90 * decay + 8, **ctc, "cer_ctc": decay, **common}}
        if not with_ctc:
            for part in stats[epoch].values():
                del part["cer_ctc"]
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"encoder.embed.weight": torch.zeros(2000, 3), "encoder.router.linear.weight": torch.zeros(500)}
    torch.save({"model": weights, "reporter": {"epoch": epochs, "stats": stats},
                "optimizers": [], "schedulers": [None], "scaler": None}, folder / "checkpoint.pth")


def make_experiment(root: Path, languages: tuple[str, ...] = LANGUAGES,
                    per_language: int = 12) -> tuple[Path, Path, Path]:
    """A whole recipe folder below `root`: (exp/asr_fake, exp/router_fake, dump/raw)."""
    exp, router, data = root / "exp" / "asr_fake", root / "exp" / "router_fake", root / "dump" / "raw"
    make_references(data, languages, per_language)
    for d, (tag, (wrong_words, wrong_languages)) in enumerate(DECODINGS.items()):
        for s, test_set in enumerate(DOMAINS):
            make_decoding(exp / tag / test_set, data / test_set, wrong_words * (1 + s),
                          wrong_languages and wrong_languages * (1 + 2 * s), seed=10 * d + s)
    make_checkpoint(exp, epochs=20, with_ctc=True)
    make_checkpoint(router / "training", epochs=5, with_ctc=False)
    for folder in (exp, router / "training"):
        (folder / "config.yaml").write_text(
            "encoder: blr_moe\nencoder_conf:\n    num_moe_blocks: 3\n    languages:\n"
            + "".join(f"    - {language}\n" for language in languages)
            + "model_conf:\n    lid_weight: 0.3\noptim: adam\ntoken_list:\n- <blank>\n- a\n", encoding="utf-8")
    (exp / "stage_times.tsv").write_text("1\tdata preparation\t41\n10\tstatistics\t20\n11\tASR training\t700\n"
                                                  "12\tdecoding\t60\n11\tASR training\t512\n")
    (router / "lid.tsv").write_text("data\tdomain\tmodel\tutterances\ntest_in\tclean\told.pth\t12,345\n")
    return exp, router, data
