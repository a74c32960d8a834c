"""One small chart a class: its curve with the 95 % band, the median class dotted, its changes marked.

The classes that likely fell furthest come first. All charts share their axes, so that levels can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drawdown import Drawdown
from epochscope_server.analysis.rates import Numbers, Rate
from epochscope_server.analysis.stability import Stability
from epochscope_server.figures import change_marks, columns, curve, text
from epochscope_server.figures.frame import Figure, axis, empty_figure, layout
from epochscope_server.figures.palette import INKS, Inks, Theme
from epochscope_server.figures.stability import NO_COUNTS, summary

MOST = 12
GAP_X = 0.035  # between charts, of the whole
GAP_Y, TITLE = 0.3, 0.13  # below a chart and above it, of a row; there stand its axis and its title


def multiples_figure(
    found: Stability, down: Drawdown, *, metric: str = "recall", columns_wide: int = 4, theme: Theme = "light"
) -> Figure:
    """Up to twelve classes, ``columns_wide`` charts side by side; ``metric`` as of the curves of classes.

    ``layout.meta`` is that of the raster, with as many ``rows``.
    """
    blocks = down.blocks
    if not blocks.support.any():
        return empty_figure(NO_COUNTS, theme)
    inks = INKS[theme]
    rate, x = blocks.rate(metric), curve.places(blocks)
    seen = blocks.support.sum(axis=1) > 0
    order = [int(index) for index in found.order if seen[index]]
    shown = order[:MOST]
    wide = max(min(columns_wide, len(shown)), 1)
    high = -(-len(shown) // wide)
    bottom = curve.bottom(rate.value[shown])
    told = change_marks.listed(found)
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    titles: list[dict[str, Any]] = []
    for place, index in enumerate(shown):
        left, top = place % wide, place // wide
        number = "" if place == 0 else str(place + 1)
        domain_x = _part(left, wide, GAP_X)
        domain_y = [1 - end for end in reversed(_part(top, high, GAP_Y / high))]
        domain_y[1] -= TITLE / high
        last_row = place + wide >= len(shown)
        axes |= _axes(number, domain_x, domain_y, bottom, blocks, last_row, left == 0, inks)
        drawn, colour = _chart(blocks, rate, x, index, found, inks)
        if len(shown) > 2:
            drawn.insert(1, _median(x, rate, seen, inks))
        drawn += _changes(told, index, found, down, bottom, inks)
        data += [{**trace, "xaxis": f"x{number}", "yaxis": f"y{number}"} for trace in drawn]
        titles.append(_title(blocks, rate, index, found, domain_x[0], domain_y[1], colour, inks))
    return {
        "data": data,
        "layout": layout(
            inks,
            f"multiples {blocks.split} {metric} {len(shown)} {wide}",
            **axes,
            annotations=titles,
            margin={"l": 36, "r": 8, "t": 4, "b": 36},
            dragmode="zoom",
            meta={
                "x": "step" if blocks.epoch is None else "epoch",
                "split": blocks.split,
                "from": blocks.start.tolist(),
                "to": blocks.stop.tolist(),
                "epoch": None if blocks.epoch is None else blocks.epoch.tolist(),
                "rows": shown,
                "charts": [wide, high],
                "folded": len(order) - len(shown),
                "changes": told,
                "movement": change_marks.movement(found),
                "summary": summary(found),
            },
        ),
    }


def _part(place: int, of: int, gap: float) -> list[float]:
    """Where the ``place``-th of so many parts of [0, 1] begins and ends."""
    size = (1 - gap * (of - 1)) / of
    return [place * (size + gap), place * (size + gap) + size]


def _axes(
    number: str, x: list[float], y: list[float], bottom: float, blocks: ClassCurves, named: bool, left: bool, inks: Inks
) -> dict[str, Any]:
    by = "step" if blocks.epoch is None else "pass"
    matches: dict[str, Any] = {} if not number else {"matches": "x"}
    level: dict[str, Any] = {} if not number else {"matches": "y"}
    return {
        f"xaxis{number}": axis(
            inks, f"{by} ({blocks.split})" if named else "", domain=x, anchor=f"y{number}", showticklabels=named,
            nticks=4, tickformat="~s", tickangle=0, **matches,
        ),
        f"yaxis{number}": axis(
            inks, "", domain=y, anchor=f"x{number}", range=[bottom, 1.02], showticklabels=left, nticks=5, **level
        ),
    }  # fmt: skip


def _chart(
    blocks: ClassCurves, rate: Rate, x: Numbers, index: int, found: Stability, inks: Inks
) -> tuple[list[dict[str, Any]], str]:
    colour = inks.line(0) if found.drops.drop[index] > 0 else inks.line(1)
    style = {"color": colour, "width": 1.5}
    name = blocks.class_names[index]
    return [curve.band(x, rate, index, colour), curve.line(blocks, rate, index, x, name, style, colour)], colour


def _median(x: Numbers, rate: Rate, seen: Any, inks: Inks) -> dict[str, Any]:
    known = np.isfinite(rate.value[seen]).any(axis=0)
    middle = np.full(len(x), np.nan)
    middle[known] = np.nanmedian(rate.value[seen][:, known], axis=0)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "median class",
        "x": columns.exact(x),
        "y": columns.numbers(middle),
        "line": {"color": inks.muted, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _changes(
    told: list[dict[str, Any]], index: int, found: Stability, down: Drawdown, bottom: float, inks: Inks
) -> list[dict[str, Any]]:
    """Triangles on the lower edge, where they hide nothing."""
    there = [change for change in told if change["index"] == index and change["kind"] != "learning"]
    if not there:
        return []
    drops = [change["direction"] == "drop" for change in there]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "changes",
            "x": columns.exact(np.array([change_marks.place(change, found, down) for change in there])),
            "y": columns.numbers(np.full(len(there), bottom + 0.03 * (1 - bottom))),
            "text": [change["says"] for change in there],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "symbol": ["triangle-down" if drop else "triangle-up" for drop in drops],
                "size": 8,
                "color": [inks.alarm if drop else inks.muted for drop in drops],
            },
            "cliponaxis": False,
        }
    ]


def _title(
    blocks: ClassCurves, rate: Rate, index: int, found: Stability, x: float, y: float, colour: str, inks: Inks
) -> dict[str, Any]:
    value = curve.last(rate, index)[0]
    drop = found.drops.drop[index]
    verdict = f"▼ {100 * drop:.0f} points" if drop > 0 else ""
    name = text.label(blocks.class_names[index])
    now = f"{value:.2f}  " if np.isfinite(value) else ""
    return {
        "text": f"<b>{name}</b>  {now}{verdict}",
        "x": x,
        "xref": "paper",
        "xanchor": "left",
        "y": y,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11.5, "color": colour if drop > 0 else inks.muted},
    }
