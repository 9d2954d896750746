"""Write the report of an experiment (stage 19): one HTML file that needs nothing else, for light and dark screens.

    python local/report.py exp/asr_train --router_exp exp/router_train --output exp/asr_train/report.html

It shows error rates by language and domain, which languages are confused, which experts are used, training curves,
what router fine-tuning and pruning changed, and examples. It reads what the other stages left: scores.json and the
decodings (stages 12 to 18), checkpoint.pth and config.yaml of both experiments, summary.json (sizes), and
stage_times.tsv beside the experiment (stage, description, seconds). What is not there yet is named in its place.
"""

import argparse
import csv
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import jiwer
import numpy as np
import torch
import yaml
from data_dir import UserError, read_table
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from report_plots import SERIES, change_dots, rate_bars, training_curves
from score import Decoding, align_words, find_decodings
from score_tables import accuracy, environment, signed_interval, with_interval

EXAMPLES_PER_TEST_SET = 6
CONFIG_KEYS = ("token_type", "frontend_conf", "specaug_conf", "encoder", "encoder_conf", "decoder", "decoder_conf",
               "model", "model_conf", "init_param", "optim", "optim_conf", "scheduler", "scheduler_conf", "batch_type",
               "batch_bins", "batch_size", "accum_grad", "max_epoch", "seed")


def read_scores(exp: Path) -> dict:
    path = exp / "scores.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist: run scoring (stage 13 or 18) first")
    return json.loads(path.read_text(encoding="utf-8"))


def read_training(folder: Path | None) -> str | None:
    """Training curves as SVG, or None without a checkpoint.pth with at least one epoch."""
    if folder is None or not (folder / "checkpoint.pth").is_file():
        return None
    # What ESPnet's reporter keeps besides plain numbers; mmap leaves the weights on disk.
    allowed = [timedelta, np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType]
    with torch.serialization.safe_globals(allowed):
        checkpoint = torch.load(folder / "checkpoint.pth", map_location="cpu", weights_only=True, mmap=True)
    stats = checkpoint["reporter"]["stats"]
    return training_curves(stats) if stats else None


def read_config(folder: Path | None) -> str | None:
    """The settings of config.yaml that describe model and training, as YAML."""
    if folder is None or not (folder / "config.yaml").is_file():
        return None
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return yaml.safe_dump({key: config[key] for key in CONFIG_KEYS if config.get(key)}, sort_keys=False,
                          default_flow_style=None, allow_unicode=True, width=100)


def read_sizes(exp: Path) -> dict[str, int]:
    """The numbers of summary.json, by name."""
    if not (exp / "summary.json").is_file():
        return {}
    summary = json.loads((exp / "summary.json").read_text(encoding="utf-8"))
    return {name.replace("_", " "): value for name, value in summary.items() if isinstance(value, int | float)}


def read_times(path: Path) -> list[dict]:
    """Stages with their seconds from a table of stage, description, seconds; the last run of each stage counts."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t") if row and row[0] != "stage"]
    try:
        latest = {stage: {"stage": stage, "description": description, "seconds": float(seconds)}
                  for stage, description, seconds in rows}
    except ValueError:
        raise UserError(f"{path}: expected lines of stage, description and seconds, separated by tabs") from None
    return sorted(latest.values(), key=lambda row: float(row["stage"]))


def read_timeline(decoding: Decoding) -> dict[str, list]:
    """id -> [[start s, end s, language], ...]."""
    path = decoding.folder / "timeline"
    if not path.is_file():
        return {}
    timelines = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            timelines[entry["id"]] = entry["languages"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(f'{path}:{number}: expected {{"id": ..., "languages": [...]}}; decode again') from None
    return timelines


def expert_usage(decoding: Decoding) -> dict[str, Counter] | None:
    """{true language: {expert: encoder frames}}, or None without expert_frames."""
    path = decoding.folder / "expert_frames"
    if not path.is_file():
        return None
    table = read_table(path, allow_empty=True)
    usage = {language: Counter() for language in sorted({u.language for u in decoding.references})}
    for u in decoding.references:
        for field in table.get(u.id, "").split():
            expert, _, frames = field.rpartition(":")
            if not frames.isdigit():
                raise UserError(f"{path}: utterance {u.id} has {field!r}, expected language:frames; decode again")
            usage[u.language][expert] += int(frames)
    return usage


def heat_map(counts: dict[str, dict[str, int]], percent: bool) -> dict:
    """Rows and columns of languages with each cell's count and share of its row, for the template's heat map."""
    columns = sorted(counts.keys() | {column for row in counts.values() for column in row})
    rows = []
    for name, row in counts.items():
        total = sum(row.values()) or 1
        shares = [row.get(column, 0) / total for column in columns]
        cells = [{"share": share, "hit": name == column, "count": row.get(column, 0),
                  "shown": f"{100 * share:.0f}" if percent else str(row.get(column, 0))}
                 for column, share in zip(columns, shares)]
        rows.append({"name": name, "cells": cells})
    return {"columns": columns, "rows": rows}


def marked(alignment: jiwer.WordOutput) -> list[tuple[str, str]]:
    """The hypothesis's words with what is wrong: (word, equal|substitute|insert|delete)."""
    words = []
    for chunk in alignment.alignments[0]:
        tokens = alignment.references[0][chunk.ref_start_idx:chunk.ref_end_idx] if chunk.type == "delete" \
            else alignment.hypotheses[0][chunk.hyp_start_idx:chunk.hyp_end_idx]
        words += [(token, chunk.type) for token in tokens]
    return words


def choose_examples(decodings: list[Decoding]) -> list:
    """Utterances of one test set, one a language; first those whose detected language differs between decodings."""
    def changed(u) -> bool:
        return len({d.detected.get(u.id) for d in decodings if d.detected}) > 1

    chosen = {}
    for u in sorted(decodings[0].references, key=lambda u: not changed(u)):
        chosen.setdefault(u.language, u)
    return list(chosen.values())[:EXAMPLES_PER_TEST_SET]


def examples(decodings: list[Decoding]) -> list[dict]:
    """Examples of one test set: the reference, and what each decoding made of it."""
    tables = [(d, read_timeline(d), read_table(d.folder / "lang") if d.detected is not None else {})
              for d in decodings]
    shown = []
    for u in choose_examples(decodings):
        results = []
        for decoding, timelines, languages in tables:
            language, _, probability = languages.get(u.id, "").partition(" ")
            results.append({
                "decoding": decoding.tag,
                "words": marked(align_words(u.text, decoding.hypotheses.get(u.id, ""), u.language)),
                "language": language,
                "probability": float(probability) if probability else None,
                "timeline": timelines.get(u.id, []),
            })
        shown.append({"utterance": u, "results": results})
    return shown


def language_colours(languages: set[str]) -> dict[str, str]:
    """One hue per language, evenly spaced; labels say the language too, so that colour alone never carries it."""
    return {language: f"hsl({360 * i / len(languages):.0f} 55% 45%)" for i, language in enumerate(sorted(languages))}


def collect(exp: Path, router_exp: Path | None, data: Path) -> dict:
    """Everything that the template shows."""
    results, decodings = read_scores(exp), find_decodings(exp, data)
    test_sets = sorted({d.test_set for d in decodings})
    by_test_set = {test_set: [d for d in decodings if d.test_set == test_set] for test_set in test_sets}
    usages = {d: expert_usage(d) for d in decodings}
    shown = {test_set: examples(own) for test_set, own in by_test_set.items()}
    languages = {u.language for d in decodings for u in d.references}
    languages |= {span[2] for own in shown.values() for e in own for r in e["results"] for span in r["timeline"]}
    scores, changes = results["scores"], results["changes"]
    return {
        "name": exp.resolve().name,
        "environment": environment(),
        "interval": results["interval"],
        "pooled": [e for e in scores if e["by"] == "all"],
        "pooled_changes": [c for c in changes if c["by"] == "all"],
        "language_bars": {t: rate_bars([e for e in scores if e["by"] == "language" and e["test_set"] == t],
                                       lambda e: e["group"]) for t in test_sets},
        "domain_bars": rate_bars([e for e in scores if e["by"] == "domain"],
                                 lambda e: f"{e['group']}\n({e['test_set']})"),
        "change_dots": {change: change_dots([c for c in changes if c["change"] == change and c["by"] != "domain"])
                        for change in dict.fromkeys(c["change"] for c in changes)},
        "confusions": {t: [(c["decoding"], heat_map(c["counts"], percent=False)) for c in results["confusions"]
                           if c["test_set"] == t] for t in test_sets},
        "usages": {t: [(d.tag, heat_map(usages[d], percent=True)) for d in own if usages[d]]
                   for t, own in by_test_set.items()},
        "asr_curves": read_training(exp),
        "router_curves": read_training(router_exp),
        "examples": shown,
        "colours": language_colours(languages),
        "series": dict(zip(sorted({d.tag for d in decodings}), SERIES)),
        "sizes": read_sizes(exp),
        "times": read_times(exp.parent / "stage_times.tsv"),
        "asr_config": read_config(exp),
        "router_config": read_config(router_exp),
    }


def render(content: dict) -> str:
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                            lstrip_blocks=True, undefined=StrictUndefined)
    templates.filters.update(accuracy=accuracy, with_interval=with_interval, signed_interval=signed_interval)
    return templates.get_template("report.html.j2").render(content)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", type=Path, help="folder of the ASR experiment, already scored")
    parser.add_argument("--router_exp", type=Path, help="folder of the router fine-tuning, if there is one")
    parser.add_argument("--data", type=Path, default=Path("dump/raw"),
                        help="folder with the test sets' data directories (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the HTML file (default: report.html in the ASR experiment)")
    args = parser.parse_args(argv)

    output = args.output or args.exp / "report.html"
    page = render(collect(args.exp, args.router_exp, args.data))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    print(f"Report: {output} ({len(page.encode()) / 1e6:.1f} MB, opens in any browser)")


if __name__ == "__main__":
    main()
