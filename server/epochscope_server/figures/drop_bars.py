"""Beside the raster of stability: how far each class fell at most, for certain and as seen, and its recall now."""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.drawdown import Drawdown
from epochscope_server.analysis.stability import Stability
from epochscope_server.figures import columns
from epochscope_server.figures.frame import legend_above
from epochscope_server.figures.palette import Inks, faint

_HOVER_BAR = (
    "<b>%{text}</b> fell by %{customdata[0]:.1f} points for certain"
    "<br>%{customdata[1]:.1f} points were seen, which may be sampling noise<extra></extra>"
)
_HOVER_NOW = "<b>%{text}</b> now %{x:.3f}  (95 %: %{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>"


def bars_legend(inks: Inks, left: float, compact: bool) -> dict[str, Any]:
    """What the two parts of a bar are: above the bars from ``left`` on, or below all in narrow places."""
    place = {"yref": "container", "y": 0} if compact else {"orientation": "v", "x": left}
    return legend_above(inks, **place, traceorder="reversed", itemclick=False, itemdoubleclick=False)


def drop_bars(found: Stability, shown: list[int], names: list[str], inks: Inks) -> list[dict[str, Any]]:
    sure, likely = 100 * found.drops.drop[shown], 100 * np.maximum(found.drops.likely[shown], 0)
    lengths = [np.where(length >= 0.05, length, np.nan) for length in (likely, sure)]  # of nothing no outline either
    common: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "xaxis": "x2",
        "y": columns.exact(np.arange(len(shown))),
        "text": names,
        "textposition": "none",
        "customdata": columns.numbers(np.column_stack([sure, likely])),
        "hovertemplate": _HOVER_BAR,
    }
    looks = (
        ("seen, may be sampling noise", lengths[0], faint(inks.muted, 0.14), {"width": 1, "color": inks.muted}),
        ("certified", lengths[1], inks.error[5], {"width": 0}),
    )
    bars = [
        {**common, "name": name, "x": columns.numbers(length), "marker": {"color": colour, "line": line}}
        for name, length, colour, line in looks
    ]
    numbered = [place for place, value in enumerate(sure) if value >= 0.5]
    words = {
        "type": "scatter",
        "mode": "text",
        "name": "points",
        "xaxis": "x2",
        "x": columns.numbers(np.maximum(sure, likely)[numbered]),
        "y": columns.exact(np.array(numbered, np.int64)),
        "text": [f" {value:.0f}" for value in sure[numbered]],
        "textposition": "middle right",
        "textfont": {"size": 11, "color": inks.ink},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }
    return [*bars, words] if numbered else bars


def now_points(down: Drawdown, shown: list[int], names: list[str], inks: Inks) -> dict[str, Any]:
    """The last known recall of each class, with its interval."""
    recall = down.blocks.recall
    known = np.isfinite(recall.value[shown])
    last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    value, low, high = (getattr(recall, end)[shown, last] for end in ("value", "low", "high"))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "now",
        "xaxis": "x3",
        "x": columns.numbers(value),
        "y": columns.exact(np.arange(len(shown))),
        "text": names,
        "customdata": columns.numbers(np.column_stack([low, high])),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": columns.numbers(high - value),
            "arrayminus": columns.numbers(value - low),
            "color": inks.axis,
            "thickness": 1,
            "width": 0,
        },
        "marker": {"size": 6, "color": inks.line(1)},
        "hovertemplate": _HOVER_NOW,
        "showlegend": False,
    }
