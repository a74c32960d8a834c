"""The runs and streams that the flushes of one commit name: read together, changed in memory, written together.

Where this process alone writes, what was read once stays known for the next commit. Where others write too, the rows of
the runs are locked until the commit, and read anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.store import attempts, runs
from epochscope_server.store.engines import as_json
from epochscope_server.store.many import Many
from epochscope_server.store.schema import deleted_run, flush, flush_body, run, stream

MOST_RUNS = 2000  # kept in memory from one commit to the next


@dataclass
class KnownStream:
    """One stream of a run: the number of its next flush, and the attempts for which it speaks."""

    stream_id: int
    next_seq: int
    attempts: Mapping[str, int]


@dataclass
class KnownRun:
    """A run as it is with the flushes of this commit; ``heard`` is what they say of its state (`HEARD`), if any came.

    ``same``: what lists show of its last values is what it was.
    """

    row: runs.Row
    streams: dict[str, KnownStream] = field(default_factory=dict)
    heard: dict[str, Any] | None = None
    same: bool = True

    @property
    def id(self) -> int:
        return int(self.row["id"])

    @cached_property
    def outputs(self) -> dict[str, wire.Output]:
        """Its classified outputs by name."""
        return {output["name"]: msgspec.convert(output, wire.Output) for output in self.row["outputs"]}

    def restate(self, connection: sa.Connection, info: wire.RunInfo) -> None:
        """The callback's latest word on the run."""
        self.row = runs.restate(connection, self.row, info)
        self.__dict__.pop("outputs", None)


HEARD = ("heard_ms", "next_ms", "status", "reason", "ended_ms", "end_said_ms")
_COLUMNS = [run.c[name] for name in ("id", "uid", "rev", "named_by_viewer", "outputs", "steps", "last", *HEARD)]
_STATE = ("steps", "last", "rev", "change", *HEARD)
_HEARD = Many(
    run.update().where(run.c.id == sa.bindparam("run_id")).values(
        {name: sa.bindparam(f"new_{name}") for name in _STATE}
        | {"indexed": sa.and_(run.c.indexed, sa.bindparam("new_same", type_=sa.Boolean))}
    )
)  # fmt: skip
_NEXT = Many(
    stream.update()
    .where(stream.c.run_id == sa.bindparam("of_run"), stream.c.stream_id == sa.bindparam("of_stream"))
    .values(next_seq=sa.bindparam("new_next_seq"))
)
_NEW = [Many(table.insert(), table.c.keys()) for table in (flush, flush_body)]


class Ledger:
    """``alone``: no other process writes to this store."""

    def __init__(self, alone: bool) -> None:
        self._alone = alone
        self._runs: dict[str, KnownRun] = {}
        self._gone: set[str] = set()
        self._change: int | None = None  # the latest number of a change
        self._new: list[dict[str, Any]] = []  # flushes to be inserted
        self.series: dict[str, set[tuple[str, str, str]]] = {}  # by run; a series never goes away before its run does

    def forget(self) -> None:
        """Someone else may have changed what is known."""
        self._runs.clear()
        self._gone.clear()
        self._new.clear()
        self._change = None

    def undo(self) -> None:
        """The commit failed: what it changed in memory is not in the store."""
        self.forget()
        self.series.clear()

    def open(self, connection: sa.Connection, named: Iterable[tuple[str, str]]) -> None:
        """Read the runs and streams of (run, stream), as far as they are there and not known yet."""
        if not self._alone or len(self._runs) > MOST_RUNS:
            self.forget()
        if len(self.series) > MOST_RUNS:
            self.series.clear()
        pairs = set(named)
        unknown = {uid for uid, _ in pairs if uid not in self._runs}
        if unknown:
            chosen = sa.select(*_COLUMNS).where(run.c.uid.in_(unknown)).order_by(run.c.id).with_for_update()
            for row in connection.execute(chosen).mappings():
                self._runs[row["uid"]] = KnownRun({str(name): value for name, value in row.items()})
            # Asked after the rows are locked, or a run that is being deleted could come back.
            if missing := unknown - self._runs.keys():
                gone = sa.select(deleted_run.c.uid).where(deleted_run.c.uid.in_(missing))
                self._gone.update(connection.scalars(gone))
        by_id = {known.id: known for uid, name in pairs if (known := self._runs.get(uid)) and name not in known.streams}
        if by_id:
            columns = (stream.c.run_id, stream.c.uid, stream.c.stream_id, stream.c.next_seq, stream.c.attempts)
            theirs = sa.select(*columns).where(
                stream.c.run_id.in_(by_id), stream.c.uid.in_({name for _, name in pairs})
            )
            for run_id, name, *rest in connection.execute(theirs):
                by_id[run_id].streams.setdefault(name, KnownStream(*rest))

    def is_deleted(self, uid: str) -> bool:
        return uid in self._gone

    def run(self, uid: str) -> KnownRun | None:
        return self._runs.get(uid)

    def begin(self, connection: sa.Connection, posted: wire.Flush, now_ms: int) -> KnownStream:
        """A new stream, and its run if that is new, too; the flush that begins a run has ``info``."""
        known = self._runs.get(posted.run)
        if known is None:
            assert posted.info is not None
            known = self._runs[posted.run] = KnownRun(runs.create(connection, posted.run, posted.info, now_ms))
        count = sa.select(sa.func.count()).where(stream.c.run_id == known.id)
        begun = KnownStream(connection.scalar(count) or 0, 1, {})
        begun.attempts = attempts.of_stream(connection, known.id, posted.info, known.row["steps"])
        connection.execute(
            stream.insert().values(
                run_id=known.id, stream_id=begun.stream_id, uid=posted.stream, next_seq=1, sealed_seq=0,
                attempts=begun.attempts,
            )
        )  # fmt: skip
        if begun.attempts:  # the streams so far may speak for the first of several attempts now
            told = dict(
                connection.execute(sa.select(stream.c.uid, stream.c.attempts).where(stream.c.run_id == known.id)).all()
            )
            for name, other in known.streams.items():
                other.attempts = told[name]
        known.streams[posted.stream] = begun
        return begun

    def crc32(self, connection: sa.Connection, known: KnownRun, of: KnownStream, seq: int) -> int | None:
        """The checksum of a flush that is stored, or about to be."""
        for row in self._new:
            if (row["run_id"], row["stream_id"], row["seq"]) == (known.id, of.stream_id, seq):
                return int(row["crc32"])
        key = (flush.c.run_id == known.id, flush.c.stream_id == of.stream_id, flush.c.seq == seq)
        return connection.scalar(sa.select(flush.c.crc32).where(*key))

    def add(self, known: KnownRun, of: KnownStream, **row: Any) -> None:
        """One more flush of a stream."""
        self._new.append({"run_id": known.id, "stream_id": of.stream_id, "seq": of.next_seq, **row})
        of.next_seq += 1

    def write(self, connection: sa.Connection) -> dict[str, runs.Change]:
        """Write all that the flushes change; gives what viewers are told of each run that has something new."""
        heard = sorted((known for known in self._runs.values() if known.heard is not None), key=lambda one: one.id)
        if not heard:
            return {}
        following = {(row["run_id"], row["stream_id"]): row["seq"] + 1 for row in self._new}
        for insert in _NEW:
            insert.execute(connection, self._new)
        _NEXT.execute(
            connection,
            [{"of_run": of, "of_stream": number, "new_next_seq": seq} for (of, number), seq in following.items()],
        )
        if self._change is None:
            self._change = runs.next_change(connection) - 1
        changes, rows = {}, []
        for known in heard:
            self._change += 1
            row, state = known.row, known.heard or {}
            changes[row["uid"]] = runs.Change(self._change, row["uid"], row["rev"], state["status"])
            rows.append(
                {
                    "run_id": known.id, "new_steps": as_json(row["steps"]), "new_last": as_json(row["last"]),
                    "new_rev": row["rev"], "new_change": self._change, "new_same": known.same,
                    **{f"new_{name}": state[name] for name in HEARD},
                }
            )  # fmt: skip
            known.heard, known.same = None, True
        _HEARD.execute(connection, rows)
        self._new = []
        return changes
