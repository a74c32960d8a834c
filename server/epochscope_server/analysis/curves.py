"""Per-class curves: the confusion counts of consecutive windows, and the rates that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from epochscope_server.analysis import rates
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


@dataclass(frozen=True)
class CellCurve:
    """How often samples of one class were taken for another (or for itself) in each of P windows ``[start, stop)``.

    ``count`` and ``support`` (how many samples of the true class were seen) are int64 [P].
    """

    split: str
    true: str
    predicted: str
    start: Whole
    stop: Whole
    epoch: Whole | None
    count: Whole
    support: Whole

    @cached_property
    def rate(self) -> Rate:
        """The share of the true class that was taken so, with its 95 % Wilson interval."""
        return rates.wilson(self.count, self.support)
