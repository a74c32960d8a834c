"""Flushes stay as they came until they are sealed; counts lie in pyramids, series in chunks with rollups.

The chunks of 0001, one for each flush and series, are turned back into flushes of a stream of their own, which the
sealer then takes like any other. All of it is one transaction: a migration that is cut off leaves 0001 whole.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# No client can choose it: ids have at least eight characters.
STREAM = "v0001"


def upgrade() -> None:
    bind = op.get_bind()
    op.rename_table("series_chunk", "old_series_chunk")
    op.rename_table("stream", "old_stream")
    op.rename_table("flush", "old_flush")
    op.rename_table("span", "old_span")
    if bind.dialect.name == "postgresql":  # there the names of constraints do not follow the table's
        for table in ("series_chunk", "stream", "flush", "span"):
            op.execute(f'ALTER TABLE "old_{table}" DROP CONSTRAINT "{table}_pkey"')
        op.execute('ALTER TABLE old_stream DROP CONSTRAINT "uq_stream_run_id_uid"')
    _create()
    if bind.dialect.name == "postgresql":  # packed already: to pack it again costs time and saves nothing
        for table, column in (
            ("flush", "body"),
            ("series_chunk", "data"),
            ("count_node", "data"),
            ("count_marginal", "data"),
        ):
            op.execute(f'ALTER TABLE "{table}" ALTER COLUMN {column} SET STORAGE EXTERNAL')
    op.execute(
        "INSERT INTO stream (run_id, stream_id, uid, next_seq, sealed_seq, attempts) "
        "SELECT run_id, stream_id, uid, next_seq, next_seq - 1, '{}' FROM old_stream"
    )
    op.execute(
        "INSERT INTO flush (run_id, stream_id, seq, crc32, received_ms, arrived, body) "
        "SELECT run_id, stream_id, seq, crc32, received_ms, 0, NULL FROM old_flush"
    )
    op.execute(
        "INSERT INTO span (run_id, split, attempt, epoch, start, stop) "
        "SELECT run_id, split, 0, epoch, start, stop FROM old_span"
    )
    for table in ("old_series_chunk", "confusion_chunk"):  # what was written together is read together now
        op.create_index(f"ix_{table}", table, ["run_id", "chunk"])
    for run_id, uid, outputs in bind.execute(sa.select(_run.c.id, _run.c.uid, _run.c.outputs)).all():
        _carry_over(bind, run_id, uid, [output["name"] for output in outputs])
    for table in ("old_series_chunk", "old_stream", "old_flush", "old_span", "confusion_chunk"):
        op.drop_table(table)


def _create() -> None:
    op.create_table(
        "attempt",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "split", "attempt"),
    )
    for name in ("count_marginal", "count_node"):
        op.create_table(
            name,
            sa.Column("run_id", sa.BigInteger(), nullable=False),
            sa.Column("counts_id", sa.Integer(), nullable=False),
            sa.Column("level", sa.SmallInteger(), nullable=False),
            sa.Column("idx", sa.BigInteger(), nullable=False),
            sa.Column("written", sa.BigInteger(), nullable=False),
            sa.Column("data", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint("run_id", "counts_id", "level", "idx"),
        )
    op.create_table(
        "counts",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("counts_id", sa.Integer(), nullable=False),
        sa.Column("output_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("sealed_to", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "counts_id"),
        sa.UniqueConstraint(
            "run_id",
            "output_id",
            "split",
            "attempt",
            "classes",
            name=op.f("uq_counts_run_id_output_id_split_attempt_classes"),
        ),
    )
    op.create_table(
        "flush",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "stream_id", "seq"),
    )
    op.create_table(
        "series_chunk",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("step_min", sa.BigInteger(), nullable=False),
        sa.Column("step_max", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "series_id", "attempt", "level", "idx"),
    )
    op.create_table(
        "span",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "split", "attempt", "epoch"),
    )
    op.create_table(
        "stream",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("sealed_seq", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stream_id"),
        sa.UniqueConstraint("run_id", "uid", name=op.f("uq_stream_run_id_uid")),
    )


_run = sa.table("run", sa.column("id"), sa.column("uid"), sa.column("outputs", sa.JSON()))
_series = sa.table("series", *(sa.column(name) for name in ("run_id", "series_id", "split", "by", "key")))
_points = sa.table("old_series_chunk", *(sa.column(name) for name in ("run_id", "series_id", "chunk", "data")))
_counts = sa.table("confusion_chunk", *(sa.column(name) for name in ("run_id", "output_id", "split", "chunk", "data")))
_stream = sa.table(
    "stream",
    *(sa.column(name) for name in ("run_id", "stream_id", "uid", "next_seq", "sealed_seq")),
    sa.column("attempts", sa.JSON()),
)
_flush = sa.table(
    "flush",
    *(sa.column(name) for name in ("run_id", "stream_id", "seq", "crc32", "received_ms", "arrived", "body")),
)


def _carry_over(bind: sa.Connection, run_id: int, uid: str, outputs: list[str]) -> None:
    taken = bind.scalar(sa.select(sa.func.max(_stream.c.stream_id)).where(_stream.c.run_id == run_id))
    stream_id = 0 if taken is None else taken + 1
    seq = 0
    for seq, (chunk, parts) in enumerate(_chunks(bind, run_id, outputs), 1):
        body = msgspec.msgpack.encode(
            {"version": 1, "run": uid, "stream": STREAM, "seq": seq, "sent_ms": 0, "next_in_s": 5.0, **parts}
        )
        bind.execute(
            _flush.insert().values(
                run_id=run_id,
                stream_id=stream_id,
                seq=seq,
                crc32=zlib.crc32(body),
                received_ms=0,
                arrived=chunk,
                body=body,
            )
        )
    if seq:
        bind.execute(
            _stream.insert().values(
                run_id=run_id, stream_id=stream_id, uid=STREAM, next_seq=seq + 1, sealed_seq=0, attempts={}
            )
        )


def _chunks(bind: sa.Connection, run_id: int, outputs: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of each flush that held numbers, in order: its place in that order, and its columns as they travelled."""
    names = {
        series_id: {"split": split, "by": by, "key": key}
        for series_id, split, by, key in bind.execute(
            sa.select(_series.c.series_id, _series.c.split, _series.c.by, _series.c.key).where(
                _series.c.run_id == run_id
            )
        )
    }
    there = sa.union(
        sa.select(_points.c.chunk).where(_points.c.run_id == run_id),
        sa.select(_counts.c.chunk).where(_counts.c.run_id == run_id),
    )
    points = (
        sa.select(_points.c.series_id, _points.c.data)
        .where(_points.c.run_id == run_id, _points.c.chunk == sa.bindparam("chunk"))
        .order_by(_points.c.series_id)
    )
    counted = (
        sa.select(_counts.c.output_id, _counts.c.split, _counts.c.data)
        .where(_counts.c.run_id == run_id, _counts.c.chunk == sa.bindparam("chunk"))
        .order_by(_counts.c.output_id, _counts.c.split)
    )
    for chunk in sorted(bind.scalars(there)):
        series = [
            {**names[series_id], **dict(zip(("steps", "values"), _columns(data), strict=True))}
            for series_id, data in bind.execute(points, {"chunk": chunk})
        ]
        confusion = [
            {
                "output": outputs[output_id],
                "split": split,
                **dict(zip(("steps", "cells", "true", "predicted", "counts"), _columns(data), strict=True)),
            }
            for output_id, split, data in bind.execute(counted, {"chunk": chunk})
        ]
        yield chunk, {"series": series, "confusion": confusion}


def _columns(data: bytes) -> tuple[bytes, ...]:
    return msgspec.msgpack.decode(zlib.decompress(data), type=tuple[bytes, ...])
