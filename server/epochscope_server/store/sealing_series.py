"""How a scalar series grows: from new points and the rows they touch to the rows to be written and taken away.

Level 0 holds points: rows in order of steps that do not overlap, full ones of 4096 points and then some that are not.
New points make a row of their own, which swallows those before it that are not much larger, so that each point is
written again a few times only. A full row is rolled up into 64 buckets, which are appended to level 1; a full row of
level 1, of 512 buckets, is rolled up once more into 64 of level 2, and so on. Points that come late, or again, change
the row that holds their steps, and what was rolled up from it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.store.formats import points, rollup
from epochscope_server.store.formats.rollup import Rollup

FULL = 4096  # points of a row
ROLLED = 512  # buckets of a row of rollups
TOP = 9  # level of rollups: 64 x 8^8 points, 2^30, a bucket
LATEST = 13  # rows at the end of a series; those that are not full are among them, as each is twice the next

Place = tuple[int, int]  # (level, idx)


@dataclass(frozen=True)
class Row:
    """``n`` points or buckets; ``idx`` is the step from which on the row may hold points."""

    level: int
    idx: int
    step_min: int
    step_max: int
    n: int
    data: bytes

    @property
    def place(self) -> Place:
        return self.level, self.idx


class Shelf(Protocol):
    """Where the rows of one series lie."""

    def latest(self, level: int, count: int) -> list[Row]:
        """The last rows, in order."""

    def places(self, level: int, step: int) -> list[int]:
        """``idx`` of the row that may hold ``step``, and of all rows after it, in order."""

    def row(self, level: int, idx: int) -> Row: ...


class Growth:
    """One series and the points that come to it; ``latest`` are its last ``LATEST`` rows of points.

    ``final`` says that nothing more is expected, so that what is not full becomes one row.
    """

    def __init__(self, steps: Whole, values: Numbers, latest: list[Row], final: bool = False) -> None:
        self._steps, self._values = in_order(steps, values)
        self._open = [row for row in latest if row.n < FULL]
        self._final = final
        full = [row for row in latest if row.n >= FULL]
        first_open = 0
        if full:
            first_open = self._open[0].idx if self._open else full[-1].step_max + 1
        self._late = int(np.searchsorted(self._steps, first_open))  # how many points belong to rows that are full
        self._first_idx = None if latest else 0
        self._known: dict[Place, Row] = {}
        self._owners: list[int] = []
        self.written: dict[Place, Row] = {}
        self.gone: set[Place] = set()

    def gather(self, shelf: Shelf) -> None:
        """Fetch what else is touched."""
        if self._late:
            places = shelf.places(0, int(self._steps[0]))
            self._owners = sorted(
                {places[max(bisect_right(places, step) - 1, 0)] for step in self._steps[: self._late].tolist()}
            )
            for idx in self._owners:
                self._know(shelf.row(0, idx))
                for level in range(1, TOP + 1):
                    held = shelf.places(level, idx)
                    if not held or held[0] > idx:
                        break
                    self._know(shelf.row(level, held[0]))
        if self._late or len(self._steps) + sum(row.n for row in self._open) >= FULL:
            for level in range(1, TOP + 1):
                last = shelf.latest(level, 1)
                if not last:
                    break
                self._know(last[0])

    def grow(self) -> None:
        """Work out ``written`` and ``gone``."""
        self._amend_full()
        self._append(self._steps[self._late :], self._values[self._late :])

    def _amend_full(self) -> None:
        start, late = 0, self._steps[: self._late]
        for number, idx in enumerate(self._owners, 1):
            stop = int(np.searchsorted(late, self._owners[number])) if number < len(self._owners) else len(late)
            row = self._known[0, idx]
            held = points.decode(row.data)
            both = in_order(
                np.concatenate((held[0], self._steps[start:stop])), np.concatenate((held[1], self._values[start:stop]))
            )
            start = stop
            cut = [0, len(both[0]) // 2] if len(both[0]) >= 2 * FULL else [0]
            buckets = []
            for lo, hi in zip(cut, [*cut[1:], len(both[0])], strict=True):
                part = both[0][lo:hi], both[1][lo:hi]
                self._write_points(int(part[0][0]) if lo else idx, *part)
                buckets.append(rollup.of_points(*part))
            self._replace(1, row, rollup.joined(buckets))

    def _replace(self, level: int, row: Row, buckets: Rollup) -> None:
        """Put ``buckets`` in the place of those that ``row`` (as it was) was rolled up into."""
        held = self._holder(level, row.idx)
        old = rollup.decode(held.data)
        lo, hi = np.searchsorted(old.step_first, (row.step_min, row.step_max + 1)).tolist()
        new = rollup.joined((old[:lo], buckets, old[hi:]))
        self._write_rollup(held.idx, level, new)
        if level < TOP and len(new) >= ROLLED:
            if held.n >= ROLLED:
                self._replace(level + 1, held, rollup.merged(new))
            else:
                self._roll_up(level + 1, held.idx, rollup.merged(new))

    def _append(self, steps: Whole, values: Numbers) -> None:
        if not len(steps):
            return
        first, start, total = int(steps[0]), len(self._open), len(steps)
        while start and (self._final or self._open[start - 1].step_max >= first or self._open[start - 1].n < 2 * total):
            start -= 1
            total += self._open[start].n
        swallowed = self._open[start:]
        held = [points.decode(row.data) for row in swallowed]
        steps, values = in_order(
            np.concatenate([*(steps for steps, _ in held), steps]),
            np.concatenate([*(values for _, values in held), values]),
        )
        self.gone |= {row.place for row in swallowed}
        idx = min([*(row.idx for row in swallowed[:1]), int(steps[0])])
        if self._first_idx is not None:
            idx = self._first_idx
        for at in range(0, len(steps), FULL):
            part = steps[at : at + FULL], values[at : at + FULL]
            row = self._write_points(idx if at == 0 else int(part[0][0]), *part)
            if row.n >= FULL:
                self._roll_up(1, row.idx, rollup.of_points(*part))

    def _roll_up(self, level: int, idx: int, buckets: Rollup) -> None:
        """Append ``buckets``, made of the row ``idx`` below, to a level."""
        last = self._last(level)
        if last is not None and last.n < ROLLED:
            idx, buckets = last.idx, rollup.joined((rollup.decode(last.data), buckets))
        row = self._write_rollup(idx, level, buckets)
        if level < TOP and row.n >= ROLLED:
            self._roll_up(level + 1, row.idx, rollup.merged(buckets))

    def _write_points(self, idx: int, steps: Whole, values: Numbers) -> Row:
        return self._write(
            Row(0, idx, int(steps[0]), int(steps[-1]), len(steps), points.encode(steps, values)),
        )

    def _write_rollup(self, idx: int, level: int, buckets: Rollup) -> Row:
        ends = int(buckets.step_first[0]), int(buckets.step_last[-1])
        return self._write(Row(level, idx, *ends, len(buckets), rollup.encode(buckets)))

    def _write(self, row: Row) -> Row:
        self.gone.discard(row.place)
        self.written[row.place] = row
        self._know(row)
        return row

    def _know(self, row: Row) -> None:
        self._known[row.place] = row

    def _holder(self, level: int, idx: int) -> Row:
        """The row of a level in which what was rolled up from row ``idx`` lies."""
        return self._known[level, max(at for known, at in self._known if known == level and at <= idx)]

    def _last(self, level: int) -> Row | None:
        known = [place for place in self._known if place[0] == level]
        return self._known[max(known)] if known else None


def in_order(steps: Whole, values: Numbers) -> tuple[Whole, Numbers]:
    """In order of steps; of a step told again the last one counts."""
    if len(steps) > 1 and not (steps[1:] > steps[:-1]).all():
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
        latest = np.append(steps[1:] != steps[:-1], True)
        steps, values = steps[latest], values[latest]
    return steps.astype(np.int64, copy=False), values.astype(np.float64, copy=False)
