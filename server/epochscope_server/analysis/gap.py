"""Training beside validation at the same weights, class by class.

The recall of a training epoch is gathered while the weights change; validation is measured afterwards, half an epoch of
learning later in the mean, and may look better for that alone. So only the last steps before the validation pass are
set beside it: as many as hold as many samples as the pass, but no more than a tenth of the epoch. The gap is training
minus validation with Newcombe's interval; q is its false discovery rate over the classes.

What stays different: training counts are taken while dropout and augmentation are on, each step before its update, and
on samples that the model has been fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis import rates
from epochscope_server.analysis.compare import REAL, chance, difference, discoveries
from epochscope_server.analysis.rates import Numbers, Rate, Whole

MOST = 0.1  # of an epoch: within so little the weights hardly change


@dataclass(frozen=True)
class Gap:
    """Arrays [N]: a rate in training and in validation, their difference, and its p and q."""

    train: Rate
    val: Rate
    gap: Rate
    p: Numbers
    q: Numbers

    @property
    def verdict(self) -> tuple[str, ...]:
        """ "overfits" (surely better in training), "better in validation", "no difference seen" or "unknown"."""
        return tuple(
            "unknown" if not np.isfinite(value) else "no difference seen" if q > REAL
            else "overfits" if value > 0 else "better in validation"
            for value, q in zip(self.gap.value, self.q, strict=True)
        )  # fmt: skip


def last_stretch(start: int, stop: int, seen: int, wanted: int) -> tuple[int, int]:
    """The last steps of the epoch ``[start, stop)``, half-open, that stand for its end.

    Args:
        start, stop: steps of the training epoch.
        seen: samples counted in it.
        wanted: samples counted in the validation pass.
    """
    steps = stop - start
    enough = -(-wanted * steps // max(seen, 1))
    return stop - min(max(min(enough, int(MOST * steps)), 1), steps), stop


def gap(train: Whole, val: Whole, metric: str = "recall") -> Gap:
    """Compare two confusion matrices [N, N], rows the true class: recall, precision or F1 of each class."""
    hits, trials, shown = [], [], []
    for counts in (train, val):
        tp = np.diagonal(counts)
        fn, fp = counts.sum(axis=1) - tp, counts.sum(axis=0) - tp
        of = {"recall": tp + fn, "precision": tp + fp, "f1": tp + fp + fn}[metric]
        hits.append(tp)
        trials.append(of)
        shown.append(rates.f1(tp, fp, fn) if metric == "f1" else rates.wilson(tp, of))
    p = chance(hits[0], trials[0], hits[1], trials[1])
    known = (trials[0] > 0) & (trials[1] > 0)
    q = np.ones(len(p))
    q[known] = discoveries(p[known])
    return Gap(shown[0], shown[1], difference(shown[1], shown[0]), p, q)
