"""Two windows side by side: what one has more of than the other, and whether that is more than chance.

Of many differences some are large by chance alone. So each has a probability p of one as large without any real
difference, and a share q: among all differences with this q or less, at most this share is expected to be chance
(Benjamini and Hochberg's false discovery rate). A difference counts as real here where q <= 0.05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis import rates
from epochscope_server.analysis.rates import Numbers, Rate, Whole

REAL = 0.05  # the largest q of a difference that counts as real


METRICS = ("recall", "precision", "f1")


@dataclass(frozen=True)
class Scores:
    """A rate of each class of a matrix [N], and the counts it comes from: ``hits`` of ``trials``, int64 [N].

    F1 comes from TP of TP + FP + FN, of which it is an increasing function: what differs in one differs in both.
    """

    rate: Rate
    hits: Whole
    trials: Whole


@dataclass(frozen=True)
class Difference:
    """Second minus first, arrays [N]: with its 95 % interval, p of chance, and q among all of them."""

    difference: Rate
    p: Numbers
    q: Numbers


@dataclass(frozen=True)
class Cells:
    """Every cell of two matrices [N, N] compared: share of the true class in the second minus that in the first.

    ``difference``, ``p``, ``q`` float64 [N, N]; the difference is NaN where a class did not occur in one of them.
    """

    difference: Numbers
    p: Numbers
    q: Numbers


def difference(a: Rate, b: Rate) -> Rate:
    """``b - a`` of independent rates with its 95 % interval, from the ends of the two intervals.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    value = b.value - a.value
    low = value - np.sqrt((b.value - b.low) ** 2 + (a.high - a.value) ** 2)
    high = value + np.sqrt((b.high - b.value) ** 2 + (a.value - a.low) ** 2)
    return Rate(value, low, high)


def scores(counts: Whole, metric: str) -> Scores:
    """Recall, precision or F1 of each class of ``counts`` [N, N], rows the true class."""
    tp = np.diagonal(counts)
    fn, fp = counts.sum(axis=1) - tp, counts.sum(axis=0) - tp
    trials = {"recall": tp + fn, "precision": tp + fp, "f1": tp + fp + fn}[metric]
    return Scores(rates.f1(tp, fp, fn) if metric == "f1" else rates.wilson(tp, trials), tp, trials)


def differ(a: Scores, b: Scores) -> Difference:
    """``b - a`` class by class; a class without trials in one of them is unknown: NaN, p and q 1."""
    p = chance(a.hits, a.trials, b.hits, b.trials)
    known = (a.trials > 0) & (b.trials > 0)
    q = np.ones(len(p))
    q[known] = discoveries(p[known])
    return Difference(difference(a.rate, b.rate), p, q)


def row_shares(counts: Whole) -> Numbers:
    """``counts`` [N, N] by true class: each row sums to 1, or is NaN where the class did not occur."""
    support = counts.sum(axis=1, keepdims=True)
    return counts / np.where(support > 0, support, np.nan)


def chance(successes_a: Whole, trials_a: Whole, successes_b: Whole, trials_b: Whole) -> Numbers:
    """The probability that two shares without a real difference differ as much; two-sided, 1 without trials.

    Pearson's chi-square of the 2 x 2 table with Yates's correction, which brings it near Fisher's exact test where
    counts are small. Source: F. Yates, Supplement to the JRSS 1 (1934), 217-235.
    """
    k, n, j, m = (np.asarray(part, np.float64) for part in (successes_a, trials_a, successes_b, trials_b))
    both, total = k + j, n + m
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.maximum(np.abs(k * (m - j) - j * (n - k)) - total / 2, 0.0)
        z = apart * np.sqrt(total / (both * (total - both) * n * m))
    p = np.ones(np.broadcast(z, z).shape)
    there = np.isfinite(z) & (z > 0)
    p[there] = [math.erfc(one / math.sqrt(2)) for one in z[there].tolist()]
    return p


def discoveries(p: Numbers) -> Numbers:
    """Each p's false discovery rate q among all of them, of the same shape.

    Source: Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995), 289-300.
    """
    flat = np.ravel(p)
    order = np.argsort(flat, kind="stable")
    stepped = flat[order] * len(flat) / np.arange(1, len(flat) + 1)
    q = np.empty_like(flat)
    q[order] = np.minimum.accumulate(stepped[::-1])[::-1]
    return np.minimum(q, 1.0).reshape(np.shape(p))


def cells(a: Whole, b: Whole) -> Cells:
    """Compare two confusion matrices [N, N] cell by cell; cells that are empty in both are no comparison."""
    of_a, of_b = (np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape) for counts in (a, b))
    there: NDArray[np.bool_] = ((a > 0) | (b > 0)) & (of_a > 0) & (of_b > 0)
    p, q = np.ones(a.shape), np.ones(a.shape)
    p[there] = chance(a[there], of_a[there], b[there], of_b[there])
    q[there] = discoveries(p[there])
    return Cells(row_shares(b) - row_shares(a), p, q)
