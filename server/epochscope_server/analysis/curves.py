"""Per-class curves: the confusion counts of consecutive windows, and the rates that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from epochscope_server.analysis import rates
from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Rate, Whole


@dataclass(frozen=True)
class ClassCurves:
    """What happened to each class in each of P consecutive windows ``[start, stop)`` of one split.

    ``start``, ``stop`` are int64 [P]; ``epoch`` is int64 [P] where the windows are epochs, else None;
    ``tp``, ``fp``, ``fn`` are int64 [classes, P]. Everything else follows.
    """

    split: str
    class_names: tuple[str, ...]
    start: Whole
    stop: Whole
    epoch: Whole | None
    tp: Whole
    fp: Whole
    fn: Whole

    @property
    def support(self) -> Whole:
        """How many members of each class were seen, int64 [classes, P]."""
        return self.tp + self.fn

    @cached_property
    def recall(self) -> Rate:
        return rates.recall(self.tp, self.fn)

    @cached_property
    def precision(self) -> Rate:
        return rates.precision(self.tp, self.fp)

    @cached_property
    def f1(self) -> Rate:
        return rates.f1(self.tp, self.fp, self.fn)

    def rate(self, metric: str) -> Rate:
        """The curves of ``metric``: "recall", "precision" or "f1"."""
        return {"recall": lambda: self.recall, "precision": lambda: self.precision, "f1": lambda: self.f1}[metric]()


def class_curves(
    cells: Cells,
    split: str,
    class_names: tuple[str, ...],
    start: Whole,
    stop: Whole,
    epoch: Whole | None = None,
) -> ClassCurves:
    """Sum the counts of each window; windows are in order and do not overlap. O(cells + classes x windows)."""
    classes, points = len(class_names), len(start)
    window = np.searchsorted(start, cells.step, side="right") - 1
    inside = (window >= 0) & (cells.step < stop[window]) if points else np.zeros(len(cells.step), bool)
    window, true, predicted, count = (column[inside] for column in (window, cells.true, cells.predicted, cells.count))
    hit = true == predicted

    def summed(index: Whole, chosen: np.ndarray) -> Whole:
        flat = np.bincount(index[chosen] * points + window[chosen], weights=count[chosen], minlength=classes * points)
        return flat.reshape(classes, points).astype(np.int64)  # exact: float64 counts to 2^53

    return ClassCurves(
        split,
        class_names,
        start,
        stop,
        epoch,
        tp=summed(true, hit),
        fp=summed(predicted, ~hit),
        fn=summed(true, ~hit),
    )


def label_curves(
    cells: Cells, split: str, labels: tuple[str, ...], start: Whole, stop: Whole, epoch: Whole | None = None
) -> ClassCurves:
    """As ``class_curves``, of the labels of an output whose samples may have several: how each fared at saying yes."""
    both = class_curves(cells, split, tuple(label for label in labels for _ in "ny"), start, stop, epoch)
    return replace(both, class_names=labels, tp=both.tp[1::2], fp=both.fp[1::2], fn=both.fn[1::2])
