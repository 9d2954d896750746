"""The report's plots: matplotlib figures as inline SVG that take their foreground colours from the page.

Text and axes use the page's `currentColor` and `--line`, so that one picture reads well on light and dark
backgrounds; the series' colours have a contrast of at least 3:1 on both.
"""

import io
import re
from collections.abc import Sequence
from itertools import product

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from espnet_blrmoe import LanguageSpan
from shared.score_tables import shown_name, shown_rate

SERIES = ("#7b8794", "#2f7fc1", "#c96a1b", "#2b8a5f", "#9261c2")  # decodings, in the order of their tags
BETTER, WORSE, UNCLEAR = SERIES[1], SERIES[2], SERIES[0]
FOREGROUND, LINE = "#010203", "#040506"  # stand for the page's own colours until the SVG is written
WIDTH = 10.4  # inches
ERROR_BARS = {"ecolor": FOREGROUND, "elinewidth": 0.9}
NAMED_SECONDS = 0.35  # of a bar that has room for its language's code

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "text.color": FOREGROUND, "axes.labelcolor": FOREGROUND, "xtick.color": FOREGROUND,
    "ytick.color": FOREGROUND, "axes.edgecolor": LINE, "grid.color": LINE, "xtick.major.size": 0,
    "ytick.major.size": 0, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "legend.frameon": False, "figure.constrained_layout.use": True,
})


def svg(figure: Figure) -> str:
    """The figure as an <svg> element without a background."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg"):].replace(FOREGROUND, "currentColor").replace(LINE, "var(--line)")
    return re.sub(r'<svg height="[^"]*" (.*?)width="[^"]*"', r"<svg \1", drawing, count=1)


def arms(rates: list[dict]) -> np.ndarray:
    """The arms of error bars, (2, rates): to the lower and to the upper bound of the intervals.

    A percentile interval need not contain the point, but an arm may not be negative.
    """
    return np.abs(np.array([rate["interval"] for rate in rates]).T - [rate["Err"] for rate in rates])


def overview(entries: list[dict]) -> str:
    """Pooled WER and LID accuracy with intervals: a row for each test set and decoding, a panel for each measure."""
    decodings = sorted({e["decoding"] for e in entries})
    measures = [m for m in ("WER", "LID") if any(m in e for e in entries)]
    figure = Figure(figsize=(WIDTH, 0.27 * len(entries) + 0.9))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures):
        for row, e in enumerate(entries):
            if measure not in e:
                continue
            rate = shown_rate(e, measure)
            axes.barh(row, rate["Err"], 0.8, xerr=arms([rate]), error_kw=ERROR_BARS,
                      color=SERIES[decodings.index(e["decoding"]) % len(SERIES)])
            axes.annotate(f"{rate['Err']:.1f}", (max(rate["interval"]), row), (4, 0), textcoords="offset points",
                          va="center")
        axes.set_title(f"{shown_name(measure)} in %")
        axes.grid(axis="x", linewidth=0.6)
        axes.margins(x=0.1)
    panels[0].set_yticks(range(len(entries)), [f"{e['test_set']}   {e['decoding']}" for e in entries])
    panels[0].set_ylim(len(entries) - 0.5, -0.5)
    return svg(figure)


def rate_bars(entries: list[dict], label, minimum_groups: int = 4) -> str:
    """Bars with intervals: WER, CER and LID accuracy by group, one colour per decoding.

    Args:
        entries: scores of one or more groups, of every decoding.
        label: from an entry to its group's label.
        minimum_groups: fewer groups than this leave room at the right rather than make bars fat.
    """
    decodings = sorted({e["decoding"] for e in entries})
    labels = list(dict.fromkeys(label(e) for e in entries))
    pitch = 0.8 / max(len(decodings), 3)  # a single decoding's bars stay slim
    measures = [m for m in ("WER", "CER", "LID") if any(m in e for e in entries)]
    figure = Figure(figsize=(WIDTH, 1.75 * len(measures) + 0.6))
    for axes, measure in zip(figure.subplots(len(measures), sharex=True, squeeze=False)[:, 0], measures):
        for d, decoding in enumerate(decodings):
            own = [e for e in entries if e["decoding"] == decoding and measure in e]
            rates = [shown_rate(e, measure) for e in own]
            position = [labels.index(label(e)) + pitch * (d + 0.5 - len(decodings) / 2) for e in own]
            axes.bar(position, [rate["Err"] for rate in rates], 0.9 * pitch, yerr=arms(rates), error_kw=ERROR_BARS,
                     color=SERIES[d % len(SERIES)], label=decoding)
        axes.set_title(f"{shown_name(measure)} in %")
        axes.grid(axis="y", linewidth=0.6)
        axes.set_ylim(0, 105 if measure == "LID" else None)
        axes.set_xlim(-0.6, max(len(labels), minimum_groups) - 0.4)
        axes.set_xticks(range(len(labels)), labels)
        axes.tick_params(labelbottom=True)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=len(decodings))
    return svg(figure)


def change_dots(changes: list[dict]) -> str:
    """One step's paired differences with intervals: rows are groups, a panel per test set for WER and LID accuracy."""
    test_sets = sorted({c["test_set"] for c in changes})
    labels = list(dict.fromkeys(c["group"] for c in changes))
    measures = [m for m in ("WER", "LID") if all(m in c for c in changes)]
    figure = Figure(figsize=(WIDTH, 0.24 * len(labels) + 1.1))
    panels = figure.subplots(1, len(test_sets) * len(measures), sharey=True, squeeze=False)[0]
    for i, (axes, (measure, test_set)) in enumerate(zip(panels, product(measures, test_sets))):
        axes.sharex(panels[i - i % len(test_sets)])  # one scale per measure
        sign = -1 if measure == "LID" else 1  # errors go down, accuracy goes up
        for c in (c for c in changes if c["test_set"] == test_set):
            row, bounds = labels.index(c["group"]), sorted(sign * bound for bound in c[measure]["interval"])
            colour = UNCLEAR if bounds[0] <= 0 <= bounds[1] else BETTER if sign * bounds[0] < 0 else WORSE
            axes.plot(bounds, [row, row], color=colour, linewidth=2)
            axes.plot(sign * c[measure]["difference"], row, "o", color=colour, markersize=6)
        axes.axvline(0, color=FOREGROUND, linewidth=0.9)
        axes.set_title(f"{shown_name(measure)}, {test_set}")
        axes.set_xlabel("percentage points")
        axes.grid(axis="x", linewidth=0.6)
        axes.set_yticks(range(len(labels)), labels)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    return svg(figure)


def timeline_bars(recordings: list[tuple[str, dict[str, Sequence[LanguageSpan]]]], colours: dict[str, str]) -> str:
    """Languages over seconds: a panel for each recording, in it a row of bars for each of its timelines.

    Args:
        recordings: title, and label -> timeline.
        colours: language -> colour.
    """
    heights = [len(rows) + 0.8 for _, rows in recordings]
    figure = Figure(figsize=(WIDTH, 0.26 * sum(heights) + 0.5))
    panels = figure.subplots(len(recordings), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, rows) in zip(panels, recordings):
        for row, spans in enumerate(rows.values()):
            for span in spans:
                axes.barh(row, span.end - span.start, 0.8, left=span.start, color=colours[span.language])
                if span.end - span.start >= NAMED_SECONDS:
                    axes.text((span.start + span.end) / 2, row, span.language, ha="center", va="center", color="white",
                              fontsize=8)
        axes.set_title(title)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", linewidth=0.6)
    panels[-1].set_xlabel("seconds")
    return svg(figure)


def reliability_dots(before: list[dict], after: list[dict]) -> str:
    """Share of right words over their confidence, before and after calibration: dots, larger for more words.

    Args:
        before, after: `words`, and the means `confidence` and `right`, of words of similar confidence; none: no dots.
    """
    figure = Figure(figsize=(3.2, 3.0))
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color=LINE, linewidth=0.9)
    total = max(sum(own["words"] for own in before), 1)
    for bins, colour, name in ((before, SERIES[0], "probability"), (after, SERIES[1], "calibrated")):
        if bins:
            axes.scatter([100 * own["confidence"] for own in bins], [100 * own["right"] for own in bins],
                         [12 + 200 * own["words"] / total for own in bins], color=colour, label=name, alpha=0.8)
    axes.set(xlim=(-4, 104), ylim=(-4, 104), xlabel="confidence in %", ylabel="right words in %")
    axes.grid(linewidth=0.6)
    axes.legend(fontsize=8, markerscale=0.6)
    return svg(figure)


PANELS = (  # title, factor to the unit, {reporter's key: name in the legend}
    ("Loss", 1, {"loss": "total", "loss_ctc": "CTC", "loss_att": "attention", "loss_lid": "LID"}),
    ("CER in %", 100, {"cer_ctc": "CTC, greedy", "cer": "attention"}),
    ("LID accuracy in %", 100, {"acc_lid": "frames", "acc_lid_utt": "utterances"}),
)


def training_curves(stats: dict[int, dict[str, dict[str, float]]]) -> str:
    """Loss, CER and LID accuracy by epoch from ESPnet's reporter: {epoch: {"train"|"valid": {key: value}}}."""
    epochs = sorted(stats)

    def curve(part: str, key: str) -> np.ndarray:
        return np.array([stats[epoch].get(part, {}).get(key, np.nan) for epoch in epochs])

    panels = [(title, factor, {key: name for key, name in keys.items() if np.isfinite(curve("valid", key)).any()})
              for title, factor, keys in PANELS]
    panels = [panel for panel in panels if panel[2]]
    figure = Figure(figsize=(WIDTH, 2.7))
    for axes, (title, factor, keys) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for colour, (key, name) in zip(SERIES[1:], keys.items()):
            valid, train = (factor * curve(part, key) for part in ("valid", "train"))
            axes.plot(epochs, valid, ".-", color=colour, linewidth=1.6, label=f"{name}, validation")
            if np.isfinite(train).any():
                axes.plot(epochs, train, "--", color=colour, linewidth=1.1, label=f"{name}, training")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.grid(linewidth=0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8)
    return svg(figure)
