"""Bounds on a share that hold for many windows at once: what is *sure* of a rate, not what is likely.

An interval of 95 % misses one time in twenty, so among the thousands of windows of a training some always miss.
Here a doubt (0.05, say) is divided among all bounds that are looked at. Far out in the tails the normal approximation
is wrong for small windows; the Chernoff bound holds for every number of trials, and for a rate that changes between
them.

Source: H. Chernoff, Annals of Mathematical Statistics 23 (1952), 493-507, in the form of W. Hoeffding, JASA 58
(1963), 13-30, theorem 1: P(successes / trials >= s) <= exp(-trials * KL(s, p)), where p is the mean of the true rates.
"""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole

STEPS = 6  # of Newton; more move no bound by as much as 1e-6
_TINY = 1e-300


def least(successes: Whole | Numbers, trials: Whole | Numbers, doubt: float | Numbers) -> Numbers:
    """The lowest true rate that ``successes`` of ``trials`` leave possible at ``doubt``; 0 without trials.

    Solves trials * KL(successes / trials, p) = ln(1 / doubt) for p below the share. Newton's steps on a convex
    function end below its root, so the bound is never too high, however few are taken.

    Args:
        successes, trials: arrays of one shape, 0 <= successes <= trials.
        doubt: probability that the true rate is lower, of each one of these bounds; one for all, or of their shape.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    want = -np.log(np.asarray(doubt, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(n > 0, k / n, 0.0)
        miss = n - k
        known = k * np.log(np.maximum(share, _TINY)) + miss * np.log(np.maximum(1 - share, _TINY))
        # Never above the root either: the root itself if what was missed did not count.
        below = np.clip(np.exp((known - want) / np.maximum(k, 1)), _TINY, np.maximum(share, _TINY))
        p = np.maximum(quick_ends(k, n, np.asarray(doubt, np.float64))[0], below)
        for _ in range(STEPS):
            distance = known - k * np.log(p) - miss * np.log1p(-p) - want
            p = np.clip(p + distance * p * (1 - p) / np.maximum(k - n * p, 1e-12), below, np.maximum(share, below))
            p = np.where(miss > 0, p, below)
    return np.where(k > 0, p, 0.0)


def most(successes: Whole | Numbers, trials: Whole | Numbers, doubt: float | Numbers) -> Numbers:
    """The highest true rate that is left possible; 1 without trials. Arguments as of ``least``."""
    return 1.0 - least(np.subtract(trials, successes), trials, doubt)


def quick_ends(successes: Whole | Numbers, trials: Whole | Numbers, doubt: float | Numbers) -> tuple[Numbers, Numbers]:
    """About ``least`` and ``most`` in a tenth of the time: within 0.03 of them from 100 trials on.

    The first terms of the bounds in x = ln(1 / doubt) / trials; of a share of 0 or 1, all that matters. They find the
    windows worth a bound; what is then said of them is said by ``least`` and ``most``. 0 and 1 without trials.
    """
    n = np.maximum(trials, 1e-9)
    want = -np.log(doubt)
    x = want / n
    share = successes / n
    half = np.sqrt(share * (1 - share) * (2 * x) + x * x / 9)
    centre = share + (2 / 3) * x * (1 - 2 * share)
    # Below so few, the series no longer holds, and next to nothing is sure.
    low = np.where(successes > want, np.clip(centre - half, 0.0, share), 0.0)
    high = np.where(trials - successes > want, np.clip(centre + half, share, 1.0), 1.0)
    return low, high
