"""How a number that is not finite is said where JSON has no word for it: "NaN", "Infinity", "-Infinity"."""

from __future__ import annotations

import math


def said(value: float) -> float | str:
    """``value`` itself where it is finite, else its word."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
