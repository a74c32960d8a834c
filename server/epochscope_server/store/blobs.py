"""Rows of a pyramid: fetched by place in a transaction, unpacked when that is over, and kept for the next reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from epochscope_server.errors import DamagedError
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import FormatError

Place = tuple[int, int]  # (level, idx)
Range = tuple[int, int, int]  # (level, lo, hi): idx lo to hi - 1
MOST_RANGES = 100  # of one query

T = TypeVar("T")


class Shelf(Generic[T]):
    """Rows of one pyramid in a table; ``unpacked`` makes of level and blob what readers use, and its size in bytes."""

    def __init__(
        self, blocks: Blocks, table: sa.Table, run: tuple[int, str], counts_id: int,
        unpacked: Callable[[int, bytes], tuple[T, int]],
    ) -> None:  # fmt: skip
        self._blocks = blocks
        self._table = table
        self._run_id, uid = run
        self._counts_id = counts_id
        self._unpacked = unpacked
        self._name = (table.name, uid, counts_id)
        self._rows: dict[Place, tuple[int, bytes]] = {}
        self._ready: dict[Place, T] = {}

    def fetch(self, connection: sa.Connection, ranges: Iterable[Range]) -> None:
        """Fetch the rows in ``ranges``, which do not overlap."""
        every = sorted(ranges)
        for at in range(0, len(every), MOST_RANGES):
            self._fetch(connection, every[at : at + MOST_RANGES])

    def _fetch(self, connection: sa.Connection, ranges: list[Range]) -> None:
        if self._blocks.get(self._name) is not None:  # some may be here already; only their revisions are fetched then
            wanted = []
            for level, idx, written in self._chosen(connection, ranges, "written"):
                found = self._blocks.get((*self._name, level, idx, written))
                if found is None:
                    wanted.append((level, idx, idx + 1))
                else:
                    self._ready[level, idx] = found
            ranges = _merged(wanted)
        for at in range(0, len(ranges), MOST_RANGES):
            for level, idx, written, data in self._chosen(connection, ranges[at : at + MOST_RANGES], "written", "data"):
                self._rows[level, idx] = written, data

    def _chosen(self, connection: sa.Connection, ranges: list[Range], *columns: str) -> Iterable[Any]:
        return chosen(connection, self._table, self._run_id, self._counts_id, ranges, *columns)

    def at(self, level: int, idx: int) -> T | None:
        """What was fetched of this place, unpacked; None where there is nothing.

        Raises:
            DamagedError: it can't be read.
        """
        place = level, idx
        if place not in self._ready and place in self._rows:
            written, data = self._rows.pop(place)
            try:
                block, size = self._unpacked(level, data)
            except FormatError as error:
                raise DamagedError(f"{self._table.name} {level}/{idx}: {error}") from error
            self._ready[place] = block
            self._blocks.put((*self._name, level, idx, written), block, size)
            self._blocks.put(self._name, True, 0)
        return self._ready.get(place)

    def places(self, ranges: Iterable[Range]) -> list[Place]:
        """The places in ``ranges`` that were fetched, in order."""
        known = self._ready.keys() | self._rows.keys()
        return sorted(
            place for place in known if any(place[0] == level and lo <= place[1] < hi for level, lo, hi in ranges)
        )


def chosen(
    connection: sa.Connection, table: sa.Table, run_id: int, counts_id: int, ranges: list[Range], *columns: str
) -> Iterable[Any]:
    """Level, idx and ``columns`` of the rows of a pyramid in at most ``MOST_RANGES`` ranges."""
    bound: dict[str, int] = {"of_run": run_id, "of_counts": counts_id}
    for number, (level, lo, hi) in enumerate(ranges):
        bound |= {f"level{number}": level, f"lo{number}": lo, f"hi{number}": hi}
    return connection.execute(_statement(table, len(ranges), columns), bound)


@cache
def _statement(table: sa.Table, ranges: int, columns: tuple[str, ...]) -> sa.CompoundSelect[Any] | sa.Select[Any]:
    # To put a statement together takes longer than to run it. One search of the index for each range: of three or more
    # ranges joined by OR, SQLite looks at every row of the pyramid.
    searches = [
        sa.select(table.c.level, table.c.idx, *(table.c[name] for name in columns)).where(
            table.c.run_id == sa.bindparam("of_run"),
            table.c.counts_id == sa.bindparam("of_counts"),
            table.c.level == sa.bindparam(f"level{number}"),
            table.c.idx >= sa.bindparam(f"lo{number}"),
            table.c.idx < sa.bindparam(f"hi{number}"),
        )
        for number in range(ranges)
    ]
    return searches[0] if ranges == 1 else sa.union_all(*searches)


def _merged(ranges: list[Range]) -> list[Range]:
    found: list[Range] = []
    for level, lo, hi in sorted(ranges):
        if found and found[-1][0] == level and found[-1][2] == lo:
            found[-1] = level, found[-1][1], hi
        else:
            found.append((level, lo, hi))
    return found
