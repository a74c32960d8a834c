"""The tail of a run: flushes that are stored but not sealed yet, in the order in which they arrived."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.store.schema import flush, flush_body, stream

_decoder = msgspec.msgpack.Decoder(wire.Flush)


@dataclass(frozen=True)
class Waiting:
    """One flush of the tail: the bytes as they were posted, and the attempts for which its stream speaks."""

    stream_id: int
    seq: int
    arrived: int
    attempts: Mapping[str, int]
    crc32: int
    body: bytes

    def opened(self) -> wire.Flush | None:
        """What it says; it was checked when it came in. None where it is damaged on disk."""
        if zlib.crc32(self.body) != self.crc32:
            return None
        try:
            return _decoder.decode(self.body)
        except msgspec.MsgspecError:
            return None


def of_run(connection: sa.Connection, run_id: int, most: int | None = None) -> list[Waiting]:
    """The tail of a run, or the ``most`` oldest flushes of it."""
    rows = connection.execute(_TAIL, {"of_run": run_id, "most": MOST if most is None else most})
    return [Waiting(*row) for row in rows]


MOST = 2**53
_TAIL = (
    sa.select(
        flush_body.c.stream_id, flush_body.c.seq, flush_body.c.arrived, stream.c.attempts, flush.c.crc32,
        flush_body.c.body,
    )
    .select_from(stream)
    .join(flush_body, sa.and_(flush_body.c.run_id == stream.c.run_id, flush_body.c.stream_id == stream.c.stream_id))
    .join(
        flush,
        sa.and_(
            flush.c.run_id == flush_body.c.run_id,
            flush.c.stream_id == flush_body.c.stream_id,
            flush.c.seq == flush_body.c.seq,
        ),
    )
    .where(stream.c.run_id == sa.bindparam("of_run"), flush_body.c.seq > stream.c.sealed_seq)
    .order_by(flush_body.c.arrived)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
)  # fmt: skip


def attempt_of(waiting: Waiting, split: str, by: str = "batch") -> int:
    """The attempt that a flush speaks for; what is said once for the whole run belongs to none."""
    if by == "epoch":  # epochs are common to all splits
        return max(waiting.attempts.values(), default=0)
    return waiting.attempts.get(split, 0) if by == "batch" else 0


def cells_of(columns: wire.ConfusionColumns) -> Cells:
    step, per_step, *rest = columns.arrays()
    return Cells(np.repeat(step, per_step), *(column.astype(np.int64) for column in rest))


def cells(tail: Iterable[Waiting], output: str, split: str) -> list[tuple[int, Cells]]:
    """The counts of one output that wait in the tail: (attempt, counts) of each flush that has any."""
    return [
        (attempt_of(waiting, split), cells_of(columns))
        for waiting, flush in _flushes(tail)
        for columns in flush.confusion
        if (columns.output, columns.split) == (output, split)
    ]


def points(tail: Iterable[Waiting], split: str, by: str, key: str) -> list[tuple[int, Whole, Numbers]]:
    """The points of one series that wait in the tail: (attempt, steps, values) in order of arrival."""
    return [
        (attempt_of(waiting, split, by), *columns.arrays())
        for waiting, flush in _flushes(tail)
        for columns in flush.series
        if (columns.split, columns.by, columns.key) == (split, by, key)
    ]


def _flushes(tail: Iterable[Waiting]) -> Iterator[tuple[Waiting, wire.Flush]]:
    """Those that can be read; the sealer says which can not, and sets them aside."""
    for waiting in tail:
        if (opened := waiting.opened()) is not None:
            yield waiting, opened
