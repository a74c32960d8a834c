"""One step of sealing: the oldest waiting flushes of one run become leaves, nodes, marginals, points and rollups.

``read`` fetches them and the rows they touch, ``worked_out`` computes what is to be written, outside of any
transaction, and ``write`` stores it and takes away what the flushes said, all or nothing. Whatever happens between, the
same step can be taken again: nothing of it is in the store before all of it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec
import numpy as np
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import chunks, sealing_counts, sealing_series, tail
from epochscope_server.store.blobs import MOST_RANGES, chosen
from epochscope_server.store.chunks import Line
from epochscope_server.store.schema import count_marginal, count_node, counts, flush_body, run, stream
from epochscope_server.store.upsert import upsert

MOST_FLUSHES = 64  # of one step
MOST_BYTES = 2 * 1024 * 1024  # of their bodies; at least one is taken

_log = logging.getLogger(__name__)
_Pyramid = tuple[int, str, int, int]  # output_id, split, attempt, classes


# To put a statement together takes longer than to run it, so each is made once.
_WAITING = sa.select(stream.c.run_id).where(stream.c.sealed_seq < stream.c.next_seq - 1)
_RUN = sa.select(run.c.uid, run.c.outputs).where(run.c.id == sa.bindparam("of_run"))
_LOCK = sa.select(run.c.id).where(run.c.id == sa.bindparam("of_run")).with_for_update()
_SEALED = sa.select(stream.c.stream_id, stream.c.sealed_seq).where(stream.c.run_id == sa.bindparam("of_run"))
_PYRAMIDS = sa.select(counts).where(counts.c.run_id == sa.bindparam("of_run"))
_SEAL = flush_body.delete().where(
    flush_body.c.run_id == sa.bindparam("of_run"),
    flush_body.c.stream_id == sa.bindparam("of_stream"),
    flush_body.c.seq > sa.bindparam("before"),
    flush_body.c.seq <= sa.bindparam("after"),
)
_REACH = (
    stream.update()
    .where(stream.c.run_id == sa.bindparam("of_run"), stream.c.stream_id == sa.bindparam("of_stream"))
    .values(sealed_seq=sa.bindparam("after"))
)


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
    lines: dict[Line, sealing_series.Growth] = field(default_factory=dict)


def waiting_runs(connection: sa.Connection) -> list[int]:
    """The runs that have something to seal."""
    return list(connection.scalars(_WAITING))


def read(connection: sa.Connection, run_id: int) -> Step | None:
    """The next step of a run; None where nothing waits."""
    row = connection.execute(_RUN, {"of_run": run_id}).first()
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
    if connection.scalar(_LOCK, {"of_run": step.run_id}) is None:
        return False
    sealed = dict(connection.execute(_SEALED, {"of_run": step.run_id}).all())
    if any(sealed.get(stream_id) != seq for stream_id, seq in step.before.items()):
        return False
    _write_counts(connection, step)
    chunks.write(connection, step.run_id, step.written, step.lines)
    for stream_id, seq in step.after.items():
        here = {"of_run": step.run_id, "of_stream": stream_id, "before": step.before[stream_id], "after": seq}
        aside = [damaged for of, damaged in step.damaged if of == stream_id]
        connection.execute(_SEAL.where(flush_body.c.seq.not_in(aside)) if aside else _SEAL, here)
        connection.execute(_REACH, here)
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
        for row in connection.execute(_PYRAMIDS, {"of_run": step.run_id})
    }
    following = 1 + max((row.counts_id for row in known.values()), default=-1)
    for key, parts in cells.items():
        row = known.get(key)
        growth = sealing_counts.Growth(key[3], row.sealed_to if row else 0, parts)
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
    numbers: dict[chunks.Name, int] = {}
    told: dict[Line, tuple[list[bytes], list[bytes]]] = {}  # steps and values of one line after another
    final = False
    for waiting, posted in opened:
        final = posted.end is not None
        for columns in posted.series:
            if not len(columns.steps):
                continue
            numbers = numbers or chunks.numbers(connection, step.run_id)
            line = numbers[columns.split, columns.by, columns.key], tail.attempt_of(waiting, columns.split, columns.by)
            if line not in told:
                told[line] = [], []
            told[line][0].append(columns.steps)
            told[line][1].append(columns.values)
    if not told:
        return
    latest = chunks.latest(connection, step.run_id, told)
    for line, (steps, values) in told.items():
        growth = sealing_series.Growth(
            np.frombuffer(b"".join(steps), wire.STEP_DTYPE),
            np.frombuffer(b"".join(values), wire.VALUE_DTYPE),
            latest.get(line, []),
            final,
        )
        growth.gather(chunks.Chunks(connection, step.run_id, line))
        step.lines[line] = growth


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
    upsert(connection, counts, registered, ("run_id", "counts_id"))
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
        upsert(connection, table, rows, ("run_id", "counts_id", "level", "idx"))
