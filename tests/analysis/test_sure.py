"""Bounds that hold for many windows at once: held against exact binomial tails and a root found by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope_server.analysis.sure import least, most, quick_ends
from scipy.optimize import brentq
from scipy.special import rel_entr
from scipy.stats import binom

CASES = [(k, n) for n in (1, 2, 5, 9, 30, 200, 5000) for k in {0, 1, n // 3, n // 2, n - 1, n} if k <= n]
DOUBTS = (0.05, 1e-3, 1e-6, 1e-9)


@pytest.mark.parametrize("doubt", DOUBTS)
def test_the_bound_is_the_root_that_scipy_finds(doubt: float) -> None:
    for k, n in CASES:

        def beyond(p: float, k: int = k, n: int = n) -> float:
            share = k / n
            return float(n * (rel_entr(share, p) + rel_entr(1 - share, 1 - p)) + np.log(doubt))

        expected = 0.0 if k == 0 else doubt ** (1 / n) if k == n else brentq(beyond, 1e-300, k / n, xtol=1e-15)
        assert float(least(np.array(k), np.array(n), doubt)) == pytest.approx(expected, abs=1e-6), (k, n)


@pytest.mark.parametrize("doubt", DOUBTS)
def test_so_many_hits_are_less_likely_than_the_doubt_wherever_the_true_rate_lies_below_the_bound(doubt: float) -> None:
    k, n = (np.array(column) for column in zip(*CASES, strict=True))
    assert (np.asarray(binom.sf(k - 1, n, least(k, n, doubt)))[k > 0] <= doubt * (1 + 1e-6)).all()
    assert (np.asarray(binom.cdf(k, n, most(k, n, doubt)))[k < n] <= doubt * (1 + 1e-6)).all()


def test_nothing_seen_leaves_everything_possible() -> None:
    nothing = np.array(0)
    assert (float(least(nothing, nothing, 0.05)), float(most(nothing, nothing, 0.05))) == (0.0, 1.0)


def test_each_bound_may_have_a_doubt_of_its_own() -> None:
    k, n, doubt = np.array([40, 40]), np.array([50, 50]), np.array([0.05, 1e-6])
    assert least(k, n, doubt).tolist() == [float(least(k[0], n[0], one)) for one in doubt]


@pytest.mark.parametrize("doubt", DOUBTS)
def test_the_quick_ends_stand_near_the_bounds_where_windows_are_not_thin(doubt: float) -> None:
    n = np.repeat([100.0, 400.0, 10_000.0], 7)
    k = np.round(n * np.tile([0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0], 3))
    low, high = quick_ends(k, n, doubt)
    assert low == pytest.approx(least(k, n, doubt), abs=0.05)
    assert high == pytest.approx(most(k, n, doubt), abs=0.05)
    assert low[7:] == pytest.approx(least(k, n, doubt)[7:], abs=0.01)
    thin = np.full(41, 40.0)
    assert (quick_ends(np.arange(41.0), thin, doubt)[0] <= least(np.arange(41.0), thin, doubt) + 0.02).all()


def test_the_quick_ends_of_nothing_are_zero_and_one() -> None:
    low, high = quick_ends(np.zeros(1), np.zeros(1), 1e-6)
    assert (low[0], high[0]) == (0.0, 1.0)
