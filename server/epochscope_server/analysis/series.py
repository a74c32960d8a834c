"""Scalar series: smoothed first, thinned after, so that a curve does not depend on the width of a screen."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole


@dataclass(frozen=True)
class SeriesPoints:
    """At most P buckets of consecutive points of one series, all arrays [P].

    ``step`` int64: first step of the bucket (an epoch where ``by`` is "epoch"); ``n`` int64: points in it;
    ``value`` float64: mean of its finite (smoothed) values, or its first non-finite one if none is finite;
    ``low``, ``high`` float64: least and greatest finite raw value; ``nonfinite`` int64: how many NaN, ±Inf.
    ``running``: the values are running means, not those of each batch. ``odd``: the first step whose value is not
    finite, and that value, where it is known.
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
    running: bool = False
    odd: tuple[int, float] | None = None


class Buckets(Protocol):
    """B buckets of consecutive points, each array [B]: what ``SeriesPoints`` needs to know of them."""

    @property
    def step_first(self) -> Whole: ...
    @property
    def n(self) -> Whole: ...
    @property
    def finite(self) -> Whole: ...
    @property
    def first(self) -> Numbers: ...
    @property
    def low(self) -> Numbers: ...
    @property
    def high(self) -> Numbers: ...
    @property
    def sum(self) -> Numbers: ...


def smoothed(values: Numbers, weight: float) -> Numbers:
    """Exponential moving average, debiased by 1 - weight^n; non-finite values pass through and are not mixed in.

    Value i is the sum of weight^j times value i - j over all j, divided by the sum of those weights. The sums are
    doubled in length until what is left out is below the rounding of a float64: 12 passes at a weight of 0.99.
    """
    finite = np.isfinite(values)
    if weight <= 0 or not finite.any():
        return values
    result = values.copy()
    summed = values[finite]
    reach, share = 1, weight
    while reach < len(summed) and share > 1e-18:
        longer = summed.copy()
        longer[reach:] += share * summed[:-reach]
        summed, reach, share = longer, 2 * reach, share * share
    result[finite] = summed * (1 - weight) / -np.expm1(np.arange(1, len(summed) + 1) * np.log(weight))
    return result


def slid(values: Numbers, width: int) -> Numbers:
    """The mean of the last ``width`` values, or of as many as there are; non-finite values pass through, not mixed in.

    Sums of 1, 2, 4, 8 ... values make up each, so that one huge value is forgotten once it has slid out: the
    difference of two cumulative sums would carry its rounding on for ever.
    """
    finite = np.isfinite(values)
    if width <= 1 or not finite.any():
        return values
    sums = values[finite]
    total, count = np.zeros(len(sums)), len(sums)
    done, size, left = 0, 1, width
    with np.errstate(over="ignore", invalid="ignore"):  # of values near the greatest there is, infinity is the sum
        while left and done < count:
            if left & 1:
                total[done:] += sums[: count - done]
                done += size
            left >>= 1
            longer = sums.copy()
            longer[size:] += sums[:-size]
            sums, size = longer, 2 * size
    result = values.copy()
    result[finite] = total / np.minimum(np.arange(1, count + 1), width)
    return result


def running(steps: Whole, values: Numbers, begins: Whole) -> Numbers:
    """The mean of the values since the epoch began, as Keras shows it of batches of one size.

    Args:
        begins: the first step of each epoch, ascending; what comes before all of them is a stretch of its own.
    """
    result = values.copy()
    edges = np.unique(np.concatenate([[0], np.searchsorted(steps, begins), [len(steps)]]))
    for lo, hi in itertools.pairwise(edges.tolist()):
        finite = np.isfinite(values[lo:hi])
        with np.errstate(over="ignore", invalid="ignore"):
            summed = np.cumsum(np.where(finite, values[lo:hi], 0.0))
        part = result[lo:hi]
        part[finite] = (summed / np.maximum(np.cumsum(finite), 1))[finite]
    return result


def thinned(
    key: str,
    split: str,
    by: str,
    steps: Whole,
    values: Numbers,
    points: int | None,
    weight: float = 0.0,
    curve: Numbers | None = None,
) -> SeriesPoints:
    """The series in at most ``points`` buckets of equal length (every point of its own where None).

    Nothing is lost from sight: a bucket keeps its least and greatest value and counts what is not finite.

    Args:
        weight: of the moving average whose means are shown; 0 for none.
        curve: what is shown instead, value by value: means of another kind.
    """
    curve = smoothed(values, weight) if curve is None else curve
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
    return SeriesPoints(key, split, by, steps[edges], n, mean, low, high, n - n_finite, odd=first_odd(steps, values))


def only(points: SeriesPoints, steps: Collection[int]) -> SeriesPoints:
    """Those of the points whose step (or epoch) is one of ``steps``."""
    kept = np.isin(points.step, list(steps))
    columns = {name: getattr(points, name)[kept] for name in ("step", "n", "value", "low", "high", "nonfinite")}
    return replace(points, **columns, odd=None)


def first_odd(steps: Whole, values: Numbers) -> tuple[int, float] | None:
    """The first step whose value is NaN or infinite, and that value; None where all are finite."""
    odd = ~np.isfinite(values)
    at = int(odd.argmax()) if odd.any() else None
    return None if at is None else (int(steps[at]), float(values[at]))


def bucketed(
    key: str,
    split: str,
    by: str,
    buckets: Buckets,
    points: int,
) -> SeriesPoints:
    """As ``thinned`` without smoothing, of a series that is there in buckets already: as many in each point as make it
    hold about the same number of values.
    """
    ends = np.cumsum(buckets.n)
    edges = np.unique(np.searchsorted(ends, np.arange(points) * (int(ends[-1]) / points), side="right"))
    n_finite = np.add.reduceat(buckets.finite, edges)
    n = np.add.reduceat(buckets.n, edges)
    there = buckets.finite > 0
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.add.reduceat(buckets.sum, edges) / np.where(n_finite, n_finite, 1)
        low = np.minimum.reduceat(np.where(there, buckets.low, np.inf), edges)
        high = np.maximum.reduceat(np.where(there, buckets.high, -np.inf), edges)
    none = n_finite == 0
    mean[none] = buckets.first[edges[none]]
    low[none] = high[none] = np.nan
    return SeriesPoints(key, split, by, buckets.step_first[edges], n, mean, low, high, n - n_finite)
