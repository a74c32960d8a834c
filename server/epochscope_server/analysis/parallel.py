"""Params and results of many runs side by side: which of them differ, where each run stands on their axes, what goes
with what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.rates import Numbers

Fields = Mapping[str, Any]  # "params.lr" or "summary.val_loss" to its value

MOST_PARAMS = 6
MOST_RESULTS = 2
RESULTS = (
    "summary.val_macro_f1", "summary.val_accuracy", "summary.val_sparse_categorical_accuracy", "summary.macro_f1",
    "summary.accuracy", "summary.val_loss", "summary.loss",
)  # fmt: skip
FEWEST = 8  # runs of which a correlation is told
DECADES = 2  # spanned by an axis that is logarithmic
_SEEDS = ("seed", "random_state")


@dataclass(frozen=True)
class Axis:
    """One param or result over R runs.

    ``values`` float64 [R]: the number, or the index into ``categories``; NaN where a run has none.
    ``kind``: "number", "log" or "category". ``low``, ``high``: the ends of the axis, in the unit of ``values``.
    """

    name: str
    kind: str
    values: Numbers
    categories: tuple[str, ...]
    low: float
    high: float

    def places(self, values: Numbers) -> Numbers:
        """Where values stand on the axis, 0 at its foot and 1 at its head."""
        if self.kind == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (values - self.low) / (self.high - self.low)

    def word(self, value: float) -> str:
        """A value as it is written."""
        if math.isnan(value):
            return "none"
        return self.categories[round(value)] if self.kind == "category" else f"{value:.4g}"


@dataclass(frozen=True)
class Brush:
    """A stretch of an axis that runs must pass, both ends included."""

    name: str
    low: float
    high: float


def chosen(runs: Sequence[Fields]) -> list[str]:
    """The axes that say most of these runs: params that differ, seeds last of all, and the first results there are."""
    names = sorted({name for run in runs for name in run if name.startswith("params.")})
    differing = [name for name in names if len({_spelt(run.get(name)) for run in runs}) > 1]
    differing.sort(key=lambda name: any(seed in name.lower() for seed in _SEEDS))
    return differing[:MOST_PARAMS] + results(runs)[:MOST_RESULTS]


def results(runs: Sequence[Fields]) -> list[str]:
    """The results that count first, as far as a run has them."""
    return [name for name in RESULTS if any(_number(run.get(name)) is not None for run in runs)]


def axis(name: str, runs: Sequence[Fields]) -> Axis:
    """The axis of one name: of numbers, where all that runs have are numbers; else of words."""
    given = [run.get(name) for run in runs]
    numbers = [_number(value) for value in given]
    if all(number is not None for value, number in zip(given, numbers, strict=True) if not _missing(value)):
        values = np.array([math.nan if number is None else number for number in numbers])
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        kind = "log" if low > 0 and high >= 10**DECADES * low else "number"
        if low == high:
            low, high = low - 0.5, high + 0.5
        return Axis(name, kind, values, (), low, high)
    words = [math.nan if _missing(value) else _spelt(value) for value in given]
    categories = tuple(sorted({word for word in words if isinstance(word, str)}))
    places = np.array([math.nan if isinstance(word, float) else float(categories.index(word)) for word in words])
    return Axis(name, "category", places, categories, -0.5, len(categories) - 0.5)


def passing(axes: Sequence[Axis], brushes: Sequence[Brush], runs: int) -> NDArray[np.bool_]:
    """Which runs pass every stretch, bool [R]; of several stretches of one axis one is enough."""
    kept = np.ones(runs, bool)
    for one in axes:
        stretches = [brush for brush in brushes if brush.name == one.name]
        if stretches:
            inside = [(one.values >= brush.low) & (one.values <= brush.high) for brush in stretches]
            kept &= np.any(inside, axis=0)
    return kept


def correlation(a: Numbers, b: Numbers) -> float:
    """Spearman's rank correlation over the runs that have both; NaN of fewer than ``FEWEST``, or where one is constant.

    Source: C. Spearman, "The proof and measurement of association between two things", American Journal of
    Psychology 15 (1904), 72-101; ties have the mean of their ranks.
    """
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < FEWEST:
        return math.nan
    first, second = _ranks(a[both]), _ranks(b[both])
    if first.std() == 0 or second.std() == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Numbers) -> Numbers:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends: Numbers = np.cumsum(count) - (count - 1) / 2
    return ends[place]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _missing(value: Any) -> bool:
    """Nothing, or a number that is none: such as NaN, or "NaN" as a summary has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return True
    return value is None or value in ("NaN", "Infinity", "-Infinity")


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
