"""Recall, precision and F1 with their 95 % intervals, from whole counts.

A rate over nothing (a class that did not occur, a class that was never predicted) is unknown: NaN here, null
in an answer, a gap in a figure. It is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    found = Rate(*(np.empty(np.shape(trials)) for _ in range(3)))
    flat = [part.reshape(-1) for part in (found.value, found.low, found.high)]
    k, n = np.ravel(successes), np.ravel(trials)
    with np.errstate(divide="ignore", invalid="ignore"):  # of nothing the share is 0 / 0: NaN, as are its ends
        for at in range(0, k.size, _BLOCK):
            block = slice(at, at + _BLOCK)
            _wilson(k[block], n[block], z, *(part[block] for part in flat))
    return found


_BLOCK = 4096  # numbers at a time: what is in between then stays in the processor's cache, several times faster


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
    return wilson(tp, tp + fn)


def precision(tp: Whole, fp: Whole) -> Rate:
    """TP / (TP + FP): of the predictions of a class, the share that was right."""
    return wilson(tp, tp + fp)


def f1(tp: Whole, fp: Whole, fn: Whole) -> Rate:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    The interval is Wilson's on the Jaccard index J = TP / (TP + FP + FN), carried over by the increasing
    map F1 = 2 J / (1 + J). Source: Lam, Gopal and Qian, "Confidence intervals for the F1 score",
    arXiv 2309.14621 (2023).
    """
    jaccard = wilson(tp, tp + fp + fn)
    for part in (jaccard.value, jaccard.low, jaccard.high):
        np.divide(2 * part, 1 + part, out=part)
    return jaccard
