"""Per-class curves of one run: a few classes in focus with their 95 % bands, the rest as grey context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.rates import Numbers, Rate
from epochscope_server.figures import columns, curve
from epochscope_server.figures.frame import Figure, axis, brushed, empty_figure, layout
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import INKS, Inks, Theme, faint

METRICS = {"f1": "F1", "recall": "recall", "precision": "precision"}
FOCUS = 3  # how many classes are in focus where none is named
CONTEXT_LINES = 200  # with more classes than this, context is a band instead of lines

NO_COUNTS = "No predictions counted here yet."


def classes_figure(
    curves: ClassCurves, *, metric: str = "f1", focus: Sequence[int] | None = None, theme: Theme = "light"
) -> Figure:
    """Curves of ``metric`` ("f1", "recall", "precision") for every class of one run, unknown values as gaps.

    ``focus`` names classes by index; where it is None, the three that are worst now, all where there are no more
    than three. ``layout.meta`` gives the windows behind the points (``from``, ``to``, half-open, in steps) and the
    classes in focus with their colour and last known value.
    """
    rate = curves.rate(metric)
    if not np.isfinite(rate.value).any():
        return empty_figure(NO_COUNTS, theme)
    inks = INKS[theme]
    x = curve.places(curves)
    chosen = worst(rate, FOCUS) if focus is None else known(focus, len(curves.class_names))
    others = [index for index in range(len(curves.class_names)) if index not in set(chosen)]
    data: list[dict[str, Any]] = []
    if len(others) > CONTEXT_LINES:
        data += _context_band(x, rate, others, inks)
    else:
        for index in others:
            line = {"color": faint(inks.context, 1 if len(others) <= 30 else 0.45), "width": 1}
            data.append(curve.line(curves, rate, index, x, curves.class_names[index], line, inks.context))
    for place, index in enumerate(chosen):
        data.append(curve.band(x, rate, index, inks.line(place)))
    labels: list[tuple[float, str, str]] = []
    in_focus: list[dict[str, Any]] = []
    for place, index in enumerate(chosen):
        colour, name = inks.line(place), curves.class_names[index]
        line = {"color": colour, "width": 2, "dash": "solid" if place < 10 else "dash"}
        data.append(curve.line(curves, rate, index, x, name, line, colour))
        value, low, high = curve.last(rate, index)
        labels.append((value, name, colour))
        in_focus.append({"index": index, "name": name, "colour": colour} | curve.interval(value, low, high))
    summary = _summary(METRICS[metric], curves.split, in_focus, named=focus is not None)
    return framed(data, curves, metric, curve.bottom(rate.value), labels, in_focus, summary, inks)


def worst(rate: Rate, how_many: int) -> list[int]:
    """The classes with the lowest last known value, worst first; a class never seen is not among them."""
    latest = np.array([curve.last(rate, index)[0] for index in range(len(rate.value))])
    seen = np.flatnonzero(np.isfinite(latest))
    return [int(index) for index in seen[np.argsort(latest[seen], kind="stable")][:how_many]]


def framed(
    data: list[dict[str, Any]],
    curves: ClassCurves,
    metric: str,
    bottom: float,
    labels: list[tuple[float, str, str]],
    in_focus: list[dict[str, Any]],
    summary: str,
    inks: Inks,
) -> Figure:
    """The figure around these traces: its axes, the names at the ends of the lines, and what it says of itself."""
    by = "step" if curves.epoch is None else "epoch"
    unit = {"tickmode": "linear", "dtick": _epoch_tick(curves)} if by == "epoch" else {"tickformat": ",d"}
    return {
        "data": data,
        "layout": layout(
            inks,
            f"classes {curves.split} {by}",
            xaxis=axis(inks, f"{by} ({curves.split})", showgrid=False, tickangle=0, **unit),
            yaxis=axis(
                inks,
                f"{METRICS[metric]} (share, 0 to 1)",
                range=[bottom, 1 + 0.02 * (1 - bottom)],
                uirevision=metric,
                tickformat=".1~f" if bottom == 0 else ".2~f",
            ),
            margin={"l": 48, "r": curve.label_room(labels), "t": 10, "b": 40},
            annotations=curve.end_labels(labels, bottom),
            **brushed(inks),
            meta={
                "x": by,
                "split": curves.split,
                "own": by == "step" and curves.split != "train",
                "from": curves.start.tolist(),
                "to": curves.stop.tolist(),
                "epoch": None if curves.epoch is None else curves.epoch.tolist(),
                "focus": in_focus,
                "summary": summary,
            },
        ),
    }


def _context_band(x: Numbers, rate: Rate, others: list[int], inks: Inks) -> list[dict[str, Any]]:
    """Too many classes for lines: where the middle eight tenths of them lie, and their median."""
    seen = np.isfinite(rate.value[others]).any(axis=0)
    low, middle, high = (np.full(len(x), np.nan) for _ in range(3))
    low[seen], middle[seen], high[seen] = np.nanquantile(rate.value[others][:, seen], [0.1, 0.5, 0.9], axis=0)
    median = {
        "type": "scatter",
        "mode": "lines",
        "name": "median of the other classes",
        "x": columns.exact(x),
        "y": columns.numbers(middle),
        "line": {"color": inks.context, "width": 1.5, "dash": "dot"},
        "hovertemplate": "%{fullData.name} %{y:.3f}<extra></extra>",
    }
    return [outlined(x, low, high, faint(inks.context, 0.3)), median]


def known(focus: Sequence[int], classes: int) -> list[int]:
    """The classes in focus that there are, each once."""
    return [index for index in dict.fromkeys(focus) if 0 <= index < classes]


def _epoch_tick(curves: ClassCurves) -> int:
    return max(1, -(-len(curves.start) // 12))


def _summary(metric: str, split: str, in_focus: list[dict[str, Any]], *, named: bool) -> str:
    values = ", ".join(f"{entry['name']} {entry['value']:.3f}" for entry in in_focus if entry["value"] is not None)
    return f"{metric} per class, {split}. {'In focus' if named else 'Lowest now'}: {values or 'none'}."
