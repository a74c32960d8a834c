"""One step of sealing: the oldest waiting flushes of one run become leaves, nodes, marginals, points and rollups.

``read`` fetches them and the rows they touch, ``worked_out`` computes what is to be written, outside of any
transaction, and ``write`` stores it and takes away what the flushes said, all or nothing. Whatever happens between, the
same step can be taken again: nothing of it is in the store before all of it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from epochscope import wire
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks the same ON CONFLICT

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.store import sealing_counts, sealing_series, tail
from epochscope_server.store.blobs import MOST_RANGES, chosen
from epochscope_server.store.schema import (
    count_marginal,
    count_node,
    counts,
    flush_body,
    run,
    series,
    series_chunk,
    stream,
)

MOST_FLUSHES = 64  # of one step
MOST_BYTES = 1024 * 1024  # of their bodies; at least one is taken

_log = logging.getLogger(__name__)
_Pyramid = tuple[int, str, int, int]  # output_id, split, attempt, classes
_Line = tuple[int, int]  # series_id, attempt


@dataclass
class Step:
    """What a step takes and touches, then what it writes."""

    run_id: int
    uid: str
    before: dict[int, int]  # sealed_seq of each stream that has a part in it
    after: dict[int, int]
    written: int  # revision of the run with the last of its flushes: no two steps have the same
    damaged: list[tuple[int, int]]  # (stream_id, seq) of bodies that can't be read; they stay as they are
    more: bool  # whether more is waiting
    pyramids: dict[_Pyramid, sealing_counts.Growth] = field(default_factory=dict)
    ids: dict[_Pyramid, int] = field(default_factory=dict)
    there: dict[_Pyramid, sealing_counts.Rows] = field(default_factory=dict)
    grown: dict[_Pyramid, sealing_counts.Rows] = field(default_factory=dict)
    lines: dict[_Line, sealing_series.Growth] = field(default_factory=dict)


def waiting_runs(connection: sa.Connection) -> list[int]:
    """The runs that have something to seal."""
    return list(connection.scalars(sa.select(stream.c.run_id).where(stream.c.sealed_seq < stream.c.next_seq - 1)))


def read(connection: sa.Connection, run_id: int) -> Step | None:
    """The next step of a run; None where nothing waits."""
    row = connection.execute(sa.select(run.c.uid, run.c.outputs).where(run.c.id == run_id)).first()
    taken = tail.of_run(connection, run_id, MOST_FLUSHES + 1)
    if row is None or not taken:
        return None
    size, count = 0, 0
    for waiting in taken[:MOST_FLUSHES]:
        size += len(waiting.body)
        if count and size > MOST_BYTES:
            break
        count += 1
    more, taken = len(taken) > count, taken[:count]
    step = Step(run_id, row.uid, {}, {}, taken[-1].arrived, [], more)
    opened = []
    for waiting in taken:
        step.before.setdefault(waiting.stream_id, waiting.seq - 1)
        step.after[waiting.stream_id] = waiting.seq
        flushed = waiting.opened()
        if flushed is not None:
            opened.append((waiting, flushed))
            continue
        _log.error(
            "run %s: flush %d of stream %d is damaged on disk; it is set aside, the rest of the run goes on",
            row.uid, waiting.seq, waiting.stream_id,
        )  # fmt: skip
        step.damaged.append((waiting.stream_id, waiting.seq))
    outputs = [msgspec.convert(output, wire.Output) for output in row.outputs]
    _read_counts(connection, step, outputs, opened)
    _read_series(connection, step, opened)
    return step


def worked_out(step: Step) -> Step:
    """Compute all that is to be written."""
    for key, growth in step.pyramids.items():
        step.grown[key] = growth.grown(step.there[key])
    for line in step.lines.values():
        line.grow()
    return step


def write(connection: sa.Connection, step: Step) -> bool:
    """Store a step. False where it is out of date: the run is gone, or another service has sealed it meanwhile."""
    # Whoever seals this run, or adds to it, waits here; SQLite has one writer anyway.
    if connection.scalar(sa.select(run.c.id).where(run.c.id == step.run_id).with_for_update()) is None:
        return False
    chosen = sa.select(stream.c.stream_id, stream.c.sealed_seq).where(stream.c.run_id == step.run_id)
    sealed = dict(connection.execute(chosen).all())
    if any(sealed.get(stream_id) != seq for stream_id, seq in step.before.items()):
        return False
    _write_counts(connection, step)
    _write_series(connection, step)
    for stream_id, seq in step.after.items():
        of_stream = (flush_body.c.run_id == step.run_id, flush_body.c.stream_id == stream_id)
        sealed_now = (flush_body.c.seq > step.before[stream_id], flush_body.c.seq <= seq)
        aside = [damaged for of, damaged in step.damaged if of == stream_id]
        if aside:
            sealed_now += (flush_body.c.seq.not_in(aside),)
        connection.execute(flush_body.delete().where(*of_stream, *sealed_now))
        connection.execute(
            stream.update()
            .where(stream.c.run_id == step.run_id, stream.c.stream_id == stream_id)
            .values(sealed_seq=seq)
        )
    return True


def _read_counts(
    connection: sa.Connection, step: Step, outputs: list[wire.Output], opened: list[tuple[tail.Waiting, wire.Flush]]
) -> None:
    cells: dict[_Pyramid, list[Cells]] = {}
    numbers = {output.name: number for number, output in enumerate(outputs)}
    for waiting, posted in opened:
        for columns in posted.confusion:
            if len(columns.steps):
                number = numbers[columns.output]
                attempt = waiting.attempts.get(columns.split, 0)
                key: _Pyramid = (number, columns.split, attempt, outputs[number].indices)
                cells.setdefault(key, []).append(tail.cells_of(columns))
    if not cells:
        return
    known = {
        (row.output_id, row.split, row.attempt, row.classes): row
        for row in connection.execute(sa.select(counts).where(counts.c.run_id == step.run_id))
    }
    following = 1 + max((row.counts_id for row in known.values()), default=-1)
    for key, parts in cells.items():
        row = known.get(key)
        growth = sealing_counts.Growth(key[3], row.sealed_to if row else 0, sealing_counts.joined(parts))
        rows = sealing_counts.Rows()
        if row is None:
            step.ids[key] = following
            following += 1
        else:
            step.ids[key] = row.counts_id
            for table, ranges, held in zip(
                (count_node, count_marginal), growth.needs(), (rows.nodes, rows.marginals), strict=True
            ):
                for at in range(0, len(ranges), MOST_RANGES):
                    some = ranges[at : at + MOST_RANGES]
                    rows_there = chosen(connection, table, step.run_id, row.counts_id, some, "data")
                    held |= {(level, idx): data for level, idx, data in rows_there}
        step.pyramids[key] = growth
        step.there[key] = rows


def _read_series(connection: sa.Connection, step: Step, opened: list[tuple[tail.Waiting, wire.Flush]]) -> None:
    named = sa.select(series.c.split, series.c.by, series.c.key, series.c.series_id)
    numbers: dict[tuple[str, str, str], int] = {}
    told: dict[_Line, list[tuple[Whole, Numbers]]] = {}
    final = False
    for waiting, posted in opened:
        final = posted.end is not None
        for columns in posted.series:
            if not len(columns.steps):
                continue
            if not numbers:
                rows = connection.execute(named.where(series.c.run_id == step.run_id))
                numbers = {(split, by, key): series_id for split, by, key, series_id in rows}
            line = numbers[columns.split, columns.by, columns.key], tail.attempt_of(waiting, columns.split, columns.by)
            told.setdefault(line, []).append(columns.arrays())
    if not told:
        return
    latest = _latest(connection, step.run_id, told)
    for line, parts in told.items():
        growth = sealing_series.Growth(
            np.concatenate([steps for steps, _ in parts]),
            np.concatenate([values for _, values in parts]),
            latest.get(line, []),
            final,
        )
        growth.gather(_Shelf(connection, step.run_id, *line))
        step.lines[line] = growth


_ROW = (
    series_chunk.c.level,
    series_chunk.c.idx,
    series_chunk.c.step_min,
    series_chunk.c.step_max,
    series_chunk.c.n,
    series_chunk.c.data,
)


def _latest(connection: sa.Connection, run_id: int, lines: Iterable[_Line]) -> dict[_Line, list[sealing_series.Row]]:
    """The last rows of points of many series at once."""
    by_attempt: dict[int, list[int]] = {}
    for series_id, attempt in lines:
        by_attempt.setdefault(attempt, []).append(series_id)
    found: dict[_Line, list[sealing_series.Row]] = {}
    for attempt, ids in by_attempt.items():
        for at in range(0, len(ids), 500):
            asked = {"of_run": run_id, "of_attempt": attempt, "of_series": ids[at : at + 500]}
            for series_id, *row in connection.execute(_LATEST, asked):
                found.setdefault((series_id, attempt), []).append(sealing_series.Row(*row))
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
        .offset(sealing_series.LATEST - 1)
        .scalar_subquery()
    )
    return (
        sa.select(series_chunk.c.series_id, *_ROW)
        .select_from(series.join(series_chunk, series_chunk.c.series_id == series.c.series_id))
        .where(
            series.c.run_id == sa.bindparam("of_run"),
            series.c.series_id.in_(sa.bindparam("of_series", expanding=True)),
            series_chunk.c.run_id == sa.bindparam("of_run"),
            series_chunk.c.attempt == sa.bindparam("of_attempt"),
            series_chunk.c.level == 0,
            series_chunk.c.idx >= sa.func.coalesce(begin, 0),
        )
        .order_by(series_chunk.c.series_id, series_chunk.c.idx)
    )


_LATEST = _latest_statement()


class _Shelf:
    """The rows of one series in the database."""

    def __init__(self, connection: sa.Connection, run_id: int, series_id: int, attempt: int) -> None:
        self._connection = connection
        self._own = (
            series_chunk.c.run_id == run_id,
            series_chunk.c.series_id == series_id,
            series_chunk.c.attempt == attempt,
        )

    def latest(self, level: int, count: int) -> list[sealing_series.Row]:
        chosen = sa.select(*_ROW).where(*self._own, series_chunk.c.level == level)
        rows = self._connection.execute(chosen.order_by(series_chunk.c.idx.desc()).limit(count))
        return [sealing_series.Row(*row) for row in rows][::-1]

    def places(self, level: int, step: int) -> list[int]:
        here = (*self._own, series_chunk.c.level == level)
        first = sa.select(sa.func.max(series_chunk.c.idx)).where(*here, series_chunk.c.idx <= step).scalar_subquery()
        chosen = sa.select(series_chunk.c.idx).where(*here, series_chunk.c.idx >= sa.func.coalesce(first, 0))
        return list(self._connection.scalars(chosen.order_by(series_chunk.c.idx)))

    def row(self, level: int, idx: int) -> sealing_series.Row:
        chosen = sa.select(*_ROW).where(*self._own, series_chunk.c.level == level, series_chunk.c.idx == idx)
        return sealing_series.Row(*self._connection.execute(chosen).one())


def _write_counts(connection: sa.Connection, step: Step) -> None:
    registered = [
        {
            "run_id": step.run_id,
            "counts_id": step.ids[key],
            "output_id": key[0],
            "split": key[1],
            "attempt": key[2],
            "classes": key[3],
            "sealed_to": growth.sealed_to,
        }
        for key, growth in step.pyramids.items()
    ]
    _upsert(connection, counts, registered)
    for table, name in ((count_node, "nodes"), (count_marginal, "marginals")):
        rows = [
            {
                "run_id": step.run_id,
                "counts_id": step.ids[key],
                "level": level,
                "idx": idx,
                "written": step.written,
                "data": data,
            }
            for key, grown in step.grown.items()
            for (level, idx), data in getattr(grown, name).items()
        ]
        _upsert(connection, table, rows)


def _write_series(connection: sa.Connection, step: Step) -> None:
    gone = [
        {"gone_series": series_id, "gone_attempt": attempt, "gone_level": level, "gone_idx": idx}
        for (series_id, attempt), line in step.lines.items()
        for level, idx in sorted(line.gone)
    ]
    if gone:
        connection.execute(
            series_chunk.delete().where(
                series_chunk.c.run_id == step.run_id,
                series_chunk.c.series_id == sa.bindparam("gone_series"),
                series_chunk.c.attempt == sa.bindparam("gone_attempt"),
                series_chunk.c.level == sa.bindparam("gone_level"),
                series_chunk.c.idx == sa.bindparam("gone_idx"),
            ),
            gone,
        )
    rows = [
        {
            "run_id": step.run_id,
            "series_id": series_id,
            "attempt": attempt,
            "level": row.level,
            "idx": row.idx,
            "step_min": row.step_min,
            "step_max": row.step_max,
            "n": row.n,
            "written": step.written,
            "data": row.data,
        }
        for (series_id, attempt), line in step.lines.items()
        for row in line.written.values()
    ]
    _upsert(connection, series_chunk, rows)


def _upsert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_upserting(table), rows)


@cache
def _upserting(table: sa.Table) -> sa.Insert:
    statement = insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=[column.name for column in table.primary_key], set_=changed)
