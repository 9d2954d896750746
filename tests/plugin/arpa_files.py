"""Small word n-grams in the ARPA format."""

from collections.abc import Mapping
from pathlib import Path


def write_arpa(path: Path, unigrams: Mapping[str, float], bigrams: Mapping[str, float] | None = None) -> Path:
    """Write log10 probabilities of words and of pairs of words ("a b"); the back-off is -0.3."""
    orders = [{"<s>": -99.0, **unigrams}, dict(bigrams or {"<s> </s>": -1.0})]
    lines = ["\\data\\", *(f"ngram {n}={len(own)}" for n, own in enumerate(orders, start=1))]
    for n, own in enumerate(orders, start=1):
        backoff = "\t-0.3" if n == 1 else ""
        lines += ["", f"\\{n}-grams:", *(f"{log10}\t{words}{backoff}" for words, log10 in own.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path
