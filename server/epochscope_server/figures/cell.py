"""One confusion over time: the share of a class that was taken for another, and beside it the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.curves import CellCurve
from epochscope_server.analysis.rates import Numbers
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, axis, brushed, empty_figure, layout, legend_above
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import INKS, Theme, faint

_SHARE = (
    "<b>%{fullData.name}</b>  %{y:.1%}  (95 %: %{customdata[0]:.1%} to %{customdata[1]:.1%})"
    "<br>%{customdata[2]:,.0f} of %{customdata[3]:,.0f}"
)
HOVER_STEP = f"{_SHARE}, steps %{{customdata[4]:,.0f}} to %{{customdata[5]:,.0f}}<extra></extra>"
HOVER_EPOCH = f"{_SHARE}, epoch %{{x}}<extra></extra>"


def cell_figure(curves: Sequence[CellCurve], *, theme: Theme = "light") -> Figure:
    """The first of ``curves`` with its 95 % band, the others, over the same windows, as dashed context.

    Windows in which the true class was not seen are gaps. ``layout.meta`` gives the windows behind the points
    (``from``, ``to``, half-open, in steps) and the sums over all of them (``count``, ``total``).
    """
    shown = curves[0]
    if not shown.support.sum():
        return empty_figure("No sample of this class was counted here.", theme)
    inks = INKS[theme]
    by = "step" if shown.epoch is None else "epoch"
    x = shown.epoch.astype(np.float64) if shown.epoch is not None else (shown.start + shown.stop - 1) / 2
    colour = inks.line(0) if shown.true != shown.predicted else inks.line(1)
    data = [outlined(x, shown.rate.low, shown.rate.high, faint(colour, 0.16))]
    data += [_line(one, x, {"color": inks.axis, "width": 1.5, "dash": "dash"}) for one in curves[1:]]
    data.append(_line(shown, x, {"color": colour, "width": 2}))
    highest = max(float(np.nanmax(one.rate.value)) for one in curves if one.support.any())
    band = shown.rate.high[shown.support >= np.median(shown.support)]  # thin windows have bands up to 1
    top = min(1.0, 1.08 * max(highest, float(np.nanmax(band)), 0.01))
    unit = {"dtick": max(1, -(-len(x) // 12)), "tickmode": "linear"} if by == "epoch" else {"tickformat": ",d"}
    return {
        "data": data,
        "layout": layout(
            inks,
            f"cell {shown.split} {by} {shown.true} {shown.predicted}",
            xaxis=axis(inks, f"{by} ({shown.split})", showgrid=False, tickangle=0, **unit),
            yaxis=axis(inks, "share of the true class", range=[0, top], tickformat=".1~%"),
            margin={"l": 48, "r": 16, "t": 10 if len(curves) == 1 else 26, "b": 40},
            showlegend=len(curves) > 1,
            legend=legend_above(inks, traceorder="reversed", itemwidth=30),
            **brushed(inks),
            meta={
                "x": by,
                "split": shown.split,
                "own": by == "step" and shown.split != "train",
                "from": shown.start.tolist(),
                "to": shown.stop.tolist(),
                "epoch": None if shown.epoch is None else shown.epoch.tolist(),
                "count": int(shown.count.sum()),
                "total": int(shown.support.sum()),
                "summary": _summary(shown),
            },
        ),
    }


def words(one: CellCurve) -> str:
    """What the cell counts: "shirt taken for coat", or of the diagonal "shirt recognised"."""
    return f"{one.true} recognised" if one.true == one.predicted else f"{one.true} taken for {one.predicted}"


def _line(one: CellCurve, x: Numbers, style: dict[str, Any]) -> dict[str, Any]:
    told = [one.rate.low, one.rate.high, one.count, one.support, one.start, one.stop - 1]
    return {
        "type": "scatter",
        "mode": "lines" if one.epoch is None else "lines+markers",
        "name": text.escaped(words(one)),
        "x": columns.exact(x),
        "y": columns.numbers(one.rate.value),
        "line": style,
        "marker": {"size": 5},
        "customdata": columns.numbers(np.column_stack(told)),
        "hovertemplate": HOVER_STEP if one.epoch is None else HOVER_EPOCH,
    }


def _summary(one: CellCurve) -> str:
    count, support = int(one.count.sum()), int(one.support.sum())
    known = np.flatnonzero(one.support)
    first, last = (float(one.rate.value[at]) for at in (known[0], known[-1]))
    course = f"{first:.1%} in the first window, {last:.1%} in the last" if len(known) > 1 else "one window"
    return f"{words(one)}, {one.split}: {count:,} of {support:,}, {count / support:.1%}; {course}."
