"""The door of a flush: stored exactly once, identified by (run, stream, seq), acknowledged once it is durable."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.errors import ConflictError, GoneError, InvalidError, PublicError
from epochscope_server.nonfinite import said
from epochscope_server.store import attempts, runs, series, spans
from epochscope_server.store.ledger import HEARD, KnownRun, KnownStream, Ledger

_value = struct.Struct("<d").unpack_from


@dataclass(frozen=True)
class Posted:
    """A flush as it came: what it says, its bytes, their CRC-32, and when they came by the clock of the service."""

    flush: wire.Flush
    body: bytes
    crc32: int
    received_ms: int


@dataclass(frozen=True)
class Appended:
    """``acked``: every seq up to this one is stored. ``change`` is None when nothing new came (a repetition)."""

    acked: int
    change: runs.Change | None
    run_id: int


def append(connection: sa.Connection, ledger: Ledger, posts: Sequence[Posted]) -> list[Appended | PublicError]:
    """Store flushes in the order in which they came; each is stored, found to be stored already, or refused.

    All that are stored are durable with the commit of ``connection``. A refusal is one of:

    * GoneError: the run was deleted.
    * ConflictError: ``out_of_order`` with the ``expected`` seq; ``conflict`` when this seq is stored already with
      other content (a copied spool, say), so that the client must open a new stream.
    * InvalidError: what it says can't be true of this run, such as a class it does not have.
    """
    ledger.open(connection, [(post.flush.run, post.flush.stream) for post in posts])
    taken: list[tuple[int, bool] | PublicError] = []
    for post in posts:
        try:
            taken.append(_take(connection, ledger, post))
        except PublicError as refusal:
            taken.append(refusal)
    changes = ledger.write(connection)
    outcomes: list[Appended | PublicError] = []
    for post, one in zip(posts, taken, strict=True):
        if isinstance(one, PublicError):
            outcomes.append(one)
        else:
            acked, new = one
            known = ledger.run(post.flush.run)
            assert known is not None
            outcomes.append(Appended(acked, changes[post.flush.run] if new else None, known.id))
    return outcomes


def _take(connection: sa.Connection, ledger: Ledger, post: Posted) -> tuple[int, bool]:
    """The highest seq of the stream that is stored, and whether this flush is new. It refuses before any change."""
    posted = post.flush
    if ledger.is_deleted(posted.run):
        raise GoneError("run_deleted", f"Run {posted.run} was deleted; what is still sent of it is not kept")
    known = ledger.run(posted.run)
    stream = known.streams.get(posted.stream) if known else None
    expected = stream.next_seq if stream else 1
    if known and stream and posted.seq < expected:
        if ledger.crc32(connection, known, stream, posted.seq) != post.crc32:
            raise ConflictError(
                "conflict",
                f"Flush {posted.seq} of this stream is stored with other content; open a new stream",
                "seq",
            )
        return expected - 1, False
    if posted.seq > expected:
        raise ConflictError(
            "out_of_order",
            f"Flush {expected} of this stream must come before {posted.seq}",
            "seq",
            expected=expected,
        )
    if known is None and posted.info is None:
        raise InvalidError("unknown_run", f"Run {posted.run} is not known; its first flush must carry info", "info")
    if posted.confusion or posted.info:
        check_classes(posted, known.outputs if known else {})
    if stream is None:
        stream = ledger.begin(connection, posted, post.received_ms)
    known = ledger.run(posted.run)
    assert known is not None
    if posted.info is not None:
        known.restate(connection, posted.info)
    _note(connection, ledger, known, stream, post)
    ledger.add(known, stream, crc32=post.crc32, arrived=known.row["rev"], body=post.body)
    return posted.seq, True


def _note(connection: sa.Connection, ledger: Ledger, known: KnownRun, stream: KnownStream, post: Posted) -> None:
    """What is kept of a flush besides its bytes: names of series, spans, and the last word on the run."""
    posted, row = post.flush, known.row
    reached: dict[str, int] = {}
    before = row["last"]
    last = {by: dict(values) for by, values in before.items()}
    names = set()
    ends: dict[bytes, tuple[int, int]] = {}  # last step and its place; the series of a flush mostly share their steps
    for columns in posted.series:
        if not columns.steps:
            continue
        end_of = ends.get(columns.steps)
        if end_of is None:
            step = np.frombuffer(columns.steps, wire.STEP_DTYPE)
            place = len(step) - 1 - int(np.argmax(step[::-1]))
            end_of = ends[columns.steps] = int(step[place]), place
        step_max, place = end_of
        key, split, by = columns.key, columns.split, columns.by
        names.add((split, by, key))
        if by == "batch" and step_max > reached.get(split, 0):
            reached[split] = step_max
        if "/" not in key:  # names with a slash are families, as class_weight/<class>: too many for a list
            if by not in last:
                last[by] = {}
            (value,) = _value(columns.values, 8 * place)
            last[by][key if split == "train" else f"{split}_{key}"] = value if isfinite(value) else said(value)
    for counted in posted.confusion:
        if counted.steps:
            step_max = int(np.frombuffer(counted.steps, wire.STEP_DTYPE).max())
            reached[counted.split] = max(reached.get(counted.split, 0), step_max)
    there = ledger.series.setdefault(row["uid"], set())
    if not names <= there:
        series.register(connection, known.id, names)
        there |= names
    spans.note(connection, known.id, posted.spans, stream.attempts)
    row["steps"] = _steps(connection, known, stream.attempts, reached)
    known.same = known.same and runs.summary(last) == runs.summary(before)
    row["last"] = last
    row["rev"] += 1
    known.heard = _heard(row, post)
    row |= known.heard


def _heard(row: runs.Row, post: Posted) -> runs.Row:
    """What is known of a run's state with this flush. One that was said before the run's end does not undo the end: it
    lay in the spool of an earlier process, and may be sent days later."""
    posted = post.flush
    if row["end_said_ms"] is not None and posted.sent_ms < row["end_said_ms"]:
        return {name: row[name] for name in HEARD}
    end = posted.end
    return {
        "heard_ms": post.received_ms,
        "next_ms": int(posted.next_in_s * 1000),
        "status": end.status if end else "running",
        "reason": end.reason if end else runs.stalled_since(posted.stalled_s),
        "ended_ms": post.received_ms if end else None,
        "end_said_ms": posted.sent_ms if end else None,
    }


def _steps(
    connection: sa.Connection, known: KnownRun, spoken_for: Mapping[str, int], reached: Mapping[str, int]
) -> dict[str, int]:
    """The last step of each split, with what this flush reached."""
    steps: dict[str, int] = dict(known.row["steps"])
    for split, step_max in reached.items():
        if split in spoken_for:
            attempts.reached(connection, known.id, split, spoken_for[split], step_max)
        else:
            steps[split] = max(steps.get(split, 0), step_max)
    if spoken_for:
        seen = attempts.of_run(connection, known.id)
        steps |= {split: seen.last(split) for split in spoken_for}
    return {split: last for split, last in steps.items() if last}


def check_classes(posted: wire.Flush, known: Mapping[str, wire.Output]) -> None:
    """Counts name only outputs and classes that the run has (or that this very flush introduces)."""
    sizes = {name: output.indices for name, output in known.items()}
    if posted.info is not None:
        for output in posted.info.outputs:
            if output.name in known and known[output.name].labels != output.labels:
                raise InvalidError(
                    "classes_changed",
                    f"Output {output.name!r} can't go from labels to classes, nor back, since it has counts",
                    "info.outputs",
                )
            if output.name in known and len(known[output.name].class_names) > len(output.class_names):
                raise InvalidError(
                    "classes_changed",
                    f"Output {output.name!r} had {len(known[output.name].class_names)} classes; it can't have fewer",
                    "info.outputs",
                )
            sizes[output.name] = output.indices
    for number, columns in enumerate(posted.confusion):
        field = f"confusion[{number}]"
        if columns.output not in sizes:
            raise InvalidError("unknown_output", f"The run has no output {columns.output!r}", f"{field}.output")
        _, _, true, predicted, _ = columns.arrays()
        for name, column in (("true", true), ("predicted", predicted)):
            if len(column) and int(np.max(column)) >= sizes[columns.output]:
                raise InvalidError(
                    "class_out_of_range",
                    f"Class {int(np.max(column))} does not exist: output {columns.output!r} has "
                    f"{sizes[columns.output]} classes, 0 to {sizes[columns.output] - 1}",
                    f"{field}.{name}",
                )
