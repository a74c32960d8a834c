"""What a store is: which database, of which schema, how large, with how many runs."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from epochscope_server.store.database import Database
from epochscope_server.store.schema import run

_SCHEMA: sa.Select[tuple[str]] = sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))


@dataclass(frozen=True)
class Described:
    """``store``: the database and its version; ``bytes``: of its files, None where it does not say."""

    store: str
    schema: str
    bytes: int | None
    runs: int


def described(database: Database) -> Described:
    """Look the store up; takes some milliseconds."""
    with database.read() as connection:
        schema = str(connection.scalar(_SCHEMA))
        number = int(connection.scalar(sa.select(sa.func.count()).select_from(run)) or 0)
        if connection.dialect.name == "postgresql":
            version = str(connection.exec_driver_sql("SHOW server_version").scalar_one()).split()[0]
            size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar()
            return Described(f"PostgreSQL {version}", schema, None if size is None else int(size), number)
        version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one())
    files = list(database.data_dir.glob("epochscope.db*"))
    return Described(f"SQLite {version}", schema, sum(file.stat().st_size for file in files if file.is_file()), number)
