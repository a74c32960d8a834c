"""The door of a flush: stored exactly once, identified by (run, stream, seq), acknowledged once it is durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.errors import ConflictError, GoneError, InvalidError
from epochscope_server.nonfinite import said
from epochscope_server.store import attempts, runs, series, spans
from epochscope_server.store.schema import deleted_run, flush, stream


@dataclass(frozen=True)
class Appended:
    """``acked``: every seq up to this one is stored. ``change`` is None when nothing new came (a repetition)."""

    acked: int
    change: runs.Change | None
    run_id: int


def append(connection: sa.Connection, posted: wire.Flush, body: bytes, crc32: int, now_ms: int) -> Appended:
    """Store one flush, whose bytes are ``body``, or find that it is stored already.

    Raises:
        GoneError: the run was deleted.
        ConflictError: ``out_of_order`` with the ``expected`` seq; ``conflict`` when this seq is stored already
            with other content (a copied spool, say), so that the client must open a new stream.
        InvalidError: what it says can't be true of this run, such as a class it does not have.
    """
    if connection.scalar(sa.select(deleted_run.c.uid).where(deleted_run.c.uid == posted.run)):
        raise GoneError("run_deleted", f"Run {posted.run} was deleted; what is still sent of it is not kept")
    known = runs.find(connection, posted.run)
    found = None
    if known is not None:
        chosen = sa.select(stream).where(stream.c.run_id == known["id"], stream.c.uid == posted.stream)
        found = connection.execute(chosen).first()
    expected = found.next_seq if found else 1
    if known is not None and found is not None and posted.seq < expected:
        stored = connection.scalar(
            sa.select(flush.c.crc32).where(
                flush.c.run_id == known["id"], flush.c.stream_id == found.stream_id, flush.c.seq == posted.seq
            )
        )
        if stored != crc32:
            raise ConflictError(
                "conflict",
                f"Flush {posted.seq} of this stream is stored with other content; open a new stream",
                "seq",
            )
        return Appended(expected - 1, None, known["id"])
    if posted.seq > expected:
        raise ConflictError(
            "out_of_order",
            f"Flush {expected} of this stream must come before {posted.seq}",
            "seq",
            expected=expected,
        )
    if known is None:
        if posted.info is None:
            raise InvalidError("unknown_run", f"Run {posted.run} is not known; its first flush must carry info", "info")
        known = runs.create(connection, posted.run, posted.info, now_ms)
    check_classes(posted, known["outputs"])
    if found is None:
        ordinal = connection.scalar(sa.select(sa.func.count()).where(stream.c.run_id == known["id"])) or 0
        spoken_for = attempts.of_stream(connection, known["id"], posted.info, known["steps"])
        connection.execute(
            stream.insert().values(
                run_id=known["id"],
                stream_id=ordinal,
                uid=posted.stream,
                next_seq=posted.seq + 1,
                sealed_seq=0,
                attempts=spoken_for,
            )
        )
    else:
        ordinal, spoken_for = found.stream_id, found.attempts
        connection.execute(
            stream.update()
            .where(stream.c.run_id == known["id"], stream.c.stream_id == ordinal)
            .values(next_seq=posted.seq + 1)
        )
    change = _note(connection, known, posted, spoken_for, now_ms)
    connection.execute(
        flush.insert().values(
            run_id=known["id"],
            stream_id=ordinal,
            seq=posted.seq,
            crc32=crc32,
            received_ms=now_ms,
            arrived=change.rev,
            body=body,
        )
    )
    return Appended(posted.seq, change, known["id"])


def _note(
    connection: sa.Connection, known: runs.Row, posted: wire.Flush, spoken_for: Mapping[str, int], now_ms: int
) -> runs.Change:
    """What is kept of a flush besides its bytes: names of series, spans, and the last word on the run."""
    if posted.info is not None:
        known = runs.restate(connection, known, posted.info)
    reached: dict[str, int] = {}
    last: dict[str, dict[str, Any]] = {by: dict(values) for by, values in known["last"].items()}
    names = []
    for columns in posted.series:
        step, value = columns.arrays()
        if not len(step):
            continue
        names.append((columns.split, columns.by, columns.key))
        if columns.by == "batch":
            reached[columns.split] = max(reached.get(columns.split, 0), int(step.max()))
        if "/" not in columns.key:  # names with a slash are families, as class_weight/<class>: too many for a list
            name = columns.key if columns.split == "train" else f"{columns.split}_{columns.key}"
            latest = len(step) - 1 - int(np.argmax(step[::-1]))
            last.setdefault(columns.by, {})[name] = said(float(value[latest]))
    for counted in posted.confusion:
        step = counted.arrays()[0]
        if len(step):
            reached[counted.split] = max(reached.get(counted.split, 0), int(step.max()))
    series.register(connection, known["id"], names)
    spans.note(connection, known["id"], posted.spans, spoken_for)
    steps: dict[str, int] = dict(known["steps"])
    for split, step_max in reached.items():
        if split in spoken_for:
            attempts.reached(connection, known["id"], split, spoken_for[split], step_max)
        else:
            steps[split] = max(steps.get(split, 0), step_max)
    if spoken_for:
        seen = attempts.of_run(connection, known["id"])
        steps |= {split: seen.last(split) for split in spoken_for}
    return runs.touch(connection, known, posted, steps, last, now_ms)


def check_classes(posted: wire.Flush, outputs: list[dict[str, Any]]) -> None:
    """Counts name only outputs and classes that the run has (or that this very flush introduces)."""
    known = {output["name"]: msgspec.convert(output, wire.Output) for output in outputs}
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
