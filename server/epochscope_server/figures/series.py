"""Scalar series as lines: loss, metrics, learning rate, of one run or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.series import SeriesPoints
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, axis, empty_figure, layout
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import INKS, Inks, Theme, faint

HOVER_POINT = "<b>%{fullData.name}</b> %{y:.6~g}, %{meta} %{x:,.0f}<extra></extra>"
HOVER_BUCKET = (
    "<b>%{fullData.name}</b> %{y:.6~g}  (least %{customdata[1]:.5~g}, greatest %{customdata[2]:.5~g})"
    "<br>%{customdata[0]:,.0f} values from %{meta} %{x:,.0f}<extra></extra>"
)
HOVER_ODD = "<b>%{fullData.name}</b>: %{customdata:,.0f} NaN or infinite from %{meta} %{x:,.0f}<extra></extra>"


def series_figure(
    series: Sequence[tuple[str, SeriesPoints]],
    *,
    theme: Theme = "light",
    epoch_steps: Mapping[str, Mapping[int, int]] | None = None,
) -> Figure:
    """Lines over steps, or over epochs where the series are by epoch, each with its run's name ("" for one run).

    A bucket of several values has its least and greatest behind it; one with NaN or infinite values has a mark at
    the upper edge of the plot, so that none is ever out of sight. Several runs: one colour a run. One run: one
    colour a key, or, with one key, a colour a split; dashes tell splits apart as well.

    Args:
        series: (run name, points), drawn in this order.
        theme: "light" or "dark".
        epoch_steps: for each run's name, the last training step of each epoch. Given so, series by epoch stand on
            the axis of steps, at the end of their epoch: how validation is shown over the batches of training.
    """
    drawn = [(name, points) for name, points in series if len(points.step)]
    if not drawn:
        return empty_figure("Nothing recorded here yet.", theme)
    inks = INKS[theme]
    on_steps = any(points.by == "batch" for _, points in drawn)
    unit = "step" if on_steps else "epoch"
    runs = list(dict.fromkeys(name for name, _ in series))
    keys = list(dict.fromkeys(points.key for _, points in series))
    splits = list(dict.fromkeys(points.split for _, points in series))
    bands: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    odd: list[dict[str, Any]] = []
    for name, points in drawn:
        x = _places(points, on_steps, (epoch_steps or {}).get(name))
        if x is None:
            continue
        split = splits.index(points.split)
        if len(runs) > 1:
            colour, dash = inks.run(runs.index(name)), inks.dash(split + 2 * keys.index(points.key))
        elif len(keys) > 1:
            colour, dash = inks.line(keys.index(points.key)), inks.dash(split)
        else:
            colour, dash = inks.line((1, 0, 2)[split % 3]), inks.dash(0 if len(splits) == 1 else split)
        shown = " · ".join(part for part in (name, points.key if len(keys) > 1 else "", points.split) if part)
        if (points.n > 1).any():
            bands.append(outlined(x, points.low, points.high, faint(colour, 0.16)))
        lines.append(_line(x, points, text.escaped(shown), colour, dash, unit))
        if points.nonfinite.any():
            odd.append(_odd(x, points, text.escaped(shown), inks, unit))
    if not lines:
        return empty_figure("Nothing recorded here yet.", theme)
    y_axis = axis(inks, text.label(keys[0], 40) if len(keys) == 1 else "value", **_scale(keys, drawn))
    more: dict[str, Any] = {}
    if odd:
        # The marks have an axis of their own, so that they stay at the edge whatever is zoomed.
        more["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    if unit == "epoch":
        longest = max(len(points.step) for _, points in drawn)
        ticks: dict[str, Any] = {"tickmode": "linear", "dtick": max(1, -(-longest // 12))}
    else:
        ticks = {"tickformat": "~s"}  # 1.5k: four of them stand side by side in a small chart
    return {
        "data": [*bands, *lines, *odd],
        "layout": layout(
            inks,
            f"series {unit}",
            xaxis=axis(inks, unit, showgrid=False, tickangle=0, **ticks),
            yaxis=y_axis | {"uirevision": " ".join(keys)},
            showlegend=len(lines) > 1,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"size": 11, "color": inks.ink},
                "itemwidth": 30,
            },
            margin={"l": 48, "r": 16, "t": 8, "b": 40},
            dragmode="zoom",
            meta={"x": unit, "summary": _summary(drawn)},
            **more,
        ),
    }


def _places(points: SeriesPoints, on_steps: bool, epoch_steps: Mapping[int, int] | None) -> Numbers | None:
    """Where the points stand on the common axis, float64 [P]; None where they have no place on it."""
    if points.by != "epoch" or not on_steps:
        return points.step.astype(np.float64)
    if epoch_steps is None:
        return None
    return np.array([epoch_steps.get(int(epoch), np.nan) for epoch in points.step], dtype=np.float64)


def _line(x: Numbers, points: SeriesPoints, name: str, colour: str, dash: str, unit: str) -> dict[str, Any]:
    thinned = bool((points.n > 1).any())
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "meta": unit,
        "x": columns.exact(x),
        "y": columns.numbers(points.value),
        "line": {"color": colour, "width": 1.5, "dash": dash},
        "hovertemplate": HOVER_BUCKET if thinned else HOVER_POINT,
    }
    if thinned:
        trace["customdata"] = columns.numbers(np.column_stack([points.n, points.low, points.high]))
    if points.by == "epoch" or len(x) == 1:
        trace |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}}
    return trace


def _odd(x: Numbers, points: SeriesPoints, name: str, inks: Inks, unit: str) -> dict[str, Any]:
    there = points.nonfinite > 0
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "meta": unit,
        "x": columns.exact(x[there]),
        "y": columns.numbers(np.full(int(there.sum()), 0.97)),
        "yaxis": "y2",
        "customdata": columns.exact(points.nonfinite[there]),
        "marker": {"symbol": "x", "size": 8, "color": inks.alarm},
        "hovertemplate": HOVER_ODD,
        "showlegend": False,
        "cliponaxis": False,
    }


def _scale(keys: list[str], drawn: Sequence[tuple[str, SeriesPoints]]) -> dict[str, Any]:
    """A learning rate that falls by a hundred or more is read on a logarithmic axis; the rest on a linear one."""
    values = np.concatenate([points.value for _, points in drawn])
    values = values[np.isfinite(values)]
    if keys == ["learning_rate"]:
        if len(values) and values.min() > 0 and values.max() >= 100 * values.min():
            decades = np.log10(values.max() / values.min())
            return {"type": "log", "tickformat": ".0e", "dtick": int(np.ceil(decades / 5))}
        return {"rangemode": "tozero", "tickformat": ".1~e", "nticks": 5}
    return {"nticks": 6}


def _summary(drawn: Sequence[tuple[str, SeriesPoints]]) -> str:
    parts = []
    for name, points in drawn[:6]:
        finite = points.value[np.isfinite(points.value)]
        value = f"{finite[-1]:.4g}" if len(finite) else "no finite value"
        odd = int(points.nonfinite.sum())
        told = f"{name + ' ' if name else ''}{points.split} {points.key} {value}"
        parts.append(f"{told}, {odd:,} values NaN or infinite" if odd else told)
    return "Last values: " + "; ".join(parts) + "."
