"""Scalar series at rest: the chunks that touch a window."""

from __future__ import annotations

import sqlalchemy as sa

from epochscope_server.errors import NotFoundError
from epochscope_server.store.schema import series, series_chunk


def chunks(
    connection: sa.Connection, run_id: int, split: str, by: str, key: str, start: int | None, stop: int | None
) -> list[bytes]:
    """The chunks of one series that hold steps (or epochs) of ``[start, stop)``; None is an open end.

    Raises:
        NotFoundError: the run has no such series; the message names those it has.
    """
    named = sa.select(series.c.key, series.c.series_id).where(
        series.c.run_id == run_id, series.c.split == split, series.c.by == by
    )
    known = dict(connection.execute(named.order_by(series.c.series_id)).all())
    if key not in known:
        there = ", ".join(known) if known else "none yet"
        raise NotFoundError("unknown_series", f"No series {key!r} in split {split} by {by}; there are: {there}", "keys")
    chosen = sa.select(series_chunk.c.data).where(
        series_chunk.c.run_id == run_id, series_chunk.c.series_id == known[key]
    )
    if start is not None:
        chosen = chosen.where(series_chunk.c.step_max >= start)
    if stop is not None:
        chosen = chosen.where(series_chunk.c.step_min < stop)
    return list(connection.scalars(chosen.order_by(series_chunk.c.chunk)))
