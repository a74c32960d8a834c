"""What figures over two classes share: cells without ink where nothing is known, and axes named by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import axis
from epochscope_server.figures.palette import Inks

TEXT_FINE = 12  # up to so many classes, one decimal in each cell
TEXT_COARSE = 30  # up to so many, whole percents
NAMED = 20  # up to so many, names in the usual size
GAPS = 40  # above, Plotly draws cells with gaps between them slowly
HOVER_ALL = 60  # above, only cells that are not zero have hover text
HOVER_NONE = 200  # above, no cell has
HOVER = "%{hovertext}<extra></extra>"
HOVER_PLACE = "true class %{y:d}, predicted %{x:d}: %{z}<extra></extra>"


def shares(counts: Whole, normalise: str) -> Numbers:
    """Counts, or their shares of the row's or the column's sum; NaN where that sum is 0. float64 [N, N]."""
    if normalise == "none":
        return counts.astype(np.float64)
    sums = counts.sum(axis=1 if normalise == "true" else 0, keepdims=True).astype(np.float64)
    if normalise == "predicted":
        sums = sums.reshape(1, -1)
    return counts / np.where(sums > 0, sums, np.nan)


def apart(values: Numbers) -> tuple[Numbers, Numbers]:
    """``values`` off the diagonal and on it, each with NaN where the other is."""
    diagonal = np.eye(len(values), dtype=bool)
    return np.where(diagonal, np.nan, values), np.where(diagonal, values, np.nan)


def cell_trace(
    values: Numbers, hover: list[list[str]] | None, inside: list[list[str]] | None, classes: int
) -> dict[str, Any]:
    """A heatmap of ``values`` [N, N] on numeric axes; where they are NaN, without ink, text and hover."""
    known = np.isfinite(values)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": columns.numbers(values),
        "hoverongaps": False,
        "hovertemplate": HOVER if hover else HOVER_PLACE,
    }
    if hover:
        trace["hovertext"] = _where(known, hover)
    if classes <= GAPS:
        trace |= {"xgap": 1, "ygap": 1}
    if inside:
        trace |= {
            "text": _where(known, inside),
            "texttemplate": "%{text}",
            "textfont": {"size": 13 if classes <= 4 else 11 if classes <= TEXT_FINE else 9},
        }
    return trace


def class_axes(
    names: tuple[str, ...], inks: Inks, named: tuple[Sequence[int], Sequence[int]] | None = None
) -> dict[str, Any]:
    """Both axes of a matrix: places 0 to N-1 named by class, every one up to 40 classes, else about 25 of them.

    ``named``: of a map, the columns and rows that have names; its axes reach over all of it whatever is drawn finer.
    """
    chosen = [_named(part) for part in named or (range(len(names)),) * 2]
    slanted = sum(len(text.label(names[place])) for place in chosen[0]) > 44
    size = 11 if len(names) <= NAMED else 9
    ticks = [
        {"tickvals": places, "ticktext": [text.label(names[place]) for place in places]} for places in map(list, chosen)
    ]
    far = len(names) - 0.5
    across: dict[str, Any] = {} if named is None else {"range": [-0.5, far]}
    down: dict[str, Any] = {"autorange": "reversed"} if named is None else {"range": [far, -0.5]}
    common = {
        "showgrid": False,
        "mirror": True,
        "ticks": "",
        "tickfont": {"size": size, "color": inks.muted},
        "constrain": "domain",
    }
    return {
        "xaxis": axis(inks, "predicted class", tickangle=-45 if slanted else 0, **common, **ticks[0], **across),
        "yaxis": axis(inks, "true class", **common, **ticks[1], **down),
    }


def _named(places: Sequence[int]) -> Sequence[int]:
    """Those of so many places whose names there is room for."""
    return places[:: 1 if len(places) <= GAPS else -(-len(places) // 25)]


def _where(known: NDArray[np.bool_], texts: list[list[str]]) -> list[list[str]]:
    return [
        [one if there else "" for there, one in zip(*row, strict=True)]
        for row in zip(known.tolist(), texts, strict=True)
    ]
