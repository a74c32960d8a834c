"""A store looked through: the file, who belongs to whom, every block, and what follows from others built anew.

Each check reads little at a time, in a transaction of its own, so a service may go on beside it; to mend a file the
doctor must have it alone. What is kept but once (leaves, points, flushes) can't be mended; what follows from it can.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from epochscope_server.errors import CareError, PublicError, StartError
from epochscope_server.store import fields
from epochscope_server.store.database import Database, schemas
from epochscope_server.store.doctor_counts import Pyramid
from epochscope_server.store.doctor_series import Line
from epochscope_server.store.findings import Findings
from epochscope_server.store.postgres import Postgres
from epochscope_server.store.schema import (
    OWNED,
    count_marginal,
    count_node,
    counts,
    deleted_run,
    flush,
    flush_body,
    run,
    series,
    series_chunk,
    stream,
)
from epochscope_server.store.sqlite import FILE
from epochscope_server.store.tail import Waiting

SIZED = {
    "log": flush_body.c.body,
    "counts": count_node.c.data,
    "curves": count_marginal.c.data,
    "series": series_chunk.c.data,
}
OWNERS = (
    (count_node, counts, "counts_id"),
    (count_marginal, counts, "counts_id"),
    (series_chunk, series, "series_id"),
    (flush, stream, "stream_id"),
    (flush_body, stream, "stream_id"),
)
FLUSHES = 16  # unpacked in one transaction


@contextmanager
def opened(data_dir: Path, url: str | None, mend: bool) -> Iterator[Findings]:
    """A store to be looked through; to be mended, too, if ``mend``: then a file must have no service.

    Raises:
        CareError: there is none, it is older or newer than this epochscope, or can't be read any further.
    """
    path = data_dir / FILE
    if not url and not path.exists():
        raise CareError(f"there is no store in {data_dir}. Say where it is with --data-dir")
    try:
        if mend:
            database = Database(data_dir, url)
            try:
                yield Findings(database.read, database.writer.begin)
            finally:
                database.close()
            return
        engine = Postgres(url).readers if url else _engine(path)
        try:
            _check_schema(engine)
            yield Findings(engine.connect)
        finally:
            engine.dispose()
    except (StartError, PublicError) as error:
        raise CareError(str(error)) from None
    except sa.exc.DatabaseError as error:
        raise CareError(f"the store can't be read any further ({error.orig}). Restore a backup of it") from None


def _engine(path: Path) -> sa.Engine:
    """A file that others may write to, read as it is."""

    def connect() -> sqlite3.Connection:
        # Not as read-only: a file in WAL mode that nobody holds could not be opened then.
        address = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only=1")
        return connection

    engine = sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=sa.QueuePool, hide_parameters=True)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _check_schema(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        current = None
        if sa.inspect(connection).has_table("alembic_version"):
            current = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if current is None:
        raise CareError("there is no store of epochscope there. Look at --data-dir and --database")
    if current != (head := ScriptDirectory.from_config(schemas()).get_current_head()):
        raise CareError(
            f"the store has schema {current}, this epochscope {head}. `epochscope serve` brings an older one up to "
            "date; for a newer one upgrade epochscope"
        )


@dataclass
class Sizes:
    """What one run takes, bytes of each kind of block; what the database itself puts around them is not counted."""

    run: str
    project: str
    name: str
    log: int = 0
    counts: int = 0
    curves: int = 0
    series: int = 0

    @property
    def total(self) -> int:
        return self.log + self.counts + self.curves + self.series


def sizes(findings: Findings) -> list[Sizes]:
    """Every run there is, with what it takes, in the order in which they were made."""
    with findings.read() as connection:
        chosen = sa.select(run.c.id, run.c.uid, run.c.project, run.c.name).order_by(run.c.id)
        found = {run_id: Sizes(*rest) for run_id, *rest in connection.execute(chosen)}
        for kind, column in SIZED.items():
            owner = column.table.c.run_id
            size = sa.func.coalesce(sa.func.sum(sa.func.length(column)), 0)
            for run_id, total in connection.execute(sa.select(owner, size).group_by(owner)):
                if run_id in found:
                    setattr(found[run_id], kind, int(total))
    return list(found.values())


def check_file(findings: Findings) -> None:
    """What the database itself finds; PostgreSQL has no such question."""
    lines = _integrity(findings)
    for line in lines:
        findings.add(None, "file:", line, _index_again if "index" in line else None)
    if lines and findings.write is not None:
        left = _integrity(findings)
        for one in findings.all:
            one.mended &= one.what not in left


def _integrity(findings: Findings) -> list[str]:
    with findings.read() as connection:
        if connection.dialect.name != "sqlite":
            return []
        return [line for line in connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars() if line != "ok"]


def _index_again(connection: sa.Connection) -> None:
    connection.exec_driver_sql("REINDEX")


def check_relations(findings: Findings) -> None:
    """Rows of no run, and rows of a run that belong to nothing in it."""
    for table in OWNED:
        there = (
            table.c.run_id.in_(sa.select(run.c.id)),
            table.c.run_id.in_(sa.select(deleted_run.c.run_id).where(deleted_run.c.cleared == sa.false())),
        )
        with findings.read() as connection:
            stray = connection.scalars(sa.select(table.c.run_id).where(~sa.or_(*there)).distinct()).all()
        for run_id in stray:
            gone = table.delete().where(table.c.run_id == run_id)
            findings.add(
                None, f"table {table.name}", f"has rows of run number {run_id}, which is not there",
                functools.partial(sa.Connection.execute, statement=gone),
            )  # fmt: skip
    for table, owner, key in OWNERS:
        owned = sa.exists().where(owner.c.run_id == table.c.run_id, owner.c[key] == table.c[key])
        chosen = sa.select(run.c.uid, table.c[key]).join(run, run.c.id == table.c.run_id).where(~owned).distinct()
        with findings.read() as connection:
            for uid, number in connection.execute(chosen).all():
                findings.add(uid, f"table {table.name}", f"has rows of number {number}, which {owner.name} lacks")


def check_run(findings: Findings, uid: str) -> None:
    """Every block of a run; one that is deleted meanwhile is well."""
    with findings.read() as connection:
        run_id = connection.scalar(sa.select(run.c.id).where(run.c.uid == uid))
        if run_id is None:
            return
        rows = connection.execute(sa.select(counts).where(counts.c.run_id == run_id)).mappings()
        pyramids = [{str(name): value for name, value in row.items()} for row in rows]
        chunk = series_chunk.c
        where = (chunk.series_id, chunk.attempt, chunk.level, chunk.idx, chunk.step_max, chunk.n)
        held: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
        for series_id, attempt, level, *row in connection.execute(sa.select(*where).where(chunk.run_id == run_id)):
            held.setdefault((series_id, attempt), []).append((level, row[0], row[1], row[2]))
        told = sa.select(series.c.series_id, series.c.key, series.c.split, series.c.by).where(series.c.run_id == run_id)
        names = {number: f"series {key} of {split} by {by}" for number, key, split, by in connection.execute(told)}
        is_found = fields.agrees(connection, run_id)
    _check_flushes(findings, uid, run_id)
    for one in pyramids:
        Pyramid(findings, uid, one).check()
    for (series_id, attempt), places in held.items():
        name = names.get(series_id, f"series number {series_id}")
        Line(findings, uid, (run_id, series_id, attempt), name, places).check()
    if not is_found:
        again = run.update().where(run.c.id == run_id).values(indexed=False)
        findings.add(
            uid, "the search", "finds it by other params or summary values than it has; "
            "what is found is written anew when the service runs",
            functools.partial(sa.Connection.execute, statement=again),
        )  # fmt: skip


def _check_flushes(findings: Findings, uid: str, run_id: int) -> None:
    """Those that wait to be sealed, and those that could not be."""
    place = sa.tuple_(flush_body.c.stream_id, flush_body.c.seq)
    of_run = (
        sa.select(*place.clauses, flush_body.c.arrived, flush.c.crc32, flush_body.c.body)
        .outerjoin(flush, sa.and_(*(flush.c[name] == flush_body.c[name] for name in ("run_id", "stream_id", "seq"))))
        .where(flush_body.c.run_id == run_id)
        .order_by(*place.clauses)
        .limit(FLUSHES)
    )
    after = (-1, -1)
    while True:
        with findings.read() as connection:
            beyond = sa.tuple_(*(sa.literal(value, sa.BigInteger) for value in after))
            rows = connection.execute(of_run.where(place > beyond)).all()
        for row in rows:
            findings.blocks += 1
            if row.crc32 is None or Waiting(*row[:3], {}, row.crc32, row.body).opened() is None:
                findings.add(
                    uid, f"flush {row.seq} of stream {row.stream_id}",
                    "is damaged: what it tells is missing, the rest of the run is not affected",
                )  # fmt: skip
        if len(rows) < FLUSHES:
            return
        after = (rows[-1].stream_id, rows[-1].seq)
