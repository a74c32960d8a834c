"""The axes of scalar series: what stands on x and in which unit, and how much of y is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.groups import Group
from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.rulers import Ruler

NAMES = {"step": "step", "epoch": "epoch", "samples": "samples seen", "time": "time"}
SPREAD = "Mean over runs, ± one standard deviation."
OUTER = 0.02  # of what is drawn, on either side: no part of the axis where outliers are ignored
FARTHEST = 3e38  # what lies beyond is drawn nowhere: see `columns`
_CLOCK = ((7200.0, 3600.0, "h"), (180.0, 60.0, "min"), (0.0, 1.0, "s"))


def across(places: Sequence[Numbers], unit: str, epochs: int | None) -> tuple[dict[str, Any], float, str]:
    """The x axis of lines at these places, by what they are divided, and its name with the unit.

    ``epochs``: how many the longest line has, where all are by epoch.
    """
    if unit == "time":
        longest = max((float(np.nanmax(x)) for x in places if np.isfinite(x).any()), default=0.0)
        _, size, word = next(clock for clock in _CLOCK if longest >= clock[0])
        return {"nticks": 6}, size, f"time trained, {word}"
    if unit == "epoch":
        if epochs is not None:
            return {"tickmode": "linear", "dtick": max(1, -(-epochs // 12))}, 1.0, "epoch"
        return {"nticks": 8}, 1.0, "epochs trained"
    return {"tickformat": "~s"}, 1.0, NAMES[unit]  # 1.5k: four of them stand side by side in a small chart


def cannot(names: Sequence[str], unit: str, *, alone: bool) -> list[str]:
    """That these runs have no place on the axis, or the only run, if there are any."""
    who = "This run" if alone else ", ".join(dict.fromkeys(names))
    return [f"{who} cannot be shown by {NAMES[unit]}: that was not recorded."] if names else []


def nodes(rulers: Mapping[str, Ruler] | None, name: str, scaled: float) -> dict[str, list[float]] | None:
    """What the page needs to read a stretch of the axis as steps: places that stand for known steps."""
    ruler = (rulers or {}).get(name)
    if ruler is None or ruler.unit == "step" or not len(ruler.steps):
        return None
    return {"step": ruler.steps.tolist(), "x": (ruler.places / scaled).tolist()}


def mean_hover(unit: str) -> str:
    """What hovering over the mean of a group says; its customdata are the spread and how many runs it is of."""
    spread = "spread %{customdata[0]:.3~g} over %{customdata[1]:,.0f} runs"
    return f"<b>%{{fullData.name}}</b>  mean %{{y:.4~g}}, {spread}<br>{unit} %{{x:,.5~g}}<extra></extra>"


def shorter(name: str, one: Group) -> list[str]:
    """That some runs of a group end before the others, if so: from there on the mean is of fewer."""
    there = one.runs[one.runs > 0]
    if not len(there) or there[-1] == there.max():
        return []
    return [f"Of {name} {there[-1]} of {there.max()} runs go on to the end."]


def upright(
    values: Numbers, keys: list[str], *, log: bool, inliers: bool, signed: bool
) -> tuple[dict[str, Any], list[str]]:
    """The y axis over what is drawn, and what has to be said about it.

    A learning rate that falls by a hundred or more is read on a logarithmic axis whatever was asked; it spans decades.
    """
    known = values[np.abs(values) < FARTHEST]
    notes: list[str] = []
    rate = keys == ["learning_rate"] and not signed
    if rate and len(known) and known.min() > 0 and known.max() >= 100 * known.min():
        log = True
    if log:
        below = int((known <= 0).sum())
        known = known[known > 0]
        if below:
            notes.append(f"{below:,} values of 0 or less have no place on a logarithmic axis.")
    told: dict[str, Any] = {"type": "log", **_decades(known)} if log else {"nticks": 6}
    if signed:
        told |= {"zeroline": True}
    elif rate and not log:
        told = {"rangemode": "tozero", "tickformat": ".1~e", "nticks": 5}
    if inliers and len(known) > 4:
        scale = np.log10(known) if log else known
        low, high = np.quantile(scale, [OUTER, 1 - OUTER])
        room = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
        outside = int(((scale < low - room) | (scale > high + room)).sum())
        told["range"] = [float(low - room), float(high + room)]
        told.pop("rangemode", None)
        if outside:
            points = "1 point" if outside == 1 else f"{outside:,} points"
            notes.append(f"y axis: the middle {100 - 200 * OUTER:.0f} % of what is drawn, {points} outside.")
    return told, notes


def _decades(known: Numbers) -> dict[str, Any]:
    """Ticks at powers of ten where there are several, else where Plotly puts them."""
    if not len(known):
        return {}
    spanned = float(np.log10(known.max() / known.min())) if known.min() > 0 else 0.0
    return {"tickformat": ".0e", "dtick": int(np.ceil(spanned / 5))} if spanned >= 2 else {"nticks": 5}
