"""Macro and micro averages of a confusion matrix, each with its 95 % interval.

The macro average is the mean over the classes that occurred; a class that occurred but was never predicted counts
with precision 0, as in scikit-learn. The micro average of recall, precision and F1 of a classifier is its accuracy.

Interval of a macro average: its variance by the delta method on the cells of the matrix (a confusion lowers two
F1 at once, so classes are not independent), turned into the number of samples that would give a single share this
variance, and with that number Wilson's interval. Plain normal intervals reach past 1 and are too short near it.

F1 is curved in the counts, so its mean over few samples lies below the truth, by about 2 TP E / (2 TP + E)^3 a class
with E = FP + FN: the second-order term of the same expansion. One class hardly feels it; but the mean over many has
an interval so short that it counts (100 classes of 30 samples: 0.0027, a third of the standard error). So the interval
of macro F1 stands around the mean plus that. The mean that is shown stays scikit-learn's.

Source of the variances: K. Takahashi, K. Yamamoto, A. Kuchiba, T. Koyama, "Confidence interval for micro-averaged
F1 and macro-averaged F1 scores", Applied Intelligence 52 (2022), 4961-4972. The effective sample size is that of
survey statistics: E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998), 193-201. The bias of order 1 / n, which
leaving samples out in turn shows as well: M. H. Quenouille, "Notes on bias in estimation", Biometrika 43 (1956),
353-360.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Z95, Numbers, Rate, Whole, wilson


@dataclass(frozen=True)
class Averages:
    """Means over the classes that occurred, and the share of all predictions that is right; arrays of no dimension."""

    macro_recall: Rate
    macro_precision: Rate
    macro_f1: Rate
    accuracy: Rate


def averages(counts: Whole) -> Averages:
    """The averages of ``counts`` [N, N], rows the true class; unknown (NaN) where nothing was counted."""
    tp = np.diagonal(counts).astype(np.float64)
    members, called = counts.sum(axis=1).astype(np.float64), counts.sum(axis=0).astype(np.float64)
    there = members > 0
    classes = int(there.sum())
    accuracy = wilson(np.asarray(np.trace(counts)), np.asarray(counts.sum()))
    if not classes:
        unknown = _rate(np.nan, np.nan, np.nan)
        return Averages(unknown, unknown, unknown, accuracy)
    # The largest number of samples that a mean over these classes can be worth: that of equal variances.
    most = classes**2 / (1 / members[there]).sum()
    recall, precision, f1 = (
        np.where(there & (of > 0), up / np.where(of > 0, of, 1), 0.0)
        for up, of in ((tp, members), (tp, called), (2 * tp, members + called))
    )
    weight = f1 / np.where(members + called > 0, members + called, 1)
    # What one more sample in cell [i, j] does to the sum of F1: below on the diagonal, here beside it.
    slope = -(weight[:, None] + weight[None, :])
    np.fill_diagonal(slope, np.where(there, 2 * (1 - f1) / np.where(there, members + called, 1), 0.0))
    return Averages(
        _mean(recall[there], _binomial(recall[there], members[there]), most),
        _mean(precision[there], _binomial(precision[there], called[there]), most),
        _mean(f1[there], float((counts * slope**2).sum()) / classes**2, most, _short(tp, members + called) / classes),
        accuracy,
    )


def _binomial(rate: Numbers, of: Numbers) -> float:
    """The variance of the mean of independent shares."""
    return float((rate * (1 - rate) / np.where(of > 0, of, 1)).sum()) / len(rate) ** 2


def _short(tp: Numbers, of: Numbers) -> float:
    """By how much the sum of F1 over few samples falls short of the truth, on average; ``of`` is 2 TP + FP + FN."""
    return float((2 * tp * (of - 2 * tp) / np.where(of > 0, of, 1) ** 3).sum())


def _mean(values: Numbers, variance: float, most: float, short: float = 0.0) -> Rate:
    shown = float(values.mean())
    mean = min(shown + short, 1.0)
    worth = mean * (1 - mean) / variance if variance > 0 else most
    centre = (mean * worth + Z95**2 / 2) / (worth + Z95**2)
    half = Z95 / (worth + Z95**2) * np.sqrt(mean * (1 - mean) * worth + Z95**2 / 4)
    low = 0.0 if shown == 0 else min(max(centre - half, 0.0), shown)
    return _rate(shown, low, 1.0 if shown == 1 else min(centre + half, 1.0))


def _rate(value: float, low: float, high: float) -> Rate:
    return Rate(np.asarray(value), np.asarray(low), np.asarray(high))
