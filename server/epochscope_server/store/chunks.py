"""The rows of series as sealing finds and leaves them: read by the place where new points go, written all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from epochscope_server.store.schema import series, series_chunk
from epochscope_server.store.sealing_series import LATEST, Growth, Row
from epochscope_server.store.upsert import upsert

Line = tuple[int, int]  # series_id, attempt
Name = tuple[str, str, str]  # split, by, key
_MOST = 500  # series of one query

_ROW = (
    series_chunk.c.level,
    series_chunk.c.idx,
    series_chunk.c.step_min,
    series_chunk.c.step_max,
    series_chunk.c.n,
    series_chunk.c.data,
)
# To put a statement together takes longer than to run it, so each is made once.
_NAMED = sa.select(series.c.split, series.c.by, series.c.key, series.c.series_id).where(
    series.c.run_id == sa.bindparam("of_run")
)
_LINE = (
    series_chunk.c.run_id == sa.bindparam("of_run"),
    series_chunk.c.series_id == sa.bindparam("of_series"),
    series_chunk.c.attempt == sa.bindparam("of_attempt"),
    series_chunk.c.level == sa.bindparam("of_level"),
)
_LAST = sa.select(*_ROW).where(*_LINE).order_by(series_chunk.c.idx.desc()).limit(sa.bindparam("most"))
_OWNER = (
    sa.select(sa.func.max(series_chunk.c.idx)).where(*_LINE, series_chunk.c.idx <= sa.bindparam("step"))
).scalar_subquery()
_PLACES = (
    sa.select(series_chunk.c.idx)
    .where(*_LINE, series_chunk.c.idx >= sa.func.coalesce(_OWNER, 0))
    .order_by(series_chunk.c.idx)
)
_PLACE = sa.select(*_ROW).where(*_LINE, series_chunk.c.idx == sa.bindparam("of_idx"))
_GONE = series_chunk.delete().where(*_LINE, series_chunk.c.idx == sa.bindparam("of_idx"))


def numbers(connection: sa.Connection, run_id: int) -> dict[Name, int]:
    """The numbers of all series of a run."""
    rows = connection.execute(_NAMED, {"of_run": run_id})
    return {(split, by, key): series_id for split, by, key, series_id in rows}


def latest(connection: sa.Connection, run_id: int, lines: Iterable[Line]) -> dict[Line, list[Row]]:
    """The last rows of points of many series at once."""
    by_attempt: dict[int, list[int]] = {}
    for series_id, attempt in lines:
        by_attempt.setdefault(attempt, []).append(series_id)
    found: dict[Line, list[Row]] = {}
    for attempt, ids in by_attempt.items():
        for at in range(0, len(ids), _MOST):
            asked = {"of_run": run_id, "of_attempt": attempt, "of_several": ids[at : at + _MOST]}
            for series_id, *row in connection.execute(_LATEST, asked):
                found.setdefault((series_id, attempt), []).append(Row(*row))
    return found


def _latest_statement() -> sa.Select[Any]:
    earlier = series_chunk.alias()
    # The place of the row at which the last ones begin; without one, all of them are the last.
    begin = (
        sa.select(earlier.c.idx)
        .where(
            earlier.c.run_id == sa.bindparam("of_run"),
            earlier.c.series_id == series.c.series_id,
            earlier.c.attempt == sa.bindparam("of_attempt"),
            earlier.c.level == 0,
        )
        .order_by(earlier.c.idx.desc())
        .limit(1)
        .offset(LATEST - 1)
        .scalar_subquery()
    )
    return (
        sa.select(series_chunk.c.series_id, *_ROW)
        .select_from(series.join(series_chunk, series_chunk.c.series_id == series.c.series_id))
        .where(
            series.c.run_id == sa.bindparam("of_run"),
            series.c.series_id.in_(sa.bindparam("of_several", expanding=True)),
            series_chunk.c.run_id == sa.bindparam("of_run"),
            series_chunk.c.attempt == sa.bindparam("of_attempt"),
            series_chunk.c.level == 0,
            series_chunk.c.idx >= sa.func.coalesce(begin, 0),
        )
        .order_by(series_chunk.c.series_id, series_chunk.c.idx)
    )


_LATEST = _latest_statement()


class Chunks:
    """The rows of one series in the database."""

    def __init__(self, connection: sa.Connection, run_id: int, line: Line) -> None:
        self._connection = connection
        self._line = {"of_run": run_id, "of_series": line[0], "of_attempt": line[1]}

    def latest(self, level: int, count: int) -> list[Row]:
        rows = self._connection.execute(_LAST, {**self._line, "of_level": level, "most": count})
        return [Row(*row) for row in rows][::-1]

    def places(self, level: int, step: int) -> list[int]:
        return list(self._connection.scalars(_PLACES, {**self._line, "of_level": level, "step": step}))

    def row(self, level: int, idx: int) -> Row:
        return Row(*self._connection.execute(_PLACE, {**self._line, "of_level": level, "of_idx": idx}).one())


def write(connection: sa.Connection, run_id: int, written: int, lines: Mapping[Line, Growth]) -> None:
    """Store how series have grown; ``written`` is the revision with which they have."""
    gone = [
        {"of_run": run_id, "of_series": series_id, "of_attempt": attempt, "of_level": level, "of_idx": idx}
        for (series_id, attempt), line in lines.items()
        for level, idx in sorted(line.gone)
    ]
    if gone:
        connection.execute(_GONE, gone)
    rows = [
        {
            "run_id": run_id,
            "series_id": series_id,
            "attempt": attempt,
            "level": row.level,
            "idx": row.idx,
            "step_min": row.step_min,
            "step_max": row.step_max,
            "n": row.n,
            "written": written,
            "data": row.data,
        }
        for (series_id, attempt), line in lines.items()
        for row in line.written.values()
    ]
    upsert(connection, series_chunk, rows, ("run_id", "series_id", "attempt", "level", "idx"))
