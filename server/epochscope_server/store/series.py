"""Scalar series at rest: their names, and the points of a window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.errors import NotFoundError
from epochscope_server.store import attempts, tail
from epochscope_server.store.schema import series


@dataclass(frozen=True)
class Fetched:
    """All that touches a window of one series, fetched in one transaction, to be unpacked when that is over."""

    split: str
    by: str
    key: str
    pieces: list[attempts.Piece]
    tail: list[tail.Waiting]

    def points(self) -> tuple[Whole, Numbers]:
        """Steps int64 [n] and values float64 [n], ordered by step. A step told again keeps its latest value."""
        parts = []
        for attempt, steps, values in tail.points(self.tail, self.split, self.by, self.key):
            for piece in self.pieces:
                if piece.attempt == attempt:
                    inside = steps >= piece.start
                    if piece.stop is not None:
                        inside &= steps < piece.stop
                    parts.append((steps[inside], values[inside]))
        steps = np.concatenate([steps for steps, _ in parts] or [np.zeros(0, np.int64)])
        values = np.concatenate([values for _, values in parts] or [np.zeros(0)])
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
        latest = np.append(steps[1:] != steps[:-1], True) if len(steps) else np.zeros(0, bool)
        return steps[latest], values[latest]


def register(connection: sa.Connection, run_id: int, names: Iterable[tuple[str, str, str]]) -> None:
    """See to it that the run's series (split, by, key) have numbers."""
    wanted = dict.fromkeys(names)
    if not wanted:
        return
    chosen = sa.select(series.c.split, series.c.by, series.c.key).where(series.c.run_id == run_id)
    known = {tuple(row) for row in connection.execute(chosen)}
    missing = [name for name in wanted if name not in known]
    for series_id, (split, by, key) in enumerate(missing, len(known)):
        connection.execute(series.insert().values(run_id=run_id, series_id=series_id, split=split, by=by, key=key))


def fetch(connection: sa.Connection, run_id: int, split: str, by: str, keys: list[str]) -> list[Fetched]:
    """What the series named ``keys`` are made of.

    Raises:
        NotFoundError: the run has no such series; the message names those it has.
    """
    named = sa.select(series.c.key, series.c.series_id).where(
        series.c.run_id == run_id, series.c.split == split, series.c.by == by
    )
    known = dict(connection.execute(named.order_by(series.c.series_id)).all())
    for key in keys:
        if key not in known:
            there = ", ".join(known) if known else "none yet"
            raise NotFoundError(
                "unknown_series", f"No series {key!r} in split {split} by {by}; there are: {there}", "keys"
            )
    pieces = attempts.of_run(connection, run_id).pieces(split) if by == "batch" else [attempts.Piece(0, 0, None)]
    waiting = tail.of_run(connection, run_id)
    return [Fetched(split, by, key, pieces, waiting) for key in keys]
