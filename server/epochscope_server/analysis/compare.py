"""Two windows side by side: what one has more of than the other, and whether that is more than chance."""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.rates import Numbers, Rate, Whole


def difference(a: Rate, b: Rate) -> Rate:
    """``b - a`` of independent rates with its 95 % interval, from the ends of the two intervals.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    value = b.value - a.value
    low = value - np.sqrt((b.value - b.low) ** 2 + (a.high - a.value) ** 2)
    high = value + np.sqrt((b.high - b.value) ** 2 + (a.value - a.low) ** 2)
    return Rate(value, low, high)


def row_shares(counts: Whole) -> Numbers:
    """``counts`` [N, N] by true class: each row sums to 1, or is NaN where the class did not occur."""
    support = counts.sum(axis=1, keepdims=True)
    return counts / np.where(support > 0, support, np.nan)
