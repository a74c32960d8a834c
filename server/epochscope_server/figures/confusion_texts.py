"""What the cells of a confusion matrix say: a number inside where it can be read, and a few lines to hover over."""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.rates import Numbers, Rate, Whole, wilson
from epochscope_server.figures import text
from epochscope_server.figures.matrix import HOVER_ALL, HOVER_NONE, TEXT_COARSE, TEXT_FINE

ROOMY = 2  # up to so many classes, a cell has room for share and count
TOLD = 1200  # cells with all lines, the largest counts; further ones say their count alone


def in_cells(values: Numbers, counts: Whole, normalise: str) -> list[list[str]] | None:
    """What stands in the cells, "" where nothing was counted; None with too many classes to read it."""
    if len(counts) > TEXT_COARSE:
        return None
    least, form = (0.0005, "{:.1f}") if len(counts) <= TEXT_FINE else (0.005, "{:.0f}")

    def cell(value: float, count: int) -> str:
        if not count or not np.isfinite(value):
            return ""
        if normalise == "none":
            return text.compact(count)
        share = form.format(100 * value) if value >= least else ""
        return f"{share} %<br>{text.compact(count)}" if len(counts) <= ROOMY else share

    return [
        [cell(value, count) for value, count in zip(*row, strict=True)]
        for row in zip(values.tolist(), counts.tolist(), strict=True)
    ]


def hover_texts(counts: Whole, names: tuple[str, ...]) -> list[list[str]] | None:
    """For each cell the classes, the count, and its share of the true and of the predicted class with its 95 %
    interval; "" for zeros where there are many cells; None where there are too many."""
    classes = len(names)
    if classes > HOVER_NONE:
        return None
    known = [text.escaped(name) for name in names]
    chosen = np.argwhere(np.ones_like(counts, dtype=bool) if classes <= HOVER_ALL else counts > 0)
    count = counts[chosen[:, 0], chosen[:, 1]]
    of_true, of_predicted = counts.sum(axis=1)[chosen[:, 0]], counts.sum(axis=0)[chosen[:, 1]]
    first = np.argsort(-count, kind="stable")[:TOLD]
    shares = [_shares(wilson(count[first], of[first]), of[first]) for of in (of_true, of_predicted)]
    rows = [[""] * classes for _ in names]
    for (true, predicted), seen in zip(chosen.tolist(), count.tolist(), strict=True):
        rows[true][predicted] = f"true <b>{known[true]}</b>, predicted <b>{known[predicted]}</b>: {seen:,}"
    for (true, predicted), of_one, of_other in zip(chosen[first].tolist(), *shares, strict=True):
        rows[true][predicted] += f"<br>{of_one} true {known[true]}<br>{of_other} predicted {known[predicted]}"
    return rows


def _shares(rate: Rate, of: Whole) -> list[str]:
    """Shares in words: 33.33 % (12.06 to 64.58 %) of 9."""
    parts = (100 * part for part in (rate.value, rate.low, rate.high))
    return [
        f"{value:.2f} % ({low:.2f} to {high:.2f} %) of {number:,}" if number else "none of 0"
        for value, low, high, number in zip(*(part.tolist() for part in parts), of.tolist(), strict=True)
    ]
