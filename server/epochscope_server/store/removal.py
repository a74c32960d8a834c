"""What a deleted run leaves behind, cleared away in bounded steps, so that no flush waits for it.

A run is gone from the moment `runs.delete` took its row; this only gives its space back. Any step may be the last
before the power fails: the next start goes on where it ended.
"""

from __future__ import annotations

import sqlalchemy as sa

from epochscope_server.store.schema import OWNED, deleted_run

INCREMENTAL = 2  # SQLite's number for a file that can be shortened page by page; ours are from schema 0002 on
WORTHWHILE = 64  # free pages; what is written next takes fewer than these anyway


def waiting(connection: sa.Connection) -> int | None:
    """The id of a deleted run of which something may be left."""
    chosen = sa.select(deleted_run.c.run_id).where(deleted_run.c.cleared == sa.false())
    return connection.scalar(chosen.order_by(deleted_run.c.run_id).limit(1))


def clear(connection: sa.Connection, run_id: int, most: int) -> int:
    """Delete up to ``most`` rows that a deleted run left behind; returns how many there were, fewer when it is done."""
    left = most
    for table in OWNED:
        left -= _delete(connection, table, run_id, left)
        if left <= 0:
            return most
    connection.execute(deleted_run.update().where(deleted_run.c.run_id == run_id).values(cleared=True))
    return most - left


def _delete(connection: sa.Connection, table: sa.Table, run_id: int, most: int) -> int:
    """Delete the first ``most`` rows of a run by their key: up to and with one key, so that an index serves it."""
    mine = table.c.run_id == run_id
    key = [column for column in table.primary_key if column.name != "run_id"]
    last = None
    if key:
        last = connection.execute(sa.select(*key).where(mine).order_by(*key).limit(1).offset(most - 1)).first()
    if last is not None:
        bounds = [sa.literal(value, column.type) for value, column in zip(last, key, strict=True)]
        mine = sa.and_(mine, sa.tuple_(*key) <= sa.tuple_(*bounds))
    return connection.execute(table.delete().where(mine)).rowcount


def give_back(connection: sa.Connection, most: int) -> int:
    """Shorten the file by up to ``most`` free pages; returns how many. PostgreSQL sees to its files itself."""
    if connection.dialect.name != "sqlite":
        return 0
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    if free < WORTHWHILE or connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() != INCREMENTAL:
        return 0
    # The driver frees one page for each row that it fetches, though the rows have no columns: SQLAlchemy sees none.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({most})")
    cursor.fetchall()
    cursor.close()
    return int(free - connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
