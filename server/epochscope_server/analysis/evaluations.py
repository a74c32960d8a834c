"""A class's own clock: its counts cut wherever it has been seen so many times again, an evaluation each.

A rare class is evaluated seldom and a common one often, each time on about as many samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.rates import Numbers, Whole

SAMPLES = 64  # of a class in an evaluation, about; more where that would make more than
MOST = 400  # evaluations
APART = 2.0  # how much more often a class is called for its own members than for others, where it is told apart
REACHED = 0.9  # of its best: then a class has been learnt


@dataclass(frozen=True)
class Evaluations:
    """Of N classes over at most E evaluations; what a class does not fill is empty.

    ``hits``, ``seen`` float64 [N, E]; ``stop`` int64 [N, E]: the window before which the evaluation ends;
    ``told_apart`` int64 [N]: the window before which it was first seen that the class is told from others (the number
    of windows: never); ``early`` bool [N, E]: evaluations up to that.
    """

    hits: Numbers
    seen: Numbers
    stop: Whole
    told_apart: Whole
    early: NDArray[np.bool_]

    def reached(self, best: Numbers) -> Whole:
        """The window by which recall had been at nine tenths of ``best`` [N] twice in a row; -1 where it was not."""
        good = (self.seen > 0) & ~self.early & (self.hits >= REACHED * best[:, None] * self.seen) & (best > 0)[:, None]
        twice = good[:, 1:] & good[:, :-1]
        if not twice.shape[1]:
            return np.full(len(best), -1)
        at = twice.argmax(axis=1)
        row = np.arange(len(best))
        return np.where(twice[row, at], self.stop[row, at + 1], -1)


def evaluations(tp: Whole, fp: Whole, support: Whole, others: Whole | None) -> Evaluations:
    """Cut the counts [N, P] of consecutive windows; arguments as of ``drop.drops``."""
    classes = len(tp)
    total = support.sum(axis=1)
    size = np.maximum(SAMPLES, -(-total // MOST))
    place = (np.cumsum(support, axis=1) - support) // size[:, None]
    cuts = int(place.max()) + 1
    flat = (place + cuts * np.arange(classes)[:, None]).ravel()

    def cut(counts: Whole | None) -> Numbers:
        weights = None if counts is None else counts.ravel()
        return np.bincount(flat, weights, classes * cuts).reshape(classes, cuts).astype(np.float64)

    hits, seen = cut(tp), cut(support)
    length = cut(None)
    stop = np.cumsum(length, axis=1).astype(np.int64)
    if others is None:
        return Evaluations(hits, seen, stop, np.zeros(classes, np.int64), np.zeros((classes, cuts), bool))
    apart = (hits > 0) & (APART * cut(fp) * seen <= hits * cut(others))
    first = np.where(apart.any(axis=1), apart.argmax(axis=1), cuts)
    ends = np.concatenate([stop, np.full((classes, 1), tp.shape[1])], axis=1)
    return Evaluations(hits, seen, stop, ends[np.arange(classes), first], np.arange(cuts) <= first[:, None])
