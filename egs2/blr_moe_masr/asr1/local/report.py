"""Write the report of an experiment (stage 19): one HTML file that needs nothing else, for light and dark screens.

    python local/report.py exp/asr_train --router_exp exp/router_train --output exp/asr_train/report.html

It shows error rates by language and domain, a diagnosis, which languages are confused, which experts are used, training
curves, what router fine-tuning and pruning changed, when which language was recognised where it changes within
recordings, and examples. It reads what the other stages left: scores.json and the decodings (stages 12 to 18),
checkpoint.pth and config.yaml of both trainings, lid.tsv of the router's (what espnet_blrmoe.bin.router_eval wrote),
and stage_times.tsv (stage, description, seconds). What is not there yet is named in its place.
"""

import argparse
import json
import random
from collections import Counter
from colorsys import hls_to_rgb
from itertools import cycle
from pathlib import Path

import jiwer
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.colors import to_hex
from shared.alignments import align_words
from shared.data_dir import Utterance
from shared.decodings import Decoding, expert_frames, find_decodings, read_output
from shared.diagnosis import IN_DOMAIN, SIGNATURES
from shared.kaldi_tables import UserError
from shared.report_plots import (
    SERIES,
    change_dots,
    overview,
    rate_bars,
    reliability_dots,
    timeline_bars,
    training_curves,
)
from shared.score_tables import TIMELINE_COLUMNS, accuracy, environment, signed_interval, timeline_row, with_interval
from shared.trainings import read_checkpoint
from shared.write_files import write_files

from espnet_blrmoe.inference.confidence import calibration_error
from espnet_blrmoe.program import start

EXAMPLES_PER_TEST_SET = 6
TIMELINES_PER_TEST_SET = 4
CONFIG_KEYS = ("token_type", "frontend_conf", "specaug_conf", "encoder", "encoder_conf", "decoder", "decoder_conf",
               "model", "model_conf", "init_param", "optim", "optim_conf", "scheduler", "scheduler_conf", "batch_type",
               "batch_bins", "batch_size", "accum_grad", "max_epoch", "seed", "preprocessor_conf")


def read_scores(exp: Path, data: Path) -> tuple[dict, list[Decoding]]:
    """The results that `score.py` wrote, and the decodings, normalised as it did.

    Raises:
        UserError: there are none, or they are not those of these decodings.
    """
    path = exp / "scores.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist: run scoring (stage 13 or 18) first")
    results = json.loads(path.read_text(encoding="utf-8"))
    decodings = find_decodings(exp, data, results.get("digits", "kept"))
    scored = {(e["decoding"], e["test_set"]) for e in results["scores"]}
    if "diagnosis" not in results or scored != {(d.tag, d.test_set) for d in decodings}:
        raise UserError(f"{path} is not of the decodings beside it: run scoring (stage 13 or 18) again")
    return results, decodings


def read_router_scores(router_exp: Path | None) -> list[list[str]]:
    """Rows of the comparison of routers, the first with their names; none before stage 16."""
    if router_exp is None or not (router_exp / "lid.tsv").is_file():
        return []
    return [line.split("\t") for line in (router_exp / "lid.tsv").read_text(encoding="utf-8").splitlines()]


def read_confidences(exp: Path) -> list[dict]:
    """How often words are right, by data set, before and after calibration; none before bin/calibrate.py.

    Returns:
        name, words, right (%), drawing (SVG), before and after: calibration errors in %; None: not calibrated.
    """
    if not (exp / "confidence.json").is_file():
        return []
    return [{**entry, "right": 100 * entry["right"],
             **{when: 100 * calibration_error(entry[when]) if entry[when] else None for when in ("before", "after")},
             "drawing": reliability_dots(entry["before"], entry["after"] or [])}
            for entry in json.loads((exp / "confidence.json").read_text(encoding="utf-8"))["data"] if entry["words"]]


def curves(checkpoint: dict | None) -> str | None:
    """Training curves as SVG."""
    return training_curves(checkpoint["reporter"]["stats"]) if checkpoint else None


def sizes(checkpoint: dict | None) -> dict[str, int]:
    """Numbers of weights (with buffers, such as running means) of the whole model and of its router."""
    if checkpoint is None:
        return {}
    numbers = {name: weight.numel() for name, weight in checkpoint["model"].items()}
    return {"weights of the ASR model": sum(numbers.values()),
            "of these, in the router": sum(n for name, n in numbers.items() if "router" in name.split("."))}


def read_config(folder: Path | None) -> str | None:
    """The settings of config.yaml that describe model and training, as YAML."""
    if folder is None or not (folder / "config.yaml").is_file():
        return None
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return yaml.safe_dump({key: config[key] for key in CONFIG_KEYS if config.get(key)}, sort_keys=False,
                          default_flow_style=None, allow_unicode=True, width=100)


def read_times(path: Path) -> list[dict]:
    """Stages with their seconds from a table of stage, description, seconds; the last run of each stage counts."""
    latest = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], start=1):
        try:
            stage, description, seconds = line.split("\t")
            latest[int(stage)] = {"stage": stage, "description": description, "seconds": float(seconds)}
        except ValueError:
            raise UserError(f"{path}:{number}: expected stage, description and seconds with tabs between them, "
                            f"found {line!r}") from None
    return [latest[stage] for stage in sorted(latest)]


def expert_usage(decoding: Decoding) -> dict[str, Counter] | None:
    """{true language: {expert: encoder frames}}; None where there is no choice of expert, or none is recorded."""
    frames = expert_frames(decoding)
    if not frames or decoding.detected is None:
        return None
    known = [u for u in decoding.references if u.has_one_language]
    usage = {language: Counter() for language in sorted({u.language for u in known})}
    for u in known:
        usage[u.language].update(frames.get(u.id, {}))
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


def choose_examples(decodings: list[Decoding]) -> list[Utterance]:
    """Some utterances of one test set, one per language; first those whose language the decodings disagree on."""
    def disputed(u: Utterance) -> bool:
        return len({d.detected.get(u.id) for d in decodings if d.detected is not None}) > 1

    chosen = {}
    references = random.Random(0).sample(decodings[0].references, len(decodings[0].references))
    for u in sorted(references, key=disputed, reverse=True):
        chosen.setdefault(u.language, u)
    return sorted(list(chosen.values())[:EXAMPLES_PER_TEST_SET], key=lambda u: u.id)


def examples(decodings: list[Decoding]) -> list[dict]:
    """Examples of one test set: the reference, and what each decoding made of it."""
    tables = [(d, read_output(d, "lang"), read_output(d, "timeline")) for d in decodings]
    return [{"utterance": u, "results": [{**result_of(u, decoding, languages),
                                          "timeline": json.loads(timelines.get(u.id, "[]"))}
                                         for decoding, languages, timelines in tables]}
            for u in choose_examples(decodings)]


def result_of(u: Utterance, decoding: Decoding, languages: dict[str, str]) -> dict:
    """What a decoding made of an utterance; `languages` is its table `lang`."""
    language, _, probability = languages.get(u.id, "").partition(" ")
    return {
        "decoding": decoding.tag,
        "words": marked(align_words(u.text, decoding.hypotheses.get(u.id, ""), u.language)),
        "language": language,
        "probability": float(probability) if decoding.detected is not None and probability else None,
    }


def diagnosis_table(diagnosis: list[dict]) -> list[dict]:
    """Rows of the diagnosis's figures by test set and decoding, each with its finding of every signature, or None."""
    found = {(f["test_set"], f["decoding"], f["signature"]): f for f in diagnosis}
    return [{"test_set": test_set, "decoding": tag, "findings": [found.get((test_set, tag, s)) for s in SIGNATURES]}
            for test_set, tag in sorted({key[:2] for key in found})]


def faults(diagnosis: list[dict], decodings: list[Decoding]) -> dict[str, list[dict]]:
    """Signature -> where it was found, each time with the utterances that show it."""
    by_name = {(d.tag, d.test_set): d for d in decodings}
    found = {}
    for finding in diagnosis:
        if finding["is_present"]:
            decoding = by_name[finding["decoding"], finding["test_set"]]
            utterances, languages = {u.id: u for u in decoding.references}, read_output(decoding, "lang")
            shown = [{"utterance": u, "shows": what, "result": result_of(u, decoding, languages)}
                     for u, what in ((utterances[key], what) for key, what in finding["utterances"])]
            found.setdefault(finding["signature"], []).append({**finding, "examples": shown})
    return found


def draw_timelines(decodings: list[Decoding], colours: dict[str, str]) -> str | None:
    """What is said when and what each decoding recognised, of some recordings of one test set; None without any."""
    recognised = {d.tag: d.recordings for d in decodings if d.recordings is not None}
    if not recognised:
        return None
    references = decodings[0].references
    some = sorted(random.Random(0).sample(range(len(references)), min(TIMELINES_PER_TEST_SET, len(references))))
    said = next(iter(recognised.values()))
    rows = [{"said": said[n].spans, **{tag: own[n].recognised for tag, own in recognised.items()}} for n in some]
    return timeline_bars([(references[n].id, timelines) for n, timelines in zip(some, rows)], colours)


def languages_in(decodings: list[Decoding], shown: dict[str, list[dict]]) -> set[str]:
    """All languages that are said or recognised, whole utterances or stretches of them."""
    languages = {language for d in decodings for u in d.references for language in u.languages}
    languages |= {span.language for d in decodings for r in d.recordings or [] for span in [*r.spans, *r.recognised]}
    return languages | {span[2] for own in shown.values() for e in own for r in e["results"] for span in r["timeline"]}


def language_colours(languages: set[str]) -> dict[str, str]:
    """One hue per language, evenly spaced; labels say the language too, so that it never depends on colour."""
    hues = ((200 / 360 + i / len(languages)) % 1 for i in range(len(languages)))
    return {language: to_hex(hls_to_rgb(hue, 0.34, 0.42)) for language, hue in zip(sorted(languages), hues)}


def collect(exp: Path, router_exp: Path | None, data: Path) -> dict:
    """Everything that the template shows."""
    results, decodings = read_scores(exp, data)
    router_training = router_exp and router_exp / "training"
    by_test_set = {test_set: [d for d in decodings if d.test_set == test_set]
                   for test_set in sorted({d.test_set for d in decodings})}
    unmixed = [t for t, own in by_test_set.items() if own[0].references[0].timeline is None]
    shown = {test_set: examples(by_test_set[test_set]) for test_set in unmixed}
    colours = language_colours(languages_in(decodings, shown))
    scores, changes, checkpoint = results["scores"], results["changes"], read_checkpoint(exp)
    pooled = sorted((e for e in scores if e["by"] == "all"), key=lambda e: (e["test_set"], e["decoding"]))
    return {
        "name": exp.resolve().name,
        "environment": environment(),
        "interval": results["interval"],
        "pooled": pooled,
        "overview": overview(pooled),
        "has_mer": any("MER" in e for e in scores),
        "signatures": SIGNATURES,
        "in_domain": IN_DOMAIN,
        "diagnosis": diagnosis_table(results["diagnosis"]),
        "faults": faults(results["diagnosis"], decodings),
        "pooled_changes": [c for c in changes if c["by"] == "all"],
        "confusions": {t: [(c["decoding"], heat_map(c["counts"], percent=False)) for c in results["confusions"]
                           if c["test_set"] == t] for t in by_test_set},
        "usages": {t: [(d.tag, heat_map(usage, percent=True)) for d in own if (usage := expert_usage(d))]
                   for t, own in by_test_set.items()},
        "examples": shown,
        "colours": colours,
        "timeline_columns": TIMELINE_COLUMNS,
        "timeline_rows": [timeline_row(timeline) for timeline in results["timelines"]],
        "timelines": {t: drawing for t, own in by_test_set.items() if (drawing := draw_timelines(own, colours))},
        "series": dict(zip(sorted({d.tag for d in decodings}), cycle(SERIES))),
        "sizes": sizes(checkpoint),
        "times": read_times(exp / "stage_times.tsv"),
        "asr_config": read_config(exp),
        "router_config": read_config(router_training),
        "language_bars": {t: rate_bars([e for e in scores if e["by"] == "language" and e["test_set"] == t],
                                       lambda e: e["group"]) for t in unmixed},
        "domain_bars": rate_bars([e for e in scores if e["by"] == "domain"],
                                 lambda e: f"{e['group']}\n({e['test_set']})"),
        "change_dots": {change: change_dots([c for c in changes if c["change"] == change and c["by"] != "domain"
                                             and c["test_set"] in unmixed])
                        for change in dict.fromkeys(c["change"] for c in changes if c["test_set"] in unmixed)},
        "asr_curves": curves(checkpoint),
        "router_curves": curves(read_checkpoint(router_training)),
        "router_scores": read_router_scores(router_exp),
        "confidences": read_confidences(exp),
    }


def render(content: dict) -> str:
    """The page as HTML."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True,
                            trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
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
    write_files({output: page})
    print(f"Report: {output} ({len(page.encode()) / 1e6:.1f} MB, opens in any browser)")


if __name__ == "__main__":
    start(main)
