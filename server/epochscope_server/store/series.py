"""Scalar series at rest: their names, and what a window of them is made of.

Short windows are read point by point. Of a long one that is drawn in few points the rollups are enough, except at its
ends, where a bucket may reach past it, and at the end of the series, where nothing is rolled up yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.errors import NotFoundError
from epochscope_server.store import attempts, series_rows, tail
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import rollup
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.schema import series
from epochscope_server.store.sealing_series import in_order
from epochscope_server.store.series_rows import Packed, Points, Stored

END = 2**53  # past any step
_WORTH = 2  # buckets of a rollup to each point that is drawn, at least


@dataclass(frozen=True)
class Read:
    """A window of one series: ``parts`` in order of steps, each points or buckets of points."""

    key: str
    split: str
    by: str
    parts: list[Points | Rollup]

    def points(self) -> Points:
        """Steps int64 [n] and values float64 [n] of a window that has no buckets."""
        held = [part for part in self.parts if not isinstance(part, Rollup)]
        return (
            np.concatenate([steps for steps, _ in held] or [np.zeros(0, np.int64)]),
            np.concatenate([values for _, values in held] or [np.zeros(0)]),
        )

    def buckets(self) -> Rollup | None:
        """All of the window as buckets, a point being a bucket of its own; None where there are only points."""
        if not any(isinstance(part, Rollup) for part in self.parts):
            return None
        return rollup.joined(part if isinstance(part, Rollup) else rollup.each(*part) for part in self.parts)


@dataclass
class _Piece:
    """What is read of one attempt: its rollups, which cover ``[start, stop)``, and its rows of points around that."""

    attempt: int
    start: int
    stop: int
    rolled: list[Rollup] = field(default_factory=list)
    rolled_from: int = 0
    rolled_to: int = 0  # 0: nothing is rolled up
    rows: list[Points | Packed] = field(default_factory=list)

    def around(self) -> list[tuple[int, int]]:
        """The ranges of steps that are read point by point."""
        if not self.rolled_to:
            return [(self.start, self.stop)]
        ranges = [(self.start, self.rolled_from), (self.rolled_to, self.stop)]
        return [(lo, hi) for lo, hi in ranges if lo < hi]


@dataclass(frozen=True)
class Fetched:
    """All that a window of one series is made of."""

    key: str
    split: str
    by: str
    blocks: Blocks
    pieces: list[_Piece]
    tail: list[tuple[int, Whole, Numbers]]

    def read(self) -> Read:
        """Unpack it.

        Raises:
            DamagedError: something can't be read.
        """
        if self.by == "epoch":
            return Read(self.key, self.split, self.by, [self._epochs()])
        parts: list[Points | Rollup] = []
        for piece in self.pieces:
            steps, values = self._points(piece)
            if piece.rolled_to:
                before, after = steps < piece.rolled_from, steps >= piece.rolled_to
                parts += [(steps[before], values[before]), *piece.rolled, (steps[after], values[after])]
            else:
                parts.append((steps, values))
        return Read(self.key, self.split, self.by, parts)

    def _points(self, piece: _Piece) -> Points:
        held = [series_rows.unpacked(self.blocks, row) for row in piece.rows]
        held += [(steps, values) for attempt, steps, values in self.tail if attempt == piece.attempt]
        if not held:
            return np.zeros(0, np.int64), np.zeros(0)
        steps = np.concatenate([steps for steps, _ in held])
        values = np.concatenate([values for _, values in held])
        inside = (steps >= piece.start) & (steps < piece.stop)
        return in_order(steps[inside], values[inside])

    def _epochs(self) -> Points:
        """Each attempt replaces what earlier ones said from the first epoch that it tells."""
        steps, values = np.zeros(0, np.int64), np.zeros(0)
        for piece in self.pieces:
            more = self._points(piece)
            if len(more[0]):
                kept = steps < more[0][0]
                steps, values = np.concatenate((steps[kept], more[0])), np.concatenate((values[kept], more[1]))
        return steps, values


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


def fetch(
    connection: sa.Connection,
    blocks: Blocks,
    run: tuple[int, str],
    split: str,
    by: str,
    keys: list[str],
    start: int | None = None,
    stop: int | None = None,
    most: int | None = None,
) -> list[Fetched]:
    """What the series named ``keys`` are made of in ``[start, stop)``.

    Args:
        run: the run's number and id.
        most: so many points are drawn at most, so that rollups may do; None: every point is needed.

    Raises:
        NotFoundError: the run has no such series; the message names those it has.
    """
    run_id = run[0]
    ids = _ids(connection, run_id, split, by, keys)
    first, end = start if start is not None else 0, stop if stop is not None else END
    several = attempts.of_run(connection, run_id)
    if by == "batch":
        spoken = [
            (piece.attempt, max(first, piece.start), min(end, END if piece.stop is None else piece.stop))
            for piece in several.pieces(split)
        ]
    else:
        spoken = [(attempt, first, end) for attempt in (several.order_of_all() if by == "epoch" else [0])]
    waiting = tail.of_run(connection, run_id)
    rolled = series_rows.rollups(connection, run_id, ids.values()) if most is not None and by == "batch" else []
    found = []
    for key, series_id in ids.items():
        told = tail.points(waiting, split, by, key)
        pieces = []
        for attempt, lo, hi in spoken:
            if lo >= hi:
                continue
            piece = _Piece(attempt, lo, hi)
            own = [row for row in rolled if (row.series_id, row.attempt) == (series_id, attempt)]
            if most is not None and own:
                late = min((int(steps.min()) for of, steps, _ in told if of == attempt and len(steps)), default=END)
                _roll(connection, blocks, run, piece, own, most, late)
            for before, after in piece.around():
                piece.rows += series_rows.points_between(connection, blocks, run, series_id, attempt, before, after)
            pieces.append(piece)
        found.append(Fetched(key, split, by, blocks, pieces, told))
    return found


def _ids(connection: sa.Connection, run_id: int, split: str, by: str, keys: list[str]) -> dict[str, int]:
    known = series_rows.numbers(connection, run_id, split, by)
    for key in keys:
        if key not in known:
            there = ", ".join(known) if known else "none yet"
            raise NotFoundError(
                "unknown_series", f"No series {key!r} in split {split} by {by}; there are: {there}", "keys"
            )
    return {key: known[key] for key in keys}


def _roll(
    connection: sa.Connection, blocks: Blocks, run: tuple[int, str], piece: _Piece, own: list[Stored], most: int,
    late: int,
) -> None:  # fmt: skip
    """Take the rollups of a piece that are worth it; none where steps from ``late`` on, not sealed yet, lie in them."""
    chosen: list[Stored] = []
    for level in sorted({row.level for row in own}, reverse=True):
        past = chosen[-1].step_max + 1 if chosen else piece.start
        here = [row for row in own if row.level == level and row.step_max >= past and row.step_min < piece.stop]
        if level > 1 and not chosen and sum(row.n for row in here) < _WORTH * most:
            continue
        chosen += here
    if sum(row.n for row in chosen) < _WORTH * most or chosen[-1].step_max >= late:
        return
    held = rollup.joined(series_rows.opened(connection, blocks, run, chosen))
    inside = (held.step_first >= piece.start) & (held.step_last < piece.stop)
    lo, hi = int(np.argmax(inside)), len(held) - int(np.argmax(inside[::-1]))
    if inside.any():
        piece.rolled = [held[lo:hi]]
        piece.rolled_from, piece.rolled_to = int(held.step_first[lo]), int(held.step_last[hi - 1]) + 1
