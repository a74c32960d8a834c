"""The line of one class over windows of steps: gaps, band, where it ends and what stands there."""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.rates import Numbers, Rate
from epochscope_server.figures import columns, text
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import faint

LABEL = 18  # characters of a name at the end of its line

_RATE = "%{y:.3f}  (95 %: %{customdata[0]:.3f} to %{customdata[1]:.3f})<br>%{customdata[2]:,.0f} true members"
HOVER_STEP = (
    f"<b>%{{fullData.name}}</b>  {_RATE}, steps %{{customdata[3]:,.0f}} to %{{customdata[4]:,.0f}}<extra></extra>"
)
HOVER_EPOCH = f"<b>%{{fullData.name}}</b>  {_RATE}, epoch %{{x}}<extra></extra>"


def line(
    curves: ClassCurves, rate: Rate, index: int, x: Numbers, name: str, style: dict[str, Any], colour: str
) -> dict[str, Any]:
    """One class: its line, and a mark where a known value stands alone between two gaps (a line would not show it)."""
    known = np.isfinite(rate.value[index])
    alone = known & ~np.append(known[1:], False) & ~np.append(False, known[:-1])
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "meta": {"class": index},
        "name": text.escaped(name),
        "x": columns.exact(x),
        "y": columns.numbers(rate.value[index]),
        "line": style,
        "customdata": columns.numbers(
            np.column_stack([rate.low[index], rate.high[index], curves.support[index], curves.start, curves.stop - 1])
        ),
        "hovertemplate": HOVER_STEP if curves.epoch is None else HOVER_EPOCH,
    }
    if curves.epoch is not None:
        trace |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}}
    elif alone.any():
        trace |= {
            "mode": "lines+markers",
            "marker": {"size": columns.exact(np.where(alone, 4, 0)), "color": colour, "line": {"width": 0}},
        }
    return trace


def band(x: Numbers, rate: Rate, index: int, colour: str) -> dict[str, Any]:
    """The 95 % interval as one closed outline for each stretch without a gap."""
    return outlined(x, rate.low[index], rate.high[index], faint(colour, 0.16))


def places(curves: ClassCurves) -> Numbers:
    """Where a window stands: at its epoch, or at the middle of its steps."""
    if curves.epoch is not None:
        return curves.epoch.astype(np.float64)
    return (curves.start + curves.stop - 1) / 2


def last(rate: Rate, index: int) -> tuple[float, float, float]:
    """The last known value of a class and its interval; NaN where it was never seen."""
    known = np.flatnonzero(np.isfinite(rate.value[index]))
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    at = known[-1]
    return float(rate.value[index, at]), float(rate.low[index, at]), float(rate.high[index, at])


def interval(value: float, low: float, high: float) -> dict[str, float | None]:
    """A rate as JSON: unknown is null."""
    return {
        key: round(number, 6) if np.isfinite(number) else None
        for key, number in (("value", value), ("low", low), ("high", high))
    }


def bottom(values: Numbers) -> float:
    """Where the y axis begins: the tenth below the least value after warm-up.

    In the first tenth of a training every class climbs from chance; with those windows in the frame the rest would
    be squeezed into its top. They are cut off by the frame, not left out: zoom out to see them.
    """
    windows = values.shape[-1]
    settled = values[..., windows // 10 :] if windows >= 20 else values
    known = settled[np.isfinite(settled)]
    return max(0.0, float(np.floor(known.min() * 10 - 0.2) / 10)) if len(known) else 0.0


def end_labels(labels: list[tuple[float, str, str]], bottom: float) -> list[dict[str, Any]]:
    """The names at the right ends of their lines, moved apart where they would stand on each other."""
    known = sorted((entry for entry in labels if np.isfinite(entry[0])), key=lambda entry: entry[0])
    if len(known) > 12:
        return []
    gap = (1 - bottom) * 0.065
    heights = [min(max(value, bottom), 1.0) for value, _, _ in known]
    for at in range(1, len(heights)):
        heights[at] = max(heights[at], heights[at - 1] + gap)
    excess = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for at in range(len(heights) - 1, -1, -1):  # push down from the top again, as far as needed
        limit = 1.0 if at == len(heights) - 1 else heights[at + 1] - gap
        heights[at] = min(heights[at], limit) if excess else heights[at]
    return [
        {
            "x": 1,
            "xref": "paper",
            "xanchor": "left",
            "xshift": 6,
            "y": height,
            "yref": "y",
            "yanchor": "middle",
            "text": f"{text.label(name, LABEL)} {value:.2f}",
            "font": {"size": 11.5, "color": colour},
            "showarrow": False,
        }
        for height, (value, name, colour) in zip(heights, known, strict=True)
    ]


def label_room(labels: list[tuple[float, str, str]]) -> int:
    """Pixels to the right of the curves for the longest label, at about 6.4 each character."""
    if not labels or len(labels) > 12:
        return 16
    return 24 + round(6.4 * (5 + max(min(len(name), LABEL) for _, name, _ in labels)))
