"""The confusion matrix as a heatmap: the true class on y, the predicted one on x, the first class on top.

The healthy diagonal has a quiet scale of its own, so that it does not drown what is confused; the ink of a
confusion grows with the square root of its share, unless asked otherwise, so that small ones are seen; where nothing
was confused there is no ink at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from epochscope_server.analysis.confused import Confused, of_matrix
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.figures import blocks, columns
from epochscope_server.figures.confusion_texts import hover_texts, in_cells
from epochscope_server.figures.frame import Figure, empty_figure, layout
from epochscope_server.figures.ink import ink
from epochscope_server.figures.matrix import apart, cell_trace, class_axes, shares
from epochscope_server.figures.palette import INKS, Inks, Theme

Normalise = Literal["none", "true", "predicted"]

LARGEST = 50  # confusions named in layout.meta

UNITS = {"none": "predictions", "true": "share of the true class", "predicted": "share of the predicted class"}


def confusion_figure(
    confusion: Confusion,
    *,
    normalise: str = "none",
    diagonal: bool = True,
    way: str = "root",
    order: ArrayLike | None = None,
    area: blocks.Area | None = None,
    theme: Theme = "light",
) -> Figure:
    """The matrix of ``confusion`` as counts ("none"), shares of the true class ("true") or of the predicted one.

    A share over nothing (a class that did not occur, or was never predicted) is a gap. Of more than
    ``blocks.SQUARES`` classes a square is the largest confusion of a block. ``layout.meta`` gives the window, the
    number of predictions, the largest confusions with their shares of the true class, and ``order``, the class at
    each place.

    Args:
        diagonal: False leaves the diagonal without ink and text; hovering still tells of it.
        way: how ink grows with the value: "root", "linear" or "log".
        order: the indices of the classes as they shall stand; left out: as they are.
        area: of a map, the part to be drawn finer over it, up to cell by cell; of fewer classes every cell is there.
    """
    if not confusion.counts.any():
        return empty_figure("No predictions in this window.", theme)
    inks = INKS[theme]
    places: Whole = np.arange(len(confusion.counts)) if order is None else np.asarray(order, np.int64)
    counts = confusion.counts[np.ix_(places, places)]
    names = tuple(confusion.class_names[index] for index in places)
    shown = shares(counts, normalise)
    off, _ = apart(shown)
    largest = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
    whole = max(float(np.nansum(shown, axis=1).max()), 1.0) if normalise == "none" else 1.0
    colours = ink(inks, way, largest, whole, UNITS[normalise], ",d" if normalise == "none" else ".1~%")
    mapped = blocks.side(len(names)) > 1
    area = area if mapped and area is not None and area.width < blocks.side(len(names)) else None
    if mapped:
        data = [blocks.block_trace(shown, counts, names)]
    else:
        data = _cells(shown, counts, names, normalise, inks, diagonal=diagonal)
    data[0] |= colours.trace
    if area is not None:
        data.append(blocks.block_trace(shown, counts, names, area) | colours.trace | {"showscale": False})
        data[-1].pop("colorbar", None)
        if (right := blocks.right_trace(shown, counts, names, area)) is not None and diagonal:
            data.append(right | _quiet(counts, normalise, inks, diagonal=True))
    return {
        "data": data + colours.beside,
        "layout": layout(
            inks,
            "confusion",
            **class_axes(names, inks, _ends(area, len(names)) if mapped else None),
            margin={"l": 30, "r": 8, "t": 8, "b": 30},
            dragmode="zoom",
            meta=_meta(confusion)
            | {"order": places.tolist()}
            | ({"map": {"squares": blocks.SQUARES, "side": blocks.side(len(names))}} if mapped else {}),
        ),
    }


def confused_figure(found: Confused, names: Sequence[str], *, start: int, stop: int, theme: Theme = "light") -> Figure:
    """Of more classes than a matrix can show: a sentence, and in ``layout.meta`` the largest confusions."""
    figure = empty_figure(f"{len(names):,} classes are too many for a matrix. The list says what was confused.", theme)
    figure["layout"]["meta"] |= {"from": start, "to": stop} | _told(found)
    return figure


def listed(found: Confused) -> list[dict[str, Any]]:
    """Confusions as figures and answers list them; ``covered``: the share of all that was wrong, up to this one."""
    columns_of = [found.true, found.predicted, found.count, found.of, found.called]
    rates = [found.share.value, found.share.low, found.share.high, found.covered]
    values = [part.tolist() for part in columns_of] + [np.round(part, 6).tolist() for part in rates]
    names = ("true", "predicted", "count", "of", "called", "share", "low", "high", "covered")
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _cells(
    shown: Numbers, counts: Whole, names: tuple[str, ...], normalise: str, inks: Inks, *, diagonal: bool
) -> list[dict[str, Any]]:
    """The first trace holds the whole matrix, to the last count, for whoever takes the figure for its numbers; the
    second lies over its diagonal."""
    off, on = apart(shown)
    told, inside = hover_texts(counts, names), in_cells(shown, counts, normalise)
    confused = {**cell_trace(off, told, inside, len(names)), "name": "confused"}
    confused["z"] = columns.exact(counts) if normalise == "none" else columns.numbers(shown)
    if told:
        confused["hovertext"] = told
    right = {
        **cell_trace(on, told, inside if diagonal else None, len(names)),
        "name": "right",
        **_quiet(counts, normalise, inks, diagonal=diagonal),
    }
    return [confused, right]


def _quiet(counts: Whole, normalise: str, inks: Inks, *, diagonal: bool) -> dict[str, Any]:
    """The colours of what is right."""
    return {
        "zmin": 0,
        "zmax": float(counts.diagonal().max() or 1) if normalise == "none" else 1,
        "colorscale": [[place, inks.healthy[place] if diagonal else inks.surface] for place in (0, 1)],
        "showscale": False,
    }


def _ends(area: blocks.Area | None, classes: int) -> tuple[range, range]:
    """The columns and rows of a map whose names are written: of all of it, or of its finer part."""
    return (range(classes),) * 2 if area is None else (range(area.left, area.right), range(area.top, area.bottom))


def _meta(confusion: Confusion) -> dict[str, Any]:
    found = of_matrix(confusion, LARGEST)
    summary = f"{found.total:,} predictions, {found.right:,} of them right."
    if len(found.count):
        names = confusion.class_names
        first = f"{names[found.true[0]]} taken for {names[found.predicted[0]]}"
        summary += f" Most confused: {first}, {found.count[0]:,} of {found.of[0]:,}."
    else:
        summary += " Nothing was confused."
    return {
        "split": confusion.split,
        "from": confusion.start,
        "to": confusion.stop,
        "epoch": confusion.epoch,
        "summary": summary,
        **_told(found),
    }


def _told(found: Confused) -> dict[str, Any]:
    return {
        "total": found.total,
        "right": found.right,
        "different": found.different,
        "largest": listed(found),
    }
