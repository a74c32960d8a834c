"""Scalar series as lines: loss, metrics, learning rate, of one run or several, over any axis of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.rulers import Ruler
from epochscope_server.analysis.series import SeriesPoints
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, axis, brushed, empty_figure, layout, legend_above
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import INKS, Inks, Theme, faint
from epochscope_server.figures.placed import apart, on_axis, together, unit_of
from epochscope_server.figures.series_axes import NAMES, SPREAD, across, mean_hover, nodes, upright

HOVER_POINT = "<b>%{fullData.name}</b> %{y:.6~g}, %{meta} %{customdata[0]:,.0f}<extra></extra>"
HOVER_BUCKET = (
    "<b>%{fullData.name}</b> %{y:.6~g}  (least %{customdata[2]:.5~g}, greatest %{customdata[3]:.5~g})"
    "<br>%{customdata[1]:,.0f} values from %{meta} %{customdata[0]:,.0f}<extra></extra>"
)
HOVER_ODD = "<b>%{fullData.name}</b>: %{text} %{meta} %{customdata[1]:,.0f}<extra></extra>"
NOTHING = "Nothing recorded here yet."


def series_figure(
    series: Sequence[tuple[str, SeriesPoints]],
    *,
    theme: Theme = "light",
    rulers: Mapping[str, Ruler] | None = None,
    log: bool = False,
    inliers: bool = False,
    baseline: str | None = None,
    smooth: bool = False,
    groups: Mapping[str, str] | None = None,
) -> Figure:
    """Lines over steps, or over epochs where the series are by epoch, each with its run's name ("" for one run).

    A bucket of several values has its least and greatest behind it; one with NaN or infinite values has a mark at
    the edge of the plot, so that none is ever out of sight. Several runs: one colour a run. One run: one
    colour a key, or, with one key, a colour a split; dashes tell splits apart as well. Running means are dotted.

    Args:
        series: (run name, points), drawn in this order.
        theme: "light" or "dark".
        rulers: for each run's name, the axis: all of one unit. Without any, series by batch stand on steps, those by
            epoch on epochs. What a run's ruler does not know is left out, and ``layout.meta.notes`` says so.
        log: a logarithmic y axis; values up to 0 have no place on it, and a note says how many there are.
        inliers: the y axis is that of the middle 96 % of what is drawn; a note says what lies outside.
        baseline: the name of a run whose lines are taken from those of the others.
        smooth: whether series by batch are shown smoothed.
        groups: for each run's name that of its group: those of one are drawn as their mean, with a band of one standard
            deviation over the runs. With groups there is no baseline.
    """
    drawn = [(name, points) for name, points in series if len(points.step)]
    if not drawn:
        return empty_figure(NOTHING, theme)
    inks = INKS[theme]
    unit = next(iter(rulers.values())).unit if rulers else unit_of(drawn)
    runs = list(dict.fromkeys(name for name, _ in series))
    keys = list(dict.fromkeys(points.key for _, points in series))
    splits = list(dict.fromkeys(points.split for _, points in series))
    placed, notes = on_axis(drawn, rulers, unit, runs)
    if baseline is not None:
        placed = apart(placed, baseline)
        notes.append(f"Difference to {baseline}.")
        log = False
    if not placed:
        return empty_figure(notes[0] if notes else NOTHING, theme)
    if rulers is None and unit == "step" and "train" not in splits:
        notes.append(f"Steps are those of {' and '.join(splits)}, each with a count of its own.")
    by_epoch = all(points.by == "epoch" for _, _, points in placed)
    epochs = max(len(points.step) for _, _, points in placed) if by_epoch else None
    x_axis, scaled, told = across([x for _, x, _ in placed], unit, epochs)
    placed = alone = [(name, x / scaled, points) for name, x, points in placed]
    if groups is not None:
        placed, ended = together(placed, groups, unit)
        runs = list(dict.fromkeys(groups.values()))
        notes += [SPREAD, *ended]
    means = any(points.running for _, _, points in placed)
    bands: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    odd: list[dict[str, Any]] = []
    for name, x, points in placed:
        split = splits.index(points.split)
        if len(runs) > 1 or groups is not None:
            colour, dash = inks.run(runs.index(name)), inks.dash(split + 2 * keys.index(points.key))
        elif len(keys) > 1:
            colour, dash = inks.line(keys.index(points.key)), inks.dash(split)
        else:
            colour, dash = inks.line((1, 0, 2)[split % 3]), inks.dash(0 if len(splits) == 1 else split)
        kind = "running mean" if points.running else ""
        if points.by == "batch" and not points.running:
            kind = "smoothed" if smooth else "each batch" if means else ""
        split_said = f"{points.split}, {kind}" if kind else points.split
        shown = " · ".join(part for part in (name, points.key if len(keys) > 1 else "", split_said) if part)
        style = {"color": colour, "width": 1.5, "dash": dash}
        if points.running:
            style |= {"width": 2, "dash": "dot"}
        elif (points.n > 1).any():
            bands.append(_band(x, points, faint(colour, 0.16), log))
        elif not np.array_equal(points.low, points.value, equal_nan=True) and baseline is None:
            bands.append(_raw(x, points, faint(colour, 0.3)))
        lines.append(_line(x, points, text.escaped(shown), style))
        if groups is not None:
            customdata = columns.numbers(np.column_stack([points.high - points.value, points.n]))
            lines[-1] |= {"customdata": customdata, "hovertemplate": mean_hover(NAMES[unit])}
        elif points.nonfinite.any() and not points.running:
            odd.append(_odd(x, points, text.escaped(shown), inks))
    if groups is not None:
        there = [one for one in alone if one[2].nonfinite.any() and not one[2].running]
        odd = [_odd(x, points, text.escaped(f"{name} · {points.split}"), inks) for name, x, points in there]
    values = np.concatenate([points.value for _, _, points in placed])
    y, said = upright(values, keys, log=log, inliers=inliers, signed=baseline is not None)
    notes += said
    title = text.label(keys[0], 40) if len(keys) == 1 else "value"
    more: dict[str, Any] = {}
    if odd:
        # The marks have an axis of their own, so that they stay at the edge whatever is zoomed.
        more["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    if baseline is not None:
        title = f"{title} − {text.label(baseline, 24)}"
    return {
        "data": [*bands, *lines, *odd],
        "layout": layout(
            inks,
            f"series {unit}",
            xaxis=axis(inks, told, showgrid=False, tickangle=0, **x_axis),
            yaxis=axis(inks, title, **y) | {"uirevision": f"{keys} {log} {inliers} {baseline}"},
            showlegend=len(lines) > 1,
            legend=legend_above(inks, itemwidth=30),
            margin={"l": 48, "r": 16, "t": 8, "b": 40},
            **brushed(inks),
            meta={
                "x": unit,
                "split": splits[0],
                "own": rulers is None and "train" not in splits,
                "scaled": scaled,
                "notes": notes,
                "places": nodes(rulers, alone[0][0], scaled),
                "summary": " ".join(
                    [_summary([(name, points) for name, _, points in placed] if groups else drawn), *notes]
                ),
            },
            **more,
        ),
    }


def _band(x: Numbers, points: SeriesPoints, fill: str, log: bool) -> dict[str, Any]:
    low = points.low
    if log:  # what reaches down to 0 or below reaches to the lower edge
        above = np.concatenate([points.value, points.high])
        above = above[np.isfinite(above) & (above > 0)]
        low = np.where(low > 0, low, above.min() / 10 if len(above) else np.nan)
    return outlined(x, low, points.high, fill)


def _raw(x: Numbers, points: SeriesPoints, colour: str) -> dict[str, Any]:
    """The values as they were, behind what smoothing makes of them."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": columns.exact(x),
        "y": columns.numbers(points.low),
        "line": {"color": colour, "width": 1},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _line(x: Numbers, points: SeriesPoints, name: str, style: dict[str, Any]) -> dict[str, Any]:
    thinned = bool((points.n > 1).any())
    told = [points.step, points.n, points.low, points.high] if thinned else [points.step]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "meta": "epoch" if points.by == "epoch" else "step",
        "x": columns.exact(x),
        "y": columns.numbers(points.value),
        "line": style,
        "customdata": columns.exact(np.column_stack(told)),
        "hovertemplate": HOVER_BUCKET if thinned else HOVER_POINT,
    }
    if points.by == "epoch" or len(x) == 1:
        trace |= {"mode": "lines+markers", "marker": {"size": 5, "color": style["color"]}}
    return trace


def _odd(x: Numbers, points: SeriesPoints, name: str, inks: Inks) -> dict[str, Any]:
    """Marks where values are no numbers: NaN and what is not known closer at the top, infinity at its end."""
    there = np.flatnonzero(points.nonfinite > 0)
    single = points.n[there] == 1
    value = np.where(single, points.value[there], np.nan)
    high = ~np.isneginf(value)
    said = [
        ("+∞ at" if one == np.inf else "−∞ at" if one == -np.inf else "NaN at")
        if alone
        else f"{count:,} NaN or infinite from"
        for one, alone, count in zip(value.tolist(), single.tolist(), points.nonfinite[there].tolist(), strict=True)
    ]
    symbols = ["x" if np.isnan(one) else "triangle-up" if one > 0 else "triangle-down" for one in value]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "meta": "epoch" if points.by == "epoch" else "step",
        "x": columns.exact(x[there]),
        "y": columns.numbers(np.where(high, 0.97, 0.03)),
        "yaxis": "y2",
        "text": said,
        "customdata": columns.exact(np.column_stack([points.nonfinite[there], points.step[there]])),
        "marker": {"symbol": symbols, "size": 8, "color": inks.alarm},
        "hovertemplate": HOVER_ODD,
        "showlegend": False,
        "cliponaxis": False,
    }


def _summary(drawn: Sequence[tuple[str, SeriesPoints]]) -> str:
    parts = []
    for name, points in [one for one in drawn if not one[1].running][:6]:
        finite = points.value[np.isfinite(points.value)]
        value = f"{finite[-1]:.4g}" if len(finite) else "no finite value"
        odd = int(points.nonfinite.sum())
        told = f"{name + ' ' if name else ''}{points.split} {points.key} {value}"
        if odd:
            told += f", {odd:,} values NaN or infinite"
        if odd and points.odd is not None:
            step, first = points.odd
            sign = "NaN" if np.isnan(first) else "infinity" if first > 0 else "minus infinity"
            told += f", the first of them {sign} at {'epoch' if points.by == 'epoch' else 'step'} {step:,}"
        parts.append(told)
    return "Last values: " + "; ".join(parts) + "."
