"""Made-up counts: classes whose recall is what a test says, seen through samples drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from epochscope_server.analysis.curves import ClassCurves
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Counts [classes, windows]; what a class missed is called another class at random, evenly."""

    tp: Whole
    fp: Whole
    support: Whole

    @property
    def others(self) -> Whole:
        return np.asarray(self.support.sum(axis=0) - self.support)

    def curves(self, width: int = 1) -> ClassCurves:
        start = np.arange(self.tp.shape[1]) * width + 1
        names = tuple(f"class {index}" for index in range(len(self.tp)))
        return ClassCurves("train", names, start, start + width, None, self.tp, self.fp, self.support - self.tp)


def draw(rates: Numbers, n: float, seed: int = 0) -> Counts:
    """Counts of classes with true recalls ``rates`` [classes, windows], about ``n`` samples in each window."""
    rng = np.random.default_rng(seed)
    support = rng.poisson(n, rates.shape)
    tp = rng.binomial(support, rates)
    missed = (support - tp).sum(axis=0)
    fp = rng.multinomial(missed, np.full(len(rates), 1 / len(rates))).T
    return Counts(tp, fp, support)
