"""Runs of one group that differ by their seed alone: their mean, their spread, and whether two groups differ.

A run's interval says how much its number would move with other samples; only other seeds say how much it moves with
another beginning of the training. With R runs the mean has the interval m +- t s / sqrt(R), s their standard deviation
and t Student's quantile for R - 1 degrees of freedom (12.7 for two runs, 4.3 for three: few seeds say little).

Two groups are compared by Welch's test, which does not assume that both spread alike, class by class, with the false
discovery rate over the classes (``compare.discoveries``). Source: B. L. Welch, Biometrika 34 (1947), 28-35.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis import student
from epochscope_server.analysis.compare import discoveries
from epochscope_server.analysis.rates import Numbers, Rate, Whole


@dataclass(frozen=True)
class Group:
    """A number of each class over several runs, arrays [N]: mean with its 95 % interval, standard deviation, runs.

    ``runs`` int64: in how many it is known. The spread and the interval are NaN where it is known in fewer than two.
    """

    mean: Rate
    spread: Numbers
    runs: Whole


@dataclass(frozen=True)
class Difference:
    """Second group minus first, arrays [N]: with its 95 % interval, p of Welch's test, and q over the classes."""

    difference: Rate
    p: Numbers
    q: Numbers


def group(values: Numbers) -> Group:
    """``values`` [R, N] of R runs; NaN is unknown."""
    known = np.isfinite(values)
    runs = known.sum(axis=0).astype(np.int64)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.where(runs > 0, runs, np.nan)
    off = np.where(known, values - mean, 0.0)
    spread = np.sqrt((off**2).sum(axis=0) / np.where(runs > 1, runs - 1, np.nan))
    t = {count: student.quantile(0.05, count - 1) for count in set(runs.tolist()) if count > 1}
    half = np.array([t.get(count, np.nan) for count in runs.tolist()]) * spread / np.sqrt(np.maximum(runs, 1))
    return Group(Rate(mean, mean - half, mean + half), spread, runs)


def differ(a: Group, b: Group) -> Difference:
    """Whether group ``b`` differs from group ``a``, class by class; unknown where either has fewer than two runs.

    Where both groups show no spread at all, equal means are no difference and unequal ones a certain one.
    """
    parts = [one.spread**2 / np.where(one.runs > 1, one.runs, np.nan) for one in (a, b)]
    error = parts[0] + parts[1]
    value = b.mean.value - a.mean.value
    p, half = np.full(len(value), np.nan), np.full(len(value), np.nan)
    for index in np.flatnonzero(np.isfinite(error)):
        if error[index] == 0:
            p[index], half[index] = float(value[index] == 0), 0.0
            continue
        # Welch's degrees of freedom, by Satterthwaite.
        freedom = error[index] ** 2 / sum(
            part[index] ** 2 / (one.runs[index] - 1) for part, one in zip(parts, (a, b), strict=True)
        )
        scale = float(np.sqrt(error[index]))
        p[index] = student.tail(float(value[index]) / scale, float(freedom))
        half[index] = student.quantile(0.05, float(freedom)) * scale
    known = np.isfinite(p)
    q = np.full(len(p), np.nan)
    q[known] = discoveries(p[known])
    return Difference(Rate(value, value - half, value + half), p, q)
