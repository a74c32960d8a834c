"""The confusion matrix as a heatmap: the true class on y, the predicted one on x, the first class on top.

The healthy diagonal has a quiet scale of its own, so that it does not drown what is confused; the ink of a
confusion grows with the square root of its share, so that small ones are seen; where nothing was confused
there is no ink at all.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, empty_figure, layout
from epochscope_server.figures.matrix import (
    HOVER_ALL,
    HOVER_NONE,
    TEXT_COARSE,
    TEXT_FINE,
    apart,
    cell_trace,
    class_axes,
    shares,
)
from epochscope_server.figures.palette import INKS, Inks, Theme, rooted

Normalise = Literal["none", "true", "predicted"]

TOPS = (0.2, 0.5, 1.0)  # shares of a class that the deepest ink may stand for
LARGEST = 12  # confusions named in layout.meta

UNITS = {"none": "predictions", "true": "share of the true class", "predicted": "share of the predicted class"}


def confusion_figure(confusion: Confusion, *, normalise: str = "none", theme: Theme = "light") -> Figure:
    """The matrix of ``confusion`` as counts ("none"), shares of the true class ("true") or of the predicted one.

    A share over nothing (a class that did not occur, or was never predicted) is a gap. ``layout.meta`` gives the
    window, the number of predictions and the largest confusions with their shares of the true class.
    """
    counts = confusion.counts
    total = int(counts.sum())
    if total == 0:
        return empty_figure("No predictions in this window.", theme)
    inks = INKS[theme]
    shown = shares(counts, normalise)
    names = confusion.class_names
    top = _top(shown, normalise)
    off, on = apart(shown)
    cells, inside = hover_texts(counts, names), in_cells(shown, counts, normalise)
    # The first trace holds the whole matrix, to the last count, for whoever takes the figure for its numbers; the
    # second lies over its diagonal.
    whole = cell_trace(off, cells, inside, len(names))
    whole["z"] = columns.exact(counts) if normalise == "none" else columns.numbers(shown)
    if cells:
        whole["hovertext"] = cells
    data = [
        {
            **whole,
            "name": "confused",
            "zmin": 0,
            "zmax": top,
            "colorscale": rooted(inks.error),
            "colorbar": colorbar(inks, UNITS[normalise], ",d" if normalise == "none" else ".0%"),
        },
        {
            **cell_trace(on, cells, inside, len(names)),
            "name": "right",
            "zmin": 0,
            "zmax": float(counts.diagonal().max() or 1) if normalise == "none" else 1,
            "colorscale": [[0, inks.healthy[0]], [1, inks.healthy[1]]],
            "showscale": False,
        },
    ]
    largest = _largest(confusion)
    return {
        "data": data,
        "layout": layout(
            inks,
            "confusion",
            **class_axes(names, inks),
            margin={"l": 30, "r": 8, "t": 8, "b": 30},
            dragmode="zoom",
            meta={
                "split": confusion.split,
                "from": confusion.start,
                "to": confusion.stop,
                "epoch": confusion.epoch,
                "total": total,
                "right": int(counts.trace()),
                "largest": largest,
                "summary": _summary(confusion, total, largest),
            },
        ),
    }


def colorbar(inks: Inks, title: str, tickformat: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "side": "right", "font": {"size": 11, "color": inks.muted}},
        "thickness": 8,
        "outlinewidth": 0,
        "xpad": 4,
        "ypad": 0,
        "nticks": 6,
        "tickformat": tickformat,
        "tickfont": {"size": 10, "color": inks.muted},
    }


def in_cells(values: Numbers, counts: Whole, normalise: str) -> list[list[str]] | None:
    """What stands in the cells, "" where nothing was counted; None with too many classes to read it."""
    if len(counts) > TEXT_COARSE:
        return None
    fine = len(counts) <= TEXT_FINE

    def cell(value: float, count: int) -> str:
        if not count or not np.isfinite(value):
            return ""
        if normalise == "none":
            return text.compact(count)
        least, form = (0.0005, "{:.1f}") if fine else (0.005, "{:.0f}")
        return form.format(100 * value) if value >= least else ""

    return _texts(cell, values, counts)


def hover_texts(counts: Whole, names: tuple[str, ...]) -> list[list[str]] | None:
    """For each cell the classes, the count, its share and of how many; "" for zeros where there are many cells."""
    classes = len(names)
    if classes > HOVER_NONE:
        return None
    known = [text.escaped(name) for name in names]
    of_true, of_predicted = counts.sum(axis=1), counts.sum(axis=0)
    rows = [[""] * classes for _ in names]
    chosen = np.ones_like(counts, dtype=bool) if classes <= HOVER_ALL else counts > 0
    for true, predicted in np.argwhere(chosen).tolist():
        count, members, called = int(counts[true, predicted]), int(of_true[true]), int(of_predicted[predicted])
        lines = [
            f"true <b>{known[true]}</b>, predicted <b>{known[predicted]}</b>: {count:,}",
            f"{_percent(count, members)} of {members:,} true {known[true]}",
            f"{_percent(count, called)} of {called:,} predicted {known[predicted]}",
        ]
        rows[true][predicted] = "<br>".join(lines)
    return rows


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.2f} %" if of else "0"


def _texts(cell: Any, values: NDArray[Any], counts: NDArray[Any]) -> list[list[str]]:
    return [
        [cast(str, cell(value, count)) for value, count in zip(*rows, strict=True)]
        for rows in zip(values.tolist(), counts.tolist(), strict=True)
    ]


def _top(shown: Numbers, normalise: str) -> float:
    """The value with the deepest ink: a fifth, a half or all of a class, the least that holds every confusion.

    Few fixed steps, so that the same ink means the same share while a window is dragged over a training.
    """
    off, _ = apart(shown)
    largest = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
    whole = max(float(np.nansum(shown, axis=1).max()), 1.0) if normalise == "none" else 1.0
    return next((step * whole for step in TOPS if largest <= step * whole), whole)


def _largest(confusion: Confusion) -> list[dict[str, Any]]:
    off = confusion.counts.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(off, axis=None, kind="stable")[::-1][:LARGEST]
    members = confusion.counts.sum(axis=1)
    return [
        {
            "true": int(true),
            "predicted": int(predicted),
            "count": int(off[true, predicted]),
            "of": int(members[true]),
            "share": round(float(off[true, predicted] / members[true]), 6),
        }
        for true, predicted in (divmod(int(flat), len(off)) for flat in order)
        if off[true, predicted] > 0
    ]


def _summary(confusion: Confusion, total: int, largest: list[dict[str, Any]]) -> str:
    names = confusion.class_names
    said = f"{total:,} predictions, {int(confusion.counts.trace()):,} of them right."
    if not largest:
        return f"{said} Nothing was confused."
    first = largest[0]
    return (
        f"{said} Most confused: {names[first['true']]} taken for {names[first['predicted']]}, "
        f"{first['count']:,} of {first['of']:,}."
    )
