"""One series looked through: its points unpacked, its rollups built anew and compared."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import sqlalchemy as sa

from epochscope_server.store import rebuild, sealing_series
from epochscope_server.store.findings import Findings, Mend, next_revision
from epochscope_server.store.formats import FormatError, content, points, rollup
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.schema import series_chunk as table
from epochscope_server.store.upsert import upsert

END = 2**62  # past any step
ROWS = 16  # unpacked in one transaction

Held = Collection[tuple[int, int, int, int]]  # (level, idx, last step, n) of the rows there are


class Line:
    """One attempt of one series."""

    def __init__(self, findings: Findings, uid: str, key: tuple[int, int, int], name: str, held: Held) -> None:
        self._findings, self._uid, self._held = findings, uid, held
        self._key = dict(zip(("run_id", "series_id", "attempt"), key, strict=True))
        self._name = name + (f", attempt {key[2]}" if key[2] else "")
        self._damaged: set[tuple[int, int]] = set()

    def check(self) -> None:
        places = sorted(idx for level, idx, *_ in self._held if level == 0)
        for at in range(0, len(places), ROWS):
            self._check_points(places[at], places[at + ROWS] if at + ROWS < len(places) else END)
        for level in range(1, sealing_series.TOP + 1):
            if not self._check_rollups(level, sealing_series.FULL if level == 1 else sealing_series.ROLLED):
                with self._findings.read() as connection:  # some may have been mended
                    chosen = sa.select(table.c.level, table.c.idx, table.c.step_max, table.c.n).where(*self._own())
                    self._held = [(of, idx, last, n) for of, idx, last, n in connection.execute(chosen)]

    def _check_points(self, start: int, stop: int) -> None:
        with self._findings.read() as connection:
            rows = self._rows(connection, 0, start, stop)
            stop = self._following(connection, 0, rows[-1].idx) if rows else stop
        for row, following in zip(rows, [*(after.idx for after in rows[1:]), stop], strict=True):
            self._findings.blocks += 1
            what = None
            try:
                steps, _ = points.decode(row.data)
                told = (len(steps), int(steps[0]), int(steps[-1])) if len(steps) else (0, 0, 0)
                if told != (row.n, row.step_min, row.step_max) or not (steps[1:] > steps[:-1]).all():
                    what = "are not those that their row tells of"
                elif not row.idx <= row.step_min <= row.step_max < following:
                    what = "lie in the wrong row"
            except FormatError as error:
                what = f"can't be read ({error})"
            if what is not None:
                self._damaged.add((0, row.idx))
                self._findings.add(self._uid, f"{self._name}, points {row.step_min} to {row.step_max}", what)

    def _check_rollups(self, level: int, full: int) -> bool:
        """Returns whether the rows of this level are as they were before."""
        starts, wrong = self._starts(level, full), len(self._findings.all)
        for start, limit in pairwise([*starts, END]):
            with self._findings.read() as connection:
                below, stop = self._below(connection, level, start, limit)
                stored = self._rows(connection, level, start, start + 1)
            if any(of == level - 1 and start <= idx < stop for of, idx in self._damaged):
                continue
            data = None if (wanted := _wanted(below, level)) is None else rollup.encode(wanted)
            where = f"{self._name}, summaries {level} of points from {start}"
            held = stored[0].data if stored else None
            if level > 1 and held is not None and _follows(held, below):
                data = held
            if not self._findings.compare(self._uid, where, held, data, self._mend(level, start, limit)):
                self._damaged.add((level, start))
        return wrong == len(self._findings.all)

    def _starts(self, level: int, full: int) -> list[int]:
        """Where the rows of a level begin: those that are there, and those that what is full below them needs."""
        there = sorted((idx, last) for of, idx, last, _ in self._held if of == level)
        found, left = {idx for idx, _ in there}, 0  # buckets that the missing row at hand can take
        for idx, n in sorted((idx, n) for of, idx, _, n in self._held if of == level - 1 and n >= full):
            at = bisect_right(there, (idx, END)) - 1
            if at >= 0 and idx <= there[at][1]:
                left = 0
                continue
            if left <= 0:
                found.add(idx)
                left = sealing_series.ROLLED
            left -= -(-n // (rollup.FACTOR if level == 1 else rollup.FAN))
        return sorted(found)

    def _mend(self, level: int, idx: int, limit: int) -> Mend:
        key = {**self._key, "level": level, "idx": idx}

        def mend(connection: sa.Connection) -> None:
            written = next_revision(connection, key["run_id"])
            wanted = _wanted(self._below(connection, level, idx, limit)[0], level)
            if wanted is None:
                connection.execute(table.delete().where(*(table.c[name] == value for name, value in key.items())))
                return
            ends = {"step_min": int(wanted.step_first[0]), "step_max": int(wanted.step_last[-1]), "n": len(wanted)}
            row = {**key, **ends, "written": written, "data": rollup.encode(wanted)}
            upsert(connection, table, [row], tuple(key))

        return mend

    def _below(self, connection: sa.Connection, level: int, idx: int, limit: int) -> tuple[list[Any], int]:
        """The rows that a rollup is made of: those up to where the next one of its level begins, and where that is."""
        stop = min(self._following(connection, level, idx), limit)
        return self._rows(connection, level - 1, idx, stop), stop

    def _following(self, connection: sa.Connection, level: int, idx: int) -> int:
        after = sa.select(sa.func.min(table.c.idx)).where(*self._mine(level), table.c.idx > idx)
        return connection.scalar(after) or END

    def _rows(self, connection: sa.Connection, level: int, start: int, stop: int) -> list[Any]:
        chosen = sa.select(table).where(*self._mine(level), table.c.idx >= start, table.c.idx < stop)
        return list(connection.execute(chosen.order_by(table.c.idx)))

    def _mine(self, level: int) -> list[sa.ColumnElement[bool]]:
        return [*self._own(), table.c.level == level]

    def _own(self) -> list[sa.ColumnElement[bool]]:
        return [table.c[name] == value for name, value in self._key.items()]


def _follows(held: bytes, below: list[Any]) -> bool:
    """Whether each bucket is what some right below it come to: these are 8 now, and were 64 in older stores."""
    full = [row.data for row in below if row.n >= sealing_series.ROLLED]
    try:
        stored, every = rollup.decode(held), rollup.joined([rollup.decode(data) for data in full])
    except (FormatError, ValueError):
        return False
    cuts = np.searchsorted(every.step_first, stored.step_first).tolist()
    ascend = [*cuts, len(every)]
    if cuts[:1] != [0] or any(start >= stop for start, stop in pairwise(ascend)):
        return False
    again = rollup.joined([rollup.merged(every[start:stop], stop - start) for start, stop in pairwise(ascend)])
    return content.same(held, rollup.encode(again))


def _wanted(below: list[Any], level: int) -> Rollup | None:
    return rebuild.rollup_of(((row.n, row.data) for row in below), level)
