"""Series on their common axis: each where its run's ruler puts it, as differences to a baseline, or groups as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from epochscope_server.analysis.course import course
from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.rulers import Ruler
from epochscope_server.analysis.series import SeriesPoints
from epochscope_server.figures.series_axes import cannot, shorter

Placed = list[tuple[str, Numbers, SeriesPoints]]


def unit_of(drawn: Sequence[tuple[str, SeriesPoints]]) -> str:
    return "step" if any(points.by == "batch" for _, points in drawn) else "epoch"


def on_axis(
    drawn: Sequence[tuple[str, SeriesPoints]], rulers: Mapping[str, Ruler] | None, unit: str, runs: list[str]
) -> tuple[Placed, list[str]]:
    """Each series with the places of its points on the common axis, float64 [P], and what has none."""
    found: Placed = []
    missing: list[str] = []
    for name, points in drawn:
        ruler = (rulers or {}).get(name)
        if points.by != "epoch":
            x = ruler.at(points.step) if ruler else points.step.astype(np.float64)
        elif ruler:
            x = ruler.after(points.step)
        elif unit == "epoch":
            x = points.step.astype(np.float64)
        else:
            continue
        if np.isfinite(x).any():
            found.append((name, x, points))
        else:
            missing.append(name)
    return found, cannot(missing, unit, alone=len(runs) == 1)


def together(placed: Placed, groups: Mapping[str, str], unit: str) -> tuple[Placed, list[str]]:
    """The mean of each series over the runs of each group, ``n`` runs, a standard deviation from ``low`` and ``high``;
    and in which groups some runs end before the others."""
    kinds: dict[tuple[str, str, str, str, bool], list[tuple[Numbers, SeriesPoints]]] = {}
    for group in dict.fromkeys(groups.values()):
        for name, x, points in placed:
            if groups[name] == group:
                kinds.setdefault((group, points.key, points.split, points.by, points.running), []).append((x, points))
    found: Placed = []
    ended: dict[str, list[str]] = {}
    for (group, key, split, by, running), own in kinds.items():
        lines = [(x, np.where(np.isfinite(points.value), points.value, np.nan)) for x, points in own]
        x, one = course(lines, between=by != "epoch" or unit != "epoch")
        ended.setdefault(group, shorter(group, one))
        spread, none = np.nan_to_num(one.spread), np.zeros(len(x), np.int64)
        mean = one.mean.value
        told = SeriesPoints(key, split, by, none, one.runs, mean, mean - spread, mean + spread, none, running)
        found.append((group, x, told))
    return found, [note for notes in ended.values() for note in notes]


def apart(placed: Placed, baseline: str) -> Placed:
    """Each line minus that of the baseline at the same place; where the baseline has none there is nothing."""
    base = {
        (points.key, points.split, points.running): (x, points.value) for name, x, points in placed if name == baseline
    }
    found: Placed = []
    for name, x, points in placed:
        under = base.get((points.key, points.split, points.running))
        if under is None:
            continue
        known = np.isfinite(under[0]) & np.isfinite(under[1])
        if not known.any():
            continue
        value = points.value - np.interp(x, under[0][known], under[1][known], left=np.nan, right=np.nan)
        once = np.ones_like(points.n)
        found.append((name, x, replace(points, value=value, low=value, high=value, n=once)))
    return found
