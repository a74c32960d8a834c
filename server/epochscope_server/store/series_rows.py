"""The rows of a series as readers find them: what there is without its data, then rollups, and points around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.errors import DamagedError
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import FormatError, points, rollup
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.schema import series
from epochscope_server.store.schema import series_chunk as table

Points = tuple[Whole, Numbers]


@dataclass(frozen=True)
class Stored:
    """One row of a series without its data."""

    series_id: int
    attempt: int
    level: int
    idx: int
    step_min: int
    step_max: int
    n: int
    written: int


@dataclass(frozen=True)
class Packed:
    """A row of points to be unpacked when the transaction is over."""

    key: tuple[object, ...]
    data: bytes


# To put a statement together takes longer than to run it, so each is made once.
_NUMBERS = (
    sa.select(series.c.key, series.c.series_id)
    .where(
        series.c.run_id == sa.bindparam("of_run"),
        series.c.split == sa.bindparam("of_split"),
        series.c.by == sa.bindparam("of_by"),
    )
    .order_by(series.c.series_id)
)
_ROLLUPS = (
    sa.select(
        table.c.series_id, table.c.attempt, table.c.level, table.c.idx,
        table.c.step_min, table.c.step_max, table.c.n, table.c.written,
    )
    .where(
        table.c.run_id == sa.bindparam("of_run"),
        table.c.series_id.in_(sa.bindparam("of_several", expanding=True)),
        table.c.level >= 1,
    )
    .order_by(table.c.level, table.c.idx)
)  # fmt: skip
_LINE = (
    table.c.run_id == sa.bindparam("of_run"),
    table.c.series_id == sa.bindparam("of_series"),
    table.c.attempt == sa.bindparam("of_attempt"),
    table.c.level == sa.bindparam("of_level"),
)
_DATA = sa.select(table.c.level, table.c.idx, table.c.data).where(
    *_LINE, table.c.idx.in_(sa.bindparam("places", expanding=True))
)
_OWNER = sa.select(sa.func.max(table.c.idx)).where(*_LINE, table.c.idx <= sa.bindparam("lo")).scalar_subquery()
_BETWEEN = (
    sa.select(table.c.idx, table.c.written, table.c.data)
    .where(
        *_LINE,
        table.c.idx >= sa.func.coalesce(_OWNER, 0),
        table.c.idx < sa.bindparam("hi"),
        table.c.step_max >= sa.bindparam("lo"),
    )
    .order_by(table.c.idx)
)
_MOST = 500  # places of one query


def numbers(connection: sa.Connection, run_id: int, split: str, by: str) -> dict[str, int]:
    """The numbers of a run's series by key, in the order in which they first came."""
    return dict(connection.execute(_NUMBERS, {"of_run": run_id, "of_split": split, "of_by": by}).all())


def rollups(connection: sa.Connection, run_id: int, ids: Iterable[int]) -> list[Stored]:
    """All rollups of some series, the finest first, each level in order."""
    return [Stored(*row) for row in connection.execute(_ROLLUPS, {"of_run": run_id, "of_several": list(ids)})]


def opened(connection: sa.Connection, blocks: Blocks, run: tuple[int, str], chosen: list[Stored]) -> Iterator[Rollup]:
    """Rollups of one series and attempt.

    Raises:
        DamagedError: one can't be read.
    """
    keys = {row: ("rollup", run[1], row.series_id, row.attempt, row.level, row.idx, row.written) for row in chosen}
    ready: dict[Stored, Rollup] = {row: block for row, key in keys.items() if (block := blocks.get(key)) is not None}
    data = _data(connection, run[0], [row for row in chosen if row not in ready])
    for row in chosen:
        if row not in ready:
            try:
                block = rollup.decode(data[row.level, row.idx])
            except FormatError as error:
                raise DamagedError(f"series {row.series_id} rollup {row.level}/{row.idx}: {error}") from error
            ready[row] = block
            blocks.put(keys[row], block, 13 * 8 * len(block))
        yield ready[row]


def _data(connection: sa.Connection, run_id: int, missing: list[Stored]) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for level in {row.level for row in missing}:
        places = [row.idx for row in missing if row.level == level]
        for at in range(0, len(places), _MOST):
            asked = {
                "of_run": run_id, "of_series": missing[0].series_id, "of_attempt": missing[0].attempt,
                "of_level": level, "places": places[at : at + _MOST],
            }  # fmt: skip
            found |= {(of, idx): blob for of, idx, blob in connection.execute(_DATA, asked)}
    return found


def points_between(
    connection: sa.Connection, blocks: Blocks, run: tuple[int, str], series_id: int, attempt: int, lo: int, hi: int
) -> list[Points | Packed]:
    """The rows of points that hold steps of ``[lo, hi)``, in order."""
    asked = {"of_run": run[0], "of_series": series_id, "of_attempt": attempt, "of_level": 0, "lo": lo, "hi": hi}
    rows: list[Points | Packed] = []
    for idx, written, data in connection.execute(_BETWEEN, asked):
        key = ("points", run[1], series_id, attempt, idx, written)
        rows.append(blocks.get(key) or Packed(key, data))
    return rows


def unpacked(blocks: Blocks, row: Points | Packed) -> Points:
    """A row of points.

    Raises:
        DamagedError: it can't be read.
    """
    if not isinstance(row, Packed):
        return row
    try:
        block = points.decode(row.data)
    except FormatError as error:
        raise DamagedError(f"series {row.key[2]} points {row.key[4]}: {error}") from error
    blocks.put(row.key, block, 16 * len(block[0]))
    return block
