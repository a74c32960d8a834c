"""Scalar series: smoothed first, thinned after, so that a curve does not depend on the width of a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole


@dataclass(frozen=True)
class SeriesPoints:
    """At most P buckets of consecutive points of one series, all arrays [P].

    ``step`` int64: first step of the bucket (an epoch where ``by`` is "epoch"); ``n`` int64: points in it;
    ``value`` float64: mean of its finite (smoothed) values, or its first non-finite one if none is finite;
    ``low``, ``high`` float64: least and greatest finite raw value; ``nonfinite`` int64: how many NaN, ±Inf.
    """

    key: str
    split: str
    by: str
    step: Whole
    n: Whole
    value: Numbers
    low: Numbers
    high: Numbers
    nonfinite: Whole


def smoothed(values: Numbers, weight: float) -> Numbers:
    """Exponential moving average, debiased by 1 - weight^n; non-finite values pass through and are not mixed in."""
    if weight <= 0:
        return values
    result = values.copy()
    average, mass = 0.0, 0.0
    for index in np.flatnonzero(np.isfinite(values)):
        average = weight * average + (1 - weight) * values[index]
        mass = weight * mass + (1 - weight)
        result[index] = average / mass
    return result


def thinned(
    key: str, split: str, by: str, steps: Whole, values: Numbers, points: int | None, weight: float = 0.0
) -> SeriesPoints:
    """The series in at most ``points`` buckets of equal length (every point of its own where None).

    Nothing is lost from sight: a bucket keeps its least and greatest value and counts what is not finite.
    """
    curve = smoothed(values, weight)
    total = len(values)
    width = 1 if points is None or total <= points else -(-total // points)
    edges = np.arange(0, total, width)
    finite = np.isfinite(values)
    n = np.diff(np.append(edges, total))
    if total == 0:
        empty = np.zeros(0)
        return SeriesPoints(key, split, by, edges, n, empty, empty, empty, edges)
    n_finite = np.add.reduceat(finite.astype(np.int64), edges)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(np.where(finite, curve, 0.0), edges) / np.where(n_finite, n_finite, 1)
        low = np.minimum.reduceat(np.where(finite, values, np.inf), edges)
        high = np.maximum.reduceat(np.where(finite, values, -np.inf), edges)
    none = n_finite == 0
    mean[none] = values[edges[none]]
    low[none] = high[none] = np.nan
    return SeriesPoints(key, split, by, steps[edges], n, mean, low, high, n - n_finite)
