"""One class by itself: its recall, precision and F1 with bands, and over time what it is taken for, or it for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.curves import CellCurve, ClassCurves
from epochscope_server.analysis.rates import Whole, wilson
from epochscope_server.figures import columns, curve, text
from epochscope_server.figures.classes import METRICS, NO_COUNTS
from epochscope_server.figures.frame import Figure, axis, brushed, empty_figure, layout, legend_above
from epochscope_server.figures.palette import INKS, Inks, Theme

_PART = (
    "<b>%{fullData.name}</b>  %{y:.2%}  (95 %: %{customdata[0]:.2%} to %{customdata[1]:.2%})"
    "<br>%{customdata[2]:,.0f} of %{customdata[3]:,.0f}"
)
PART_STEP = f"{_PART}, steps %{{customdata[4]:,.0f}} to %{{customdata[5]:,.0f}}<extra></extra>"
PART_EPOCH = f"{_PART}, epoch %{{x}}<extra></extra>"


def class_figure(curves: ClassCurves, *, theme: Theme = "light") -> Figure:
    """Recall, precision and F1 of the one class of ``curves``, each with its 95 % band; windows as ``classes_figure``.

    ``layout.meta["focus"]`` are the three with their colours and last known values.
    """
    rates = {metric: curves.rate(metric) for metric in ("recall", "precision", "f1")}
    if not any(np.isfinite(rate.value).any() for rate in rates.values()):
        return empty_figure(NO_COUNTS, theme)
    inks = INKS[theme]
    x = curve.places(curves)
    bands: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    labels: list[tuple[float, str, str]] = []
    told: list[dict[str, Any]] = []
    for place, (metric, rate) in enumerate(rates.items()):
        colour, dash = inks.line((1, 2, 0)[place]), ("dash", "dot", "solid")[place]
        bands.append(curve.band(x, rate, 0, colour))
        style = {"color": colour, "width": 2, "dash": dash}
        lines.append(curve.line(curves, rate, 0, x, METRICS[metric], style, colour) | {"meta": None})
        value, low, high = curve.last(rate, 0)
        labels.append((value, METRICS[metric], colour))
        told.append({"index": place, "name": METRICS[metric], "colour": colour} | curve.interval(value, low, high))
    bottom = min(curve.bottom(rate.value) for rate in rates.values())
    (name,) = curves.class_names
    values = ", ".join(f"{one['name']} {one['value']:.3f}" for one in told if one["value"] is not None)
    return {
        "data": bands + lines,
        "layout": layout(
            inks,
            f"class {curves.split} {name}",
            **_axes(curves.epoch, curves.split, inks),
            yaxis=axis(inks, "share, 0 to 1", range=[bottom, 1 + 0.02 * (1 - bottom)], tickformat=".2~f"),
            margin={"l": 48, "r": curve.label_room(labels), "t": 10, "b": 40},
            annotations=curve.end_labels(labels, bottom),
            **brushed(inks),
            meta=_windows(curves) | {"focus": told, "summary": f"{name}, {curves.split}, last: {values or 'unknown'}."},
        ),
    }


def mistakes_figure(
    name: str,
    parts: Sequence[CellCurve],
    colours: Sequence[int],
    wrong: Whole,
    of: Whole,
    *,
    came: bool,
    theme: Theme = "light",
) -> Figure:
    """Where the mistakes of a class go, or with ``came`` where they come from: stacked bars, a window each.

    Args:
        parts: the largest confusions over the same windows, the largest first.
        colours: of ``parts``, by their number.
        wrong: all mistakes of each window, int64 [P]: what ``parts`` do not hold is "the rest".
        of: what they are shares of, int64 [P]: samples of the class, or with ``came`` predictions of it.
    """
    first = parts[0] if parts else None
    if first is None or not wrong.any():
        says = f"Nothing was taken for {name} here." if came else f"{name} was never taken for anything else here."
        return empty_figure(text.escaped(says), theme)
    inks = INKS[theme]
    x = first.epoch if first.epoch is not None else (first.start + first.stop - 1) / 2
    width = np.ones(len(of)) * 0.8 if first.epoch is not None else first.stop - first.start
    data = []
    rest = wrong - sum(one.count for one in parts)
    shown = [((one.true if came else one.predicted), one.count) for one in parts]
    for place, (other, count) in enumerate([*shown, ("the rest", rest)]):
        share = wilson(count, of)
        told = [share.low, share.high, count, of, first.start, first.stop - 1]
        data.append(
            {
                "type": "bar",
                "name": text.escaped(other),
                "x": columns.exact(x),
                "y": columns.numbers(share.value),
                "width": columns.exact(width),
                "marker": {
                    "color": inks.line(colours[place]) if place < len(shown) else inks.context,
                    "line": {"width": 0},
                },
                "unselected": {"marker": {"opacity": 1}},
                "customdata": columns.numbers(np.column_stack(told)),
                "hovertemplate": PART_STEP if first.epoch is None else PART_EPOCH,
            }
        )
    whole = wilson(wrong, of).value
    seen = whole[np.isfinite(whole)][len(whole) // 10 if len(whole) >= 20 else 0 :]
    total, all_of = int(wrong.sum()), int(of.sum())
    most = f"{shown[0][0]} ({int(parts[0].count.sum()):,})"
    return {
        "data": data,
        "layout": layout(
            inks,
            f"mistakes {came} {first.split} {name}",
            **_axes(first.epoch, first.split, inks),
            yaxis=axis(
                inks,
                "share of its predictions" if came else "share of its samples",
                range=[0, min(1.0, 1.08 * float(seen.max() if len(seen) else 1) or 1)],
                tickformat=".1~%",
            ),
            barmode="stack",
            bargap=0,
            margin={"l": 48, "r": 16, "t": 32, "b": 40},
            showlegend=True,
            legend=legend_above(inks, traceorder="normal"),
            **brushed(inks),
            meta=_windows(first)
            | {
                "count": total,
                "total": all_of,
                "summary": f"{total:,} of {all_of:,} "
                + (f"predictions of {name} were wrong" if came else f"samples of {name} were taken for others")
                + f", most {'of' if came else 'for'} {most}.",
            },
        ),
    }


def _axes(epoch: Whole | None, split: str, inks: Inks) -> dict[str, Any]:
    by = "step" if epoch is None else "epoch"
    unit = {"tickformat": ",d"} if epoch is None else {"dtick": max(1, -(-len(epoch) // 12)), "tickmode": "linear"}
    return {"xaxis": axis(inks, f"{by} ({split})", showgrid=False, tickangle=0, **unit)}


def _windows(curves: ClassCurves | CellCurve) -> dict[str, Any]:
    return {
        "x": "step" if curves.epoch is None else "epoch",
        "split": curves.split,
        "from": curves.start.tolist(),
        "to": curves.stop.tolist(),
        "epoch": None if curves.epoch is None else curves.epoch.tolist(),
    }
