"""Tables of the results of `score.score` for people: sclite's result.txt, ESPnet's RESULTS.md, and the terminal."""

import platform
import subprocess
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import jiwer

from espnet_blrmoe.tables import text_table
from shared.data_dir import Utterance
from shared.diagnosis import SIGNATURES

MEASURES = ("WER", "CER", "MER", "LID")
COLUMNS = ("Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err")

TIMELINE_COLUMNS = ("dataset", "recordings", "words right, %", "seconds right, %", "changes", "recognised",
                    "boundary error, ms", "within 300 ms, %")


def cells(entry: dict) -> list[str]:
    """The values of COLUMNS: utterances and reference length, then percentages with one decimal, as sclite gives."""
    length = max(entry["Wrd"], 1)
    return [str(entry["Snt"]), str(entry["Wrd"]),
            *(f"{100 * entry[name] / length:.1f}" for name in ("Corr", "Sub", "Del", "Ins")),
            f"{entry['Err']:.1f}", f"{entry['S.Err']:.1f}"]


def accuracy(entry: dict) -> dict:
    """The rate and interval of an error rate's complement."""
    low, high = entry["interval"]
    return {"Err": 100 - entry["Err"], "interval": [100 - high, 100 - low]}


def shown_name(measure: str) -> str:
    """Of language errors, people are shown the complement."""
    return "LID accuracy" if measure == "LID" else measure


def shown_rate(entry: dict, measure: str) -> dict:
    """The rate of an entry under that name, with its interval."""
    return accuracy(entry[measure]) if measure == "LID" else entry[measure]


def with_interval(entry: dict) -> str:
    """A rate in % with its interval."""
    low, high = entry["interval"]
    return f"{entry['Err']:5.1f} [{low:.1f}, {high:.1f}]"


def signed_interval(entry: dict, sign: int = 1) -> str:
    """A difference in percentage points with its interval; sign -1 turns a change of errors into one of accuracy."""
    difference, low, high = (round(sign * value, 1) + 0.0  # never -0.0
                             for value in (entry["difference"], *entry["interval"][::sign]))
    return f"{difference:+5.1f} [{low:+.1f}, {high:+.1f}]"


def timeline_row(timeline: dict) -> list[str]:
    """The values of TIMELINE_COLUMNS; a dash where over half of the changes were not recognised."""
    def cell(measure: dict, digits: int) -> str:
        value, *bounds = ("-" if x is None else f"{x:.{digits}f}" for x in (measure["value"], *measure["interval"]))
        return f"{value} [{', '.join(bounds)}]"

    return [f"{timeline['decoding']}/{timeline['test_set']}", str(timeline["recordings"]),
            cell(timeline["words"], 1), cell(timeline["seconds"], 1),
            str(timeline["changes"]), str(timeline["recognised_changes"]),
            cell(timeline["boundary_ms"], 0), cell(timeline["near"], 1)]


def markdown_table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    return "\n".join("|" + "|".join(row) + "|" for row in (head, ["---"] * len(head), *rows)) + "\n"


def result_text(entries: list[dict], measure: str, references: list[Utterance], alignments: list) -> str:
    """A result.txt as sclite writes it, with languages in place of speakers, then the alignment of every utterance.

    Args:
        entries: the scores of one decoding of one test set.
        measure: one of MEASURES.
        references, alignments: the utterances and jiwer's alignments of them, in the same order.
    """
    names = {"language": "{}", "all": "Sum/Avg"}
    rows = [[names[e["by"]].format(e["group"]), *cells(e[measure])]
            for by in names for e in entries if e["by"] == by]
    table = text_table(("LANG", *COLUMNS), rows).splitlines()
    drawn = [jiwer.visualize_alignment(alignment, show_measures=False, skip_correct=False).split("\n", 2)[2]
             for alignment in alignments]
    return "\n".join([*(f"| {line} |" for line in table), "",
                      *(f"id: {u.id} ({u.language}, {u.domain})\n{lines}" for u, lines in zip(references, drawn))])


def git_hash() -> str | None:
    """The recipe's commit, or None outside a git checkout."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return git.stdout.strip() or None


def environment() -> dict[str, str]:
    """What RESULTS.md says about where the results are from."""
    found = {
        "date": datetime.now().astimezone().strftime("%a %b %d %H:%M:%S %Z %Y"),
        "python version": platform.python_version(),
        "espnet version": f"espnet {version('espnet')}",
        "pytorch version": f"pytorch {version('torch')}",
        "Git hash": git_hash(),
    }
    return {name: value for name, value in found.items() if value}


def results_markdown(results: dict, exp: Path) -> str:
    """RESULTS.md in ESPnet's format, then tables by language and domain, and what each step changed."""
    parts = ["# RESULTS", "## Environments", *(f"- {name}: `{value}`" for name, value in environment().items()), "",
             f"Intervals: {results['interval']}. LID reads the detected language as a one-word transcript.",
             "", f"## exp/{exp.resolve().name}", ""]
    for by, heading in (("all", ""), ("language", " by language"), ("domain", " by domain")):
        head = ("dataset", *([] if by == "all" else [by]), *COLUMNS, "95 % of Err")
        for measure in MEASURES:
            rows = [[f"{e['decoding']}/{e['test_set']}", *([] if by == "all" else [e["group"]]), *cells(e[measure]),
                     "{:.1f} to {:.1f}".format(*e[measure]["interval"])]
                    for e in results["scores"] if e["by"] == by and measure in e]
            if rows:
                parts += [f"### {measure}{heading}", "", markdown_table(head, rows)]
    if results["timelines"]:
        parts += ["### Languages within recordings", "",
                  markdown_table(TIMELINE_COLUMNS, [timeline_row(t) for t in results["timelines"]])]
    if results["diagnosis"]:
        parts += ["### Failure signatures", "",
                  markdown_table(("signature", "limit, %", "found in"), diagnosis_rows(results["diagnosis"]))]
    changes = [c for c in results["changes"] if c["by"] == "all"]
    measures = used_measures(changes)
    rows = [[c["change"], c["test_set"], *(signed_interval(c[m]) if m in c else "" for m in measures)] for c in changes]
    if rows:
        parts += ["### Changes of the error rates in percentage points", "",
                  markdown_table(("change", "dataset", *measures), rows)]
    return "\n".join(parts)


def diagnosis_rows(diagnosis: list[dict]) -> list[list[str]]:
    """A row for each signature: its title, its limit, and the figures of the decodings that have the fault."""
    rows = []
    for name, signature in SIGNATURES.items():
        found = [f"{f['decoding']}/{f['test_set']}: {shown_figure(f)}" for f in diagnosis
                 if f["signature"] == name and f["is_present"]]
        rows.append([signature.title, f"{signature.limit:.0f}", "; ".join(found) or "none"])
    return rows


def shown_figure(finding: dict) -> str:
    """The figure of an entry of the diagnosis with its interval and what it is a share of."""
    low, high = finding["interval"]
    return f"{finding['value']:.1f} [{low:.1f}, {high:.1f}] ({finding['basis']})"


def used_measures(entries: list[dict]) -> list[str]:
    """WER, CER and LID, and MER if some entry has it."""
    return [measure for measure in MEASURES if measure != "MER" or any("MER" in entry for entry in entries)]


def terminal_table(results: dict) -> str:
    """The pooled figures, and what each step changed, for people."""
    pooled = [e for e in results["scores"] if e["by"] == "all"]
    measures = used_measures(pooled)
    names = [shown_name(measure) for measure in measures]
    rows = [[e["decoding"], e["test_set"], f"{e['WER']['Snt']:,}", *(_rate(e, measure) for measure in measures)]
            for e in pooled]
    lines = [f"Error rates and accuracy in % [{results['interval']}]",
             text_table(("decoding", "test set", "utterances", *names), rows, names=2)]
    if any("LID" not in e for e in pooled):
        lines += ["-: the language is given to the decoder, or not detected"]
    if results["timelines"]:
        lines += ["", "Languages within recordings",
                  text_table(TIMELINE_COLUMNS, [timeline_row(t) for t in results["timelines"]], names=1)]
    rows = [[c["change"], c["test_set"], *(_change(c, measure) for measure in measures)]
            for c in results["changes"] if c["by"] == "all"]
    if rows:
        errors = "WER, CER and MER" if "MER" in measures else "WER and CER"
        lines += ["", f"Changes in percentage points [95 % paired bootstrap]; better: {errors} down, LID up",
                  text_table(("change", "test set", *names), rows, names=2)]
    return "\n".join(lines) + "\n"


def _rate(entry: dict, measure: str) -> str:
    """A cell of the terminal's table of rates."""
    return with_interval(shown_rate(entry, measure)) if measure in entry else "-"


def _change(change: dict, measure: str) -> str:
    """A cell of the terminal's table of changes."""
    return signed_interval(change[measure], sign=-1 if measure == "LID" else 1) if measure in change else "-"
