"""The levels that classes surely had, stretch by stretch, and the deepest fall from the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.analysis.sure import least, most


@dataclass(frozen=True)
class Sums:
    """Running sums [N, P + 1] of what was recognised and what was seen."""

    hits: Numbers
    seen: Numbers

    def windows(self) -> Iterator[tuple[int, Whole, Numbers, Numbers]]:
        """Length, begins [W] and counts [N, W] of the windows of lengths 1, 2, 4 ..., side by side from the first."""
        windows, size = self.hits.shape[1] - 1, 1
        while size <= windows:
            hits, seen = (np.diff(sums[:, ::size], axis=1) for sums in (self.hits, self.seen))
            yield size, np.arange(0, windows - size + 1, size), hits, seen
            size *= 2

    def between(self, start: Whole, stop: Whole, row: Whole | None = None) -> tuple[Numbers, Numbers]:
        """Counts of the stretches [start, stop) of classes ``row``, of each class where None."""
        of = np.arange(len(self.hits)) if row is None else row
        return self.hits[of, stop] - self.hits[of, start], self.seen[of, stop] - self.seen[of, start]


class Best:
    """The level that each class surely had before each window, [N, P + 1], and the stretch that it had it in."""

    def __init__(self, classes: int, windows: int) -> None:
        self.level = np.zeros((classes, windows + 1))
        self._length = np.zeros((classes, windows + 1), np.int64)
        self._doubt = np.full((classes, windows + 1), 0.5)
        self._record = np.zeros((classes, windows + 1), np.int64)

    def take(self, low: Numbers, size: int, doubt: float) -> None:
        """The windows of one length, side by side from the first."""
        end = slice(size, self.level.shape[1], size)
        better = low > self.level[:, end]
        for column, value in ((self.level, low[better]), (self._length, size), (self._doubt, doubt)):
            column[:, end][better] = value

    def take_single(self, row: Whole, start: Whole, stop: Whole, low: Numbers, doubt: float) -> None:
        better = low > self.level[row, stop]
        at = row[better], stop[better]
        self.level[at], self._length[at], self._doubt[at] = low[better], (stop - start)[better], doubt

    def run(self) -> None:
        """From the level of each stretch to the highest so far."""
        so_far = np.maximum.accumulate(self.level, axis=1)
        new = self.level[:, 1:] > so_far[:, :-1]
        self._record[:, 1:] = np.where(new, np.arange(1, self.level.shape[1]), 0)
        np.maximum.accumulate(self._record, axis=1, out=self._record)
        self.level = so_far

    def certified(self, sums: Sums, before: Whole) -> tuple[Whole, Whole, Numbers]:
        """The stretch [start, stop) of each class with the highest level before ``before`` [N], and its bound."""
        row = np.arange(len(before))
        stop = self._record[row, before]
        start = stop - self._length[row, stop]
        return start, stop, least(*sums.between(start, stop), self._doubt[row, stop])


class Deepest:
    """Of the falls looked at, the deepest of each class [N]: to the stretch [start, stop), from its best before."""

    def __init__(self, classes: int) -> None:
        self.depth, self.level = np.full(classes, -1.0), np.zeros(classes)
        self.start, self.stop, self.best_start, self.best_stop = (np.zeros(classes, np.int64) for _ in range(4))

    def take(self, sums: Sums, best: Best, start: Whole, stop: Whole, doubt: float) -> None:
        """One stretch of each class."""
        best_start, best_stop, level = best.certified(sums, start)
        depth = level - most(*sums.between(start, stop), doubt)
        deeper = depth > self.depth
        for column, value in (
            (self.depth, depth), (self.level, level), (self.start, start), (self.stop, stop),
            (self.best_start, best_start), (self.best_stop, best_stop),
        ):  # fmt: skip
            column[deeper] = value[deeper]
