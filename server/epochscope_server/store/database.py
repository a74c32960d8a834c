"""The database: opens the file, brings its schema up to date, gives out connections; one writes, many read."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from epochscope_server.errors import StartError

FILE = "epochscope.db"


class Database:
    """One store in ``data_dir``, held by this process alone until ``close``.

    Raises:
        StartError: the folder can't be used, belongs to another service, or holds a file that is damaged or
            newer than this version. The file is left as it is.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.path = data_dir / FILE
        self._lock = _lock(data_dir)
        try:
            self.writer = _engine(self.path, "BEGIN IMMEDIATE")
            self.readers = _engine(self.path, "BEGIN", query_only=True)
            _migrate(self.writer, self.path)
        except BaseException:
            os.close(self._lock)
            raise

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A short read transaction: fetch, leave, compute afterwards (a long one lets the WAL grow)."""
        with self.readers.connect() as connection:
            yield connection

    def close(self) -> None:
        self.readers.dispose()
        self.writer.dispose()
        os.close(self._lock)


def _lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"can't use the data folder {data_dir}: {error.strerror}. Choose another with --data-dir"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StartError(
            f"another epochscope service holds {data_dir}. Use that one (`epochscope open`), "
            "or give this one a folder of its own with --data-dir"
        ) from None
    return descriptor


def _engine(path: Path, begin: str, query_only: bool = False) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": 5, "check_same_thread": False},
        pool_size=8,
        max_overflow=32,
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own accord
        cursor = connection.cursor()
        # FULL: an acknowledged flush survives a power cut. One process writes, so readers are never in its way.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "trusted_schema=OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        if query_only:
            cursor.execute("PRAGMA query_only=1")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _migrate(engine: sa.Engine, path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", "epochscope_server.store:migrations")
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    try:
        with engine.begin() as connection:
            if (check := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
                raise StartError(f"{path} is damaged ({check}). Restore a backup, or move the file away to start anew")
            current = _revision(connection)
            if current is not None and current not in known:
                raise StartError(
                    f"{path} was written by a newer epochscope (schema {current}). Upgrade this one; "
                    "the file is untouched"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        why = getattr(error, "orig", error)
        raise StartError(
            f"{path} is not a store that can be opened ({why}). Move it away, or choose another --data-dir"
        ) from None
    except CommandError as error:
        raise StartError(f"{path} can't be brought up to date: {error}") from None
    path.chmod(0o600)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
