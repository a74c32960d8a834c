"""Student's t: how far the mean of a few runs may be off, where their spread is known from these runs alone."""

from __future__ import annotations

import math


def tail(t: float, freedom: float) -> float:
    """P(|T| > |t|) of Student's distribution with ``freedom`` degrees of freedom, not necessarily whole.

    By the incomplete beta function I_x(freedom / 2, 1 / 2), x = freedom / (freedom + t^2), as a continued fraction
    (Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.5.8 and 26.7.1).
    """
    if not math.isfinite(t):
        return 0.0 if math.isinf(t) else math.nan
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(doubt: float, freedom: float) -> float:
    """The t with ``tail(t, freedom) == doubt``: 12.7 at 0.05 and 1 degree of freedom, 1.96 at very many."""
    low, high = 0.0, 1.0
    while tail(high, freedom) > doubt:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > doubt else (low, middle)
    return (low + high) / 2


def _beta(a: float, b: float, x: float) -> float:
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below
        return 1 - _beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / a / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float, terms: int = 300) -> float:
    """1 + d_1 / (1 + d_2 / (1 + ...)), from the last term to the first."""
    value = 1.0
    for n in range(terms, 0, -1):
        m = n // 2
        if n % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1 + d / value
    return value
