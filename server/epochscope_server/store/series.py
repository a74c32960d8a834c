"""Scalar series at rest: their names, and what a window of them is made of.

Short windows are read point by point. Of a long one that is drawn in few points the rollups are enough, except at its
ends, where a bucket may reach past it, and at the end of the series, where nothing is rolled up yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.errors import DamagedError, NotFoundError
from epochscope_server.store import attempts, tail
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import FormatError, points, rollup
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.schema import series
from epochscope_server.store.schema import series_chunk as table
from epochscope_server.store.sealing_series import in_order

END = 2**53  # past any step
_WORTH = 2  # buckets of a rollup to each point that is drawn, at least

Points = tuple[Whole, Numbers]


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
        return rollup.joined(part if isinstance(part, Rollup) else rollup.of_points(*part, 1) for part in self.parts)


@dataclass(frozen=True)
class _Stored:
    """One row of a series without its data."""

    series_id: int
    attempt: int
    level: int
    idx: int
    step_min: int
    step_max: int
    n: int
    written: int


@dataclass
class _Piece:
    """What is read of one attempt: its rollups, which cover ``[start, stop)``, and its rows of points around that."""

    attempt: int
    start: int
    stop: int
    rolled: list[Rollup] = field(default_factory=list)
    rolled_from: int = 0
    rolled_to: int = 0  # 0: nothing is rolled up
    rows: list[Points | _Packed] = field(default_factory=list)


@dataclass(frozen=True)
class _Packed:
    """A row of points to be unpacked when the transaction is over."""

    key: tuple[object, ...]
    data: bytes


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
        held = [_unpacked(self.blocks, row) if isinstance(row, _Packed) else row for row in piece.rows]
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
    rolled = _rollups(connection, run_id, ids.values()) if most is not None and by == "batch" else []
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
            piece.rows += _rows(connection, blocks, run, series_id, piece)
            pieces.append(piece)
        found.append(Fetched(key, split, by, blocks, pieces, told))
    return found


def _ids(connection: sa.Connection, run_id: int, split: str, by: str, keys: list[str]) -> dict[str, int]:
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
    return {key: known[key] for key in keys}


def _rollups(connection: sa.Connection, run_id: int, ids: Iterable[int]) -> list[_Stored]:
    columns = (
        table.c.series_id, table.c.attempt, table.c.level, table.c.idx,
        table.c.step_min, table.c.step_max, table.c.n, table.c.written,
    )  # fmt: skip
    chosen = sa.select(*columns).where(
        table.c.run_id == run_id, table.c.series_id.in_(list(ids)), table.c.level >= 1
    )
    return [_Stored(*row) for row in connection.execute(chosen.order_by(table.c.level, table.c.idx))]


def _roll(
    connection: sa.Connection, blocks: Blocks, run: tuple[int, str], piece: _Piece, own: list[_Stored], most: int,
    late: int,
) -> None:  # fmt: skip
    """Take the rollups of a piece that are worth it; none where steps from ``late`` on, not sealed yet, lie in them."""
    chosen: list[_Stored] = []
    for level in sorted({row.level for row in own}, reverse=True):
        past = chosen[-1].step_max + 1 if chosen else piece.start
        here = [row for row in own if row.level == level and row.step_max >= past and row.step_min < piece.stop]
        if level > 1 and not chosen and sum(row.n for row in here) < _WORTH * most:
            continue
        chosen += here
    if sum(row.n for row in chosen) < _WORTH * most or chosen[-1].step_max >= late:
        return
    held = rollup.joined(_opened(connection, blocks, run, chosen))
    inside = (held.step_first >= piece.start) & (held.step_last < piece.stop)
    lo, hi = int(np.argmax(inside)), len(held) - int(np.argmax(inside[::-1]))
    if inside.any():
        piece.rolled = [held[lo:hi]]
        piece.rolled_from, piece.rolled_to = int(held.step_first[lo]), int(held.step_last[hi - 1]) + 1


def _opened(connection: sa.Connection, blocks: Blocks, run: tuple[int, str], chosen: list[_Stored]) -> Iterator[Rollup]:
    keys = {row: ("rollup", run[1], row.series_id, row.attempt, row.level, row.idx, row.written) for row in chosen}
    ready: dict[_Stored, Rollup] = {row: block for row, key in keys.items() if (block := blocks.get(key)) is not None}
    missing = [row for row in chosen if row not in ready]
    if missing:
        one = missing[0]
        places = sa.tuple_(table.c.level, table.c.idx).in_([(row.level, row.idx) for row in missing])
        fetched = sa.select(table.c.level, table.c.idx, table.c.data).where(
            table.c.run_id == run[0], table.c.series_id == one.series_id, table.c.attempt == one.attempt, places
        )
        data = {(level, idx): blob for level, idx, blob in connection.execute(fetched)}
        for row in missing:
            try:
                block = rollup.decode(data[row.level, row.idx])
            except FormatError as error:
                raise DamagedError(f"series {row.series_id} rollup {row.level}/{row.idx}: {error}") from error
            ready[row] = block
            blocks.put(keys[row], block, 13 * 8 * len(block))
    for row in chosen:
        yield ready[row]


def _rows(
    connection: sa.Connection, blocks: Blocks, run: tuple[int, str], series_id: int, piece: _Piece
) -> list[Points | _Packed]:
    """The rows of points that hold steps of the piece around what is rolled up."""
    ranges = [(piece.start, piece.stop)]
    if piece.rolled_to:
        ranges = [(piece.start, piece.rolled_from), (piece.rolled_to, piece.stop)]
    own = (
        table.c.run_id == run[0],
        table.c.series_id == series_id,
        table.c.attempt == piece.attempt,
        table.c.level == 0,
    )
    rows: list[Points | _Packed] = []
    for lo, hi in ranges:
        if lo >= hi:
            continue
        owner = sa.select(sa.func.max(table.c.idx)).where(*own, table.c.idx <= lo).scalar_subquery()
        chosen = sa.select(table.c.idx, table.c.written, table.c.data).where(
            *own, table.c.idx >= sa.func.coalesce(owner, 0), table.c.idx < hi, table.c.step_max >= lo
        )
        for idx, written, data in connection.execute(chosen.order_by(table.c.idx)):
            key = ("points", run[1], series_id, piece.attempt, idx, written)
            rows.append(blocks.get(key) or _Packed(key, data))
    return rows


def _unpacked(blocks: Blocks, row: _Packed) -> Points:
    try:
        block = points.decode(row.data)
    except FormatError as error:
        raise DamagedError(f"series {row.key[2]} points {row.key[4]}: {error}") from error
    blocks.put(row.key, block, 16 * len(block[0]))
    return block
