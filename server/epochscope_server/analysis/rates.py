"""Recall, precision and F1 with their 95 % intervals, from whole counts.

A rate over nothing (a class that did not occur, a class that was never predicted) is unknown: NaN here, null
in an answer, a gap in a figure. It is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the 97.5th percentile of the standard normal distribution

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Rate:
    """Estimates in [0, 1] and the ends of their 95 % intervals, float64 arrays of one shape; NaN is unknown."""

    value: Numbers
    low: Numbers
    high: Numbers


def wilson(successes: Whole, trials: Whole, z: float = Z95) -> Rate:
    """The share of successes with its Wilson score interval.

    Args:
        successes: int64 array, 0 <= successes <= trials.
        trials: int64 array of the same shape; where it is 0 the rate is unknown.
        z: the normal quantile of the confidence; 1.96 is 95 %.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927), 209-212.
    """
    return _intervals(successes, (trials,), z)


_BLOCK = 4096  # numbers at a time: what is in between then stays in the processor's cache, several times faster
_SIDES = (64, 256)  # of fewer trials than these there are few intervals, and curves want each again and again
_MANY = 2 * _BLOCK  # intervals for which the table is asked


def _intervals(successes: Whole, trials: tuple[Whole, ...], z: float, f1: bool = False) -> Rate:
    """Wilson's intervals; trials are the sum of several arrays; with ``f1`` they are of a Jaccard index, told as F1."""
    found = Rate(*(np.empty(np.shape(successes)) for _ in range(3)))
    parts = [part.reshape(-1) for part in (found.value, found.low, found.high)]
    k, added = np.ravel(successes), [np.ravel(one) for one in trials]
    for at in range(0, k.size, _BLOCK):
        block = slice(at, at + _BLOCK)
        here, n = [part[block] for part in parts], added[0][block]
        for more in added[1:]:
            n = n + more[block]
        side = _SIDES[0] if int(n.max()) < _SIDES[0] else _SIDES[1]  # the smaller one stays in the nearest cache
        beyond = np.flatnonzero(n >= side)
        if k.size < _MANY or z != Z95 or len(beyond) > len(n) // 2:
            _work_out(k[block], n, z, f1, here)
            continue
        place = n * side
        place += k[block]
        for column, part in zip(_table(f1, side), here, strict=True):
            np.take(column, place, out=part, mode="clip")
        if len(beyond):
            few = [np.empty(len(beyond)) for _ in here]
            _work_out(k[block][beyond], n[beyond], z, f1, few)
            for part, worked in zip(here, few, strict=True):
                part[beyond] = worked
    return found


@cache
def _table(f1: bool, side: int) -> list[Numbers]:
    """The 95 % intervals of all k of n with n below ``side``, at n * ``side`` + k."""
    n, k = np.divmod(np.arange(side * side), side)
    columns = [np.empty(len(n)) for _ in range(3)]
    _work_out(np.minimum(k, n), n, Z95, f1, columns)
    return columns


def _work_out(successes: Whole, trials: Whole, z: float, f1: bool, parts: list[Numbers]) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):  # of nothing the share is 0 / 0: NaN, as are its ends
        _wilson(successes, trials, z, *parts)
    if f1:
        for part in parts:
            np.divide(2 * part, 1 + part, out=part)


def _wilson(successes: Whole, trials: Whole, z: float, share: Numbers, low: Numbers, high: Numbers) -> None:
    k, n = successes.astype(np.float64), trials.astype(np.float64)
    np.divide(k, n, out=share)
    np.subtract(n, k, out=high)
    high *= share
    high += z * z / 4
    np.sqrt(high, out=high)
    high *= z
    n += z * z
    high /= n  # half of the interval's width
    k += z * z / 2
    k /= n  # its centre
    np.subtract(k, high, out=low)
    high += k
    # The formula's ends at k = 0 and k = n are exactly 0 and 1; rounding must not move them past.
    np.copyto(low, share, where=successes == 0)
    np.copyto(high, share, where=successes == trials)
    np.clip(low, 0, None, out=low)
    np.clip(high, None, 1, out=high)


def recall(tp: Whole, fn: Whole) -> Rate:
    """TP / (TP + FN): of the members of a class, the share that was recognised."""
    return _intervals(tp, (tp, fn), Z95)


def precision(tp: Whole, fp: Whole) -> Rate:
    """TP / (TP + FP): of the predictions of a class, the share that was right."""
    return _intervals(tp, (tp, fp), Z95)


def f1(tp: Whole, fp: Whole, fn: Whole) -> Rate:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    The interval is Wilson's on the Jaccard index J = TP / (TP + FP + FN), carried over by the increasing
    map F1 = 2 J / (1 + J). Source: Lam, Gopal and Qian, "Confidence intervals for the F1 score",
    arXiv 2309.14621 (2023).
    """
    return _intervals(tp, (tp, fp, fn), Z95, f1=True)
