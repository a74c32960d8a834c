"""Two confusion matrices compared: the signed difference, second run minus first, in percentage points.

Purple is where the second run is better, orange where it is worse: more on the diagonal is better, more off the
diagonal is worse. The numbers keep their plain sign. A number is printed only where the difference is real: where its
false discovery rate among all cells is at most 5 % (``analysis.compare``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.compare import REAL, cells
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, empty_figure, layout
from epochscope_server.figures.matrix import HOVER_ALL, HOVER_NONE, TEXT_COARSE, apart, cell_trace, class_axes, shares
from epochscope_server.figures.palette import INKS, Theme, signed


def compare_figure(
    a: tuple[str, Confusion], b: tuple[str, Confusion], *, normalise: str = "true", theme: Theme = "light"
) -> Figure:
    """The difference ``b - a`` of two matrices over the same classes, each given with its run's name.

    With "true" or "predicted" it is a difference of shares in percentage points; with "none" one of counts. A class
    that did not occur in one of them has gaps. ``layout.meta["largest"]`` lists the differences that noise does not
    explain, largest first.
    """
    (a_name, left), (b_name, right) = a, b
    if left.class_names != right.class_names:
        return empty_figure("These runs have different classes, so their matrices cannot be subtracted.", theme)
    if not left.counts.any() or not right.counts.any():
        silent = a_name if not left.counts.any() else b_name
        return empty_figure(f"No predictions of {text.label(silent, 40)} in this window.", theme)
    inks = INKS[theme]
    scale = 1 if normalise == "none" else 100
    difference = scale * (shares(right.counts, normalise) - shares(left.counts, normalise))
    sure = _sure(left.counts, right.counts, normalise)
    names = left.class_names
    hover = _hover(left.counts, right.counts, difference, names, normalise)
    inside = _inside(difference, sure, normalise)
    off, on = apart(difference)
    known = np.abs(difference[np.isfinite(difference)])
    top = max(float(known.max()) if len(known) else 0.0, 1.0)
    worse_is_more = signed(inks.better, inks.worse)
    better_is_more = signed(inks.worse, inks.better)
    shared = {"zmin": -top, "zmax": top, "showscale": False}
    confused = cell_trace(off, hover, inside, len(names))
    # As in the matrix itself: the first trace holds all of it, the second lies over its diagonal.
    confused["z"] = columns.numbers(difference)
    if hover:
        confused["hovertext"] = hover
    data = [
        {**confused, **shared, "name": "confused", "colorscale": worse_is_more},
        {**cell_trace(on, hover, inside, len(names)), **shared, "name": "right", "colorscale": better_is_more},
    ]
    unit = "predictions" if normalise == "none" else "percentage points"
    largest = _largest(difference, sure, left, right)
    return {
        "data": data,
        "layout": layout(
            inks,
            "compare",
            **class_axes(names, inks),
            margin={"l": 30, "r": 8, "t": 8, "b": 30},
            dragmode="zoom",
            meta={
                "unit": unit,
                "top": round(top, 3),
                "a": {"name": a_name, "total": int(left.counts.sum()), "from": left.start, "to": left.stop},
                "b": {"name": b_name, "total": int(right.counts.sum()), "from": right.start, "to": right.stop},
                "largest": largest,
                "summary": _summary(a_name, b_name, names, largest, unit),
            },
        ),
    }


def _sure(left: Whole, right: Whole, normalise: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where the difference of shares is real, bool [N, N]; of counts, where that of shares of the true class is."""
    if normalise == "predicted":
        return _sure(left.T, right.T, "true").T
    return cells(left, right).q <= REAL


def _inside(difference: Numbers, sure: Any, normalise: str) -> list[list[str]] | None:
    if len(difference) > TEXT_COARSE:
        return None
    form = "{:+,.0f}" if normalise == "none" or len(difference) > 12 else "{:+.1f}"
    return [
        [form.format(value).replace("-", "−") if clear else "" for value, clear in zip(*row, strict=True)]
        for row in zip(difference.tolist(), sure.tolist(), strict=True)
    ]


def _hover(
    left: Whole, right: Whole, difference: Numbers, names: tuple[str, ...], normalise: str
) -> list[list[str]] | None:
    classes = len(names)
    if classes > HOVER_NONE:
        return None
    known = [text.escaped(name) for name in names]
    rows = [[""] * classes for _ in names]
    chosen = np.isfinite(difference) & ((classes <= HOVER_ALL) | (left > 0) | (right > 0))
    along = 1 if normalise != "predicted" else 0
    of_left, of_right = left.sum(axis=along), right.sum(axis=along)
    unit = "" if normalise == "none" else " pp"
    for true, predicted in np.argwhere(chosen).tolist():
        of = true if along == 1 else predicted
        change = f"{difference[true, predicted]:+,.{0 if normalise == 'none' else 2}f}{unit}".replace("-", "−")
        rows[true][predicted] = (
            f"true <b>{known[true]}</b>, predicted <b>{known[predicted]}</b>: {change}"
            f"<br>{left[true, predicted]:,} of {of_left[of]:,} → {right[true, predicted]:,} of {of_right[of]:,}"
        )
    return rows


def _largest(difference: Numbers, sure: Any, left: Confusion, right: Confusion) -> list[dict[str, Any]]:
    size = np.where(sure, np.abs(difference), 0.0)
    order = np.argsort(size, axis=None, kind="stable")[::-1][:12]
    return [
        {
            "true": int(true),
            "predicted": int(predicted),
            "difference": round(float(difference[true, predicted]), 4),
            "a": int(left.counts[true, predicted]),
            "b": int(right.counts[true, predicted]),
            "better": bool((difference[true, predicted] > 0) == (true == predicted)),
        }
        for true, predicted in (divmod(int(flat), len(difference)) for flat in order)
        if size[true, predicted] > 0
    ]


def _summary(a_name: str, b_name: str, names: tuple[str, ...], largest: list[dict[str, Any]], unit: str) -> str:
    if not largest:
        return f"{b_name} minus {a_name}: no difference beyond sampling noise."
    first = largest[0]
    what = names[first["true"]]
    if first["true"] != first["predicted"]:
        what += f" taken for {names[first['predicted']]}"
    else:
        what += " recognised"
    return f"{b_name} minus {a_name}: largest difference {what}, {first['difference']:+.1f} {unit}."
